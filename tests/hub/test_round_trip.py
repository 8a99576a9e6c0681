"""A packed model, opened where nothing of its training is left, answers as before."""

import contextlib
import io
import logging
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from espnet2.bin import asr_inference
from espnet2.main_funcs.pack_funcs import pack as espnet_pack
from safetensors.torch import load_file, save_file

from espnet_otreg.decode.batches import ctc_greedy, read_recording
from espnet_otreg.decode.slm import SpeechLanguageModel
from espnet_otreg.decode.speech2text import Speech2Text
from espnet_otreg.errors import UserError
from espnet_otreg.mini.masked_lm import train_tokenizer
from espnet_otreg.pretrained.masked_lm import pieces_to_text
from espnet_otreg.tasks.asr import ASRTask
from tests.support.tiny_llm import SENTENCES, save_llm
from tests.support.tiny_lm import save_bert
from tests.support.tiny_packs import (
    MODEL,
    make_pack,
    save_clip,
    save_listener,
    save_recogniser,
    save_taught,
)
from tests.support.tiny_speech import save_encoder

BEAM = {"beam_size": 2, "ctc_weight": 0.3, "maxlenratio": 0.3}


@pytest.fixture
def away(tmp_path, monkeypatch):
    """Another machine: an empty folder to be in, a cache of its own."""
    folder = tmp_path / "away"
    folder.mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    monkeypatch.chdir(folder)
    save_clip(folder / "speech.wav")
    return folder


def scored(answers):
    return [(text, tokens, ids, float(hyp.score)) for text, tokens, ids, hyp in answers]


