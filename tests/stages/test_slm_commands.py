"""slm_tokens and slm_inference, on a tiny language model."""

import json

import numpy as np
import pytest
import soundfile
import torch
import yaml

from espnet_otreg.decode.slm import SpeechLanguageModel
from espnet_otreg.files import read_table, write_lines
from espnet_otreg.pretrained.causal_lm import load_tokenizer
from espnet_otreg.stages import decode_sets, slm_inference, slm_tokens, speech_features
from tests.support.tiny_llm import SENTENCES, save_llm
from tests.support.tiny_slm import build, options
from tests.support.tiny_speech import save_encoder

UTTS = {f"u{i}": text for i, text in enumerate(SENTENCES[:4])}


@pytest.fixture(scope="module")
def lm(tmp_path_factory):
    return save_llm(tmp_path_factory.mktemp("llm"))


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "train"
    write_lines(folder / "text", [f"{utt} {text}" for utt, text in UTTS.items()])
    write_lines(folder / "utt2lang", [f"{utt} {'es' if utt == 'u3' else 'en'}" for utt in UTTS])
    write_lines(folder / "text.fr", [f"{utt} la clé" for utt in UTTS if utt != "u2"])
    return folder


def make_tokens(lm, data, output, *more):
    slm_tokens.main(["--lm", str(lm), "--data", str(data), "--output", str(output), *more])
    return output


def test_pieces_give_the_text_back_and_languages_are_bytes(lm, data, tmp_path):
    output = make_tokens(lm, data, tmp_path / "tokens")
    tokenizer = load_tokenizer(lm)
    for utt, pieces in read_table(output / "train" / "text").items():
        ids = tokenizer.convert_tokens_to_ids(pieces.split())
        assert tokenizer.decode(ids).strip() == UTTS[utt]
    languages = read_table(output / "train" / "language")
    assert bytes(map(int, languages["u3"].split())).decode() == "es"
    listed = (output / "tokens.txt").read_text(encoding="utf-8").splitlines()
    used = {p for row in read_table(output / "train" / "text").values() for p in row.split()}
    assert set(listed) == used | {"<blank>", "<unk>", "<sos/eos>"}
    assert not (output / "train" / "transcript").exists()


def test_translations_come_with_transcripts_and_what_lacks_one_is_listed(lm, data, tmp_path):
    output = make_tokens(lm, data, tmp_path / "tokens", "--answer", "text.fr")
    assert (output / "train" / "rejected.tsv").read_text() == "u2\tno piece: the answer is empty\n"
    transcripts = read_table(output / "train" / "transcript")
    assert (
        transcripts.keys() == read_table(output / "train" / "text").keys() == UTTS.keys() - {"u2"}
    )
    tokenizer = load_tokenizer(lm)
    assert tokenizer.decode(list(map(int, transcripts["u0"].split()))).strip() == UTTS["u0"]


@pytest.fixture(scope="module")
def experiment(lm, tmp_path_factory):
    """A folder as training leaves it, of a model whose encoder is cached."""
    folder = tmp_path_factory.mktemp("exp")
    model = build(lm)
    with torch.no_grad():
        model.adapter.out.weight.mul_(20)
    torch.save(model.state_dict(), folder / "valid.loss.best.pth")
    given = options(lm)
    (folder / "config.yaml").write_text(yaml.safe_dump(given))
    return folder


@pytest.fixture
def frames(tmp_path):
    rng = np.random.default_rng(0)
    folder = tmp_path / "frames" / "set_test"
    lines = []
    for number, utt in enumerate(UTTS):
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / f"{utt}.npy", rng.standard_normal((20 + 9 * number, 20), np.float32))
        lines.append(f"{utt} {folder / f'{utt}.npy'}")
    write_lines(folder / "feats.scp", lines)
    return folder