def run_card(pack):
    """Run the card's example as it stands, and return what it printed."""
    with zipfile.ZipFile(pack) as stream:
        card = stream.read("README.md").decode()
    (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    with contextlib.redirect_stdout(io.StringIO()) as said:
        exec(compile(code, "README.md", "exec"), {})
    return said.getvalue().strip()


def test_beam_search_gives_the_texts_and_scores_of_before_and_stock_espnet_opens_the_stock_pack(
    tmp_path, away, monkeypatch
):
    zoo = pytest.importorskip("espnet_model_zoo.downloader")
    home = tmp_path / "home"
    folder = save_recogniser(home)
    speech = read_recording("speech.wav", 16000)
    before = asr_inference.Speech2Text(folder / "config.yaml", folder / MODEL, **BEAM)
    expected = scored(before(speech))
    assert expected[0][0]
    decoding = ["--inference_config", str(home / "decode.yaml"), "--mini", "true"]
    make_pack(folder, away / "packed.zip", *decoding)
    make_pack(folder, away / "packed.tgz", *decoding)
    make_pack(folder, away / "stock.zip", *decoding, "--stock")
    shutil.rmtree(home)

    for name in ("packed.zip", "packed.tgz"):
        opened = Speech2Text.from_pretrained(name)
        assert scored(opened("speech.wav")) == expected
        assert opened.beam_search.beam_size == 2
    assert Speech2Text.from_pretrained("packed.zip", beam_size=3).beam_search.beam_size == 3
    assert run_card(away / "packed.zip") == expected[0][0]

    class Downloader(zoo.ModelDownloader):
        def __init__(self):
            super().__init__(away / "zoo")

    monkeypatch.setattr(zoo, "ModelDownloader", Downloader)
    stock = asr_inference.Speech2Text.from_pretrained("stock.zip", **BEAM)
    assert type(stock.asr_model).__module__.startswith("espnet2.")
    assert scored(stock(speech)) == expected
    assert run_card(away / "stock.zip") == expected[0][0]


def test_a_pack_made_by_espnets_own_command_opens_too(tmp_path, away, monkeypatch):
    home = tmp_path / "home"
    folder = save_recogniser(home)
    monkeypatch.chdir(home)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    stats = str((folder / "stats.npz").relative_to(home))
    config |= {"bpemodel": "data/bpe.model", "normalize_conf": {"stats_file": stats}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    expected = scored(
        asr_inference.Speech2Text(folder / "config.yaml", folder / MODEL, **BEAM)(
            read_recording(away / "speech.wav", 16000)
        )
    )
    espnet_pack(
        {"asr_model_file": folder / MODEL}, {"asr_train_config": folder / "config.yaml"},
        away / "espnets.zip", ["data/bpe.model", stats],
    )  # fmt: skip
    monkeypatch.chdir(away)
    shutil.rmtree(home)
    assert scored(Speech2Text.from_pretrained("espnets.zip", **BEAM)("speech.wav")) == expected


def test_a_pack_of_an_unpacked_folder_can_be_moved_after_it_was_opened(tmp_path, away):
    folder = save_recogniser(tmp_path / "home")
    pack = make_pack(folder, away / "packed.zip", "--mini", "true", "--method", "ctc_greedy")
    with zipfile.ZipFile(pack) as stream:
        stream.extractall("here")
    expected = Speech2Text.from_pretrained("here")("speech.wav")
    shutil.move("here", "there")
    assert Speech2Text.from_pretrained("there")("speech.wav") == expected
    assert not (away / "cache").exists()  # a folder is opened where it is


def test_greedy_ctc_of_a_taught_model_gives_sentences_without_the_teacher(tmp_path, away):
    lm = save_bert(tmp_path / "home" / "lm", train_tokenizer(list(SENTENCES), 90), width=8)
    folder = save_taught(tmp_path / "home", lm)
    model, options = ASRTask.build_model_from_file(folder / "config.yaml", folder / MODEL)
    samples = torch.from_numpy(read_recording("speech.wav", 16000))
    (ids,) = ctc_greedy(model.eval(), samples[None], torch.tensor([len(samples)]))
    tokens = [options.token_list[i] for i in ids]
    expected = pieces_to_text(lm, tokens)
    pack = make_pack(folder, away / "packed.zip", "--mini", "true", "--lm", str(lm))
    shutil.rmtree(tmp_path / "home")
    opened = Speech2Text.from_pretrained(pack)
    assert opened("speech.wav") == [(expected, tokens, ids, None)]
    assert expected != " ".join(tokens)
    assert run_card(pack) == expected
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, opened.asr_model.state_dict()[name]), name


def test_a_pretrained_frontend_is_no_part_of_a_pack_and_told_from_others(tmp_path, away):
    lm = save_bert(tmp_path / "home" / "lm", train_tokenizer(list(SENTENCES), 90), width=8)
    whisper = save_encoder(away / "whisper", "whisper")
    frontend = {"frontend": "hf_speech", "frontend_conf": {"model": str(whisper)}}
    folder = save_taught(tmp_path / "home", lm, **frontend)
    before = Speech2Text.from_pretrained(
        make_pack(folder, away / "own.zip", "--mini", "true", "--lm", str(lm), "--include_base")
    )
    expected = before("speech.wav")
    assert expected[0][0]
    pack = make_pack(folder, away / "packed.zip", "--mini", "true", "--lm", str(lm))
    shutil.rmtree(tmp_path / "home")
    assert Speech2Text.from_pretrained(pack, encoder=whisper)("speech.wav") == expected
    with pytest.raises(
        UserError, match=r"frontend of its own, whisper .*not in the pack.*encoder=\"folder\""
    ):
        Speech2Text.from_pretrained(pack)
    other = save_encoder(away / "other", "whisper", encoder_ffn_dim=20)
    with pytest.raises(UserError, match="trained on another frontend"):
        Speech2Text.from_pretrained(pack, encoder=other)


@pytest.fixture
def listener(tmp_path, away):
    folder = save_listener(tmp_path / "home")
    before = SpeechLanguageModel.from_pretrained(folder, MODEL)
    (answer,) = before.transcribe(["speech.wav"], "en", max_new_tokens=7)
    assert answer.tokens
    return folder, answer


PACKING = ("--languages", "en", "--mini", "true", "--inference_args", "--max_new_tokens 7")


def test_a_speech_language_model_with_its_bases_needs_nothing_else(listener, tmp_path, away):
    folder, expected = listener
    told = ("ORIGIN.json", "LICENSE.some_package", "notes.txt")
    for name in told:
        (tmp_path / "home" / "models" / "tiny-llm" / name).write_text("{}")
    pack = make_pack(folder, away / "packed.zip", *PACKING, "--include_base")
    with zipfile.ZipFile(pack) as stream:
        kept = {name for name in told if f"base/decoder/{name}" in stream.namelist()}
    assert kept == {"ORIGIN.json", "LICENSE.some_package"}
    shutil.rmtree(tmp_path / "home")
    text, tokens, ids, answer = Speech2Text.from_pretrained(pack)("speech.wav", language="en")[0]
    assert answer == expected
    assert (text, tokens) == (expected.text, expected.tokens)
    assert len(ids) == len(tokens)
    assert run_card(pack) == expected.text
    with zipfile.ZipFile(pack) as stream:
        stream.extractall("opened")
    weights = away / "opened" / "base" / "encoder" / MODEL
    kept = weights.read_bytes()
    torch.save({"run": logging.Formatter()}, weights)
    with pytest.raises(UserError, match="no checkpoint of plain tensors"):
        Speech2Text.from_pretrained("opened")
    weights.write_bytes(kept)
    lost = "base/decoder/tokenizer.json"
    (away / "opened" / lost).unlink()
    with pytest.raises(UserError, match=f"lacks {lost}"):
        Speech2Text.from_pretrained("opened")


def test_base_models_outside_the_pack_are_named_asked_for_and_told_from_others(
    listener, tmp_path, away
):
    folder, expected = listener
    pack = make_pack(folder, away / "packed.zip", *PACKING)
    with zipfile.ZipFile(pack) as stream:
        card, members = stream.read("README.md").decode(), stream.namelist()
        assert str(tmp_path) not in stream.read("config.yaml").decode() + card
    assert not any(name.startswith("base") for name in members)
    assert re.search(r"- decoder: `tiny-llm`, .* SHA-256 `[0-9a-f]{64}`", card)
    moved = shutil.move(tmp_path / "home" / "models", away / "models")
    shutil.rmtree(tmp_path / "home")
    with pytest.raises(UserError, match=r"encoder of its own, tiny-encoder .*not in the pack"):
        Speech2Text.from_pretrained(pack)
    bases = {"encoder": moved / "tiny-encoder", "decoder": moved / "tiny-llm"}
    opened = Speech2Text.from_pretrained(pack, **bases)
    assert opened("speech.wav", "en")[0][3] == expected
    other = save_llm(away / "other", layers=1)
    with pytest.raises(UserError, match="trained on another decoder"):
        Speech2Text.from_pretrained(pack, **{**bases, "decoder": other})


def test_weights_that_are_missing_and_pickles_of_code_are_refused(tmp_path, away):
    folder = save_recogniser(tmp_path / "home")
    pack = make_pack(folder, away / "packed.zip", "--mini", "true")
    with zipfile.ZipFile(pack) as stream:
        stream.extractall("opened")
    state = load_file("opened/model.safetensors")
    lost = state.pop("ctc.ctc_lo.bias")
    save_file(state, "opened/model.safetensors")
    with pytest.raises(UserError, match=r"lacks 1 tensors, first ctc\.ctc_lo\.bias"):
        Speech2Text.from_pretrained("opened")
    of_before("opened", {**state, "ctc.ctc_lo.bias": lost, "run": logging.Formatter()})
    with pytest.raises(UserError, match="no checkpoint of plain tensors"):
        Speech2Text.from_pretrained("opened")


def of_before(folder, state):
    """Turn an unpacked folder into one of the time when packs held checkpoints of torch."""
    folder = Path(folder)
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "model.pth")
    for name in ("meta.yaml", "otreg.json"):
        text = (folder / name).read_text()
        (folder / name).write_text(text.replace("model.safetensors", "model.pth"))