def test_the_command_writes_what_python_says(experiment, frames, tmp_path):
    scp = read_table(frames / "feats.scp")
    listener = SpeechLanguageModel.from_pretrained(experiment)
    said = listener.transcribe(list(scp.values()), "en", max_new_tokens=9)
    slm_inference.main([
        "--asr_train_config", str(experiment / "config.yaml"), "--asr_model_file",
        str(experiment / "valid.loss.best.pth"), "--wav_scp", str(frames / "feats.scp"),
        "--language", "en", "--max_new_tokens", "9", "--output_dir", str(tmp_path / "out"),
    ])  # fmt: skip
    folder = tmp_path / "out" / "1best_recog"
    assert read_table(folder / "text") == dict(zip(scp, [a.text for a in said], strict=True))
    for utt, answer in zip(scp, said, strict=True):
        row = json.loads(read_table(folder / "shortening")[utt])
        assert row == {**answer.shortening._asdict(), "capped": answer.capped}


def test_the_best_checkpoint_by_cross_entropy_goes_before_that_by_loss(experiment, lm, tmp_path):
    for name in ("config.yaml", "valid.loss.best.pth"):
        (tmp_path / name).write_bytes((experiment / name).read_bytes())
    by_loss = SpeechLanguageModel.from_pretrained(tmp_path)  # all there is in earlier trainings
    torch.save(build(lm).state_dict(), tmp_path / "valid.loss_ce.best.pth")
    by_entropy = SpeechLanguageModel.from_pretrained(tmp_path)
    named = SpeechLanguageModel.from_pretrained(tmp_path, "valid.loss.best.pth")
    weights = [one.model.adapter.out.weight for one in (by_loss, by_entropy, named)]
    assert torch.equal(weights[0], weights[2]) and not torch.equal(weights[0], weights[1])


def test_sets_are_decoded_from_cached_frames_in_their_languages(experiment, frames, tmp_path):
    data = tmp_path / "set_test"
    write_lines(data / "wav.scp", [f"{utt} absent.wav" for utt in UTTS])
    write_lines(data / "utt2lang", [f"{utt} en" for utt in UTTS])
    decode_sets.main([
        "--asr_exp", str(experiment), "--model_file", "valid.loss.best.pth", "--method", "slm",
        "--sets", str(data), "--features", str(frames.parent), "--output", str(tmp_path / "out"),
        "--nj", "1", "--arguments", "--max_new_tokens 5",
    ])  # fmt: skip
    assert read_table(tmp_path / "out" / "set_test" / "text").keys() == UTTS.keys()
    assert read_table(tmp_path / "out" / "set_test" / "shortening").keys() == UTTS.keys()


def test_a_language_that_the_table_lacks_is_named(experiment, frames, tmp_path, capsys):
    write_lines(tmp_path / "utt2lang", ["u0 en"])
    with pytest.raises(SystemExit, match="lacks 3 utterances, first u1"):
        slm_inference.main([
            "--asr_train_config", str(experiment / "config.yaml"), "--asr_model_file", "x",
            "--wav_scp", str(frames / "feats.scp"), "--utt2lang", str(tmp_path / "utt2lang"),
            "--output_dir", str(tmp_path / "out"),
        ])  # fmt: skip


def test_frames_of_several_sets_are_cached_in_one_go_each_in_its_own_folder(tmp_path):
    whisper = save_encoder(tmp_path / "whisper", "whisper")
    conf = {"encoder": "hf_speech", "encoder_conf": {"model": str(whisper)}}
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(conf))
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        soundfile.write(tmp_path / name / "u.wav", 0.1 * rng.standard_normal(8000), 16000)
        write_lines(tmp_path / name / "wav.scp", [f"u {tmp_path / name / 'u.wav'}"])
    common = ["--config", str(tmp_path / "train.yaml"), "--device", "cpu", "--data"]
    data, output = ([str(tmp_path / place / n) for n in "ab"] for place in (".", "frames"))
    speech_features.main([*common, *data, "--output", *output])
    arrays = [np.load(read_table(tmp_path / "frames" / n / "feats.scp")["u"]) for n in "ab"]
    assert arrays[0].shape == arrays[1].shape and not np.array_equal(*arrays)
    with pytest.raises(SystemExit, match="2 and 1 folders"):
        speech_features.main([*common, *data, "--output", output[0]])