def test_new_packs_hold_nothing_to_unpickle_and_those_of_before_open_as_ever(tmp_path, away):
    folder = save_recogniser(tmp_path / "home")
    pack = make_pack(folder, away / "packed.zip", "--mini", "true", "--method", "ctc_greedy")
    with zipfile.ZipFile(pack) as stream:
        assert not [name for name in stream.namelist() if name.endswith((".pth", ".bin", ".pt"))]
        stream.extractall("opened")
    expected = Speech2Text.from_pretrained(pack)("speech.wav")
    of_before("opened", load_file("opened/model.safetensors"))
    assert Speech2Text.from_pretrained("opened")("speech.wav") == expected


def test_recordings_of_another_rate_are_resampled(away):
    import soundfile

    tone = np.sin(np.arange(24000) * 2 * np.pi * 440 / 48000).astype(np.float32)
    soundfile.write("stereo.wav", np.stack([tone, tone], 1), 48000, subtype="FLOAT")
    heard = read_recording("stereo.wav", 16000)
    expected = np.sin(np.arange(8000) * 2 * np.pi * 440 / 16000)
    assert np.abs(heard[200:-200] - expected[200:-200]).max() < 1e-2
    with pytest.raises(UserError, match=r"no\.wav cannot be read"):
        read_recording("no.wav", 16000)
