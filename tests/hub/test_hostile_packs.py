"""Packs and experiments that try to run code, or to read what is not theirs, do neither."""

import argparse
import json
import shutil

import numpy as np
import pytest
import torch

from espnet_otreg.decode.slm import SpeechLanguageModel
from espnet_otreg.decode.speech2text import Speech2Text
from espnet_otreg.errors import UserError
from espnet_otreg.hub.archive import unpack_into
from espnet_otreg.measure.spaces import Space
from espnet_otreg.pretrained.causal_lm import embedding_size
from espnet_otreg.stages import asr_inference, ctc_inference, export_stock, pack, slm_inference
from espnet_otreg.tasks.asr import ASRTask
from tests.support import hostile_bases  # noqa: F401  (lists its attacks)
from tests.support.hostile_packs import ATTACKS, Bomb, edit, evil_code, explosive
from tests.support.tiny_packs import MODEL, make_pack


@pytest.mark.parametrize("kind", ["beam", "slm", "taught", "stock"])
def test_the_packs_that_are_attacked_open(kind, packs, scene):
    assert Speech2Text.from_pretrained(packs[kind])


@pytest.mark.parametrize("name", ATTACKS)
def test_a_hostile_pack_runs_nothing(name, packs, scene):
    attack = ATTACKS[name]
    shutil.copytree(packs[attack.kind], scene.pack)
    attack.change(scene)
    if attack.told:
        with pytest.raises(UserError, match=attack.told) as told:
            Speech2Text.from_pretrained(scene.pack)
        assert "\n" not in str(told.value)
    else:
        assert Speech2Text.from_pretrained(scene.pack)
    assert not scene.mark.exists()


def test_the_bomb_of_these_tests_goes_off_where_it_is_unpickled(scene):
    explosive(scene.secret / "x.pth", scene.mark)
    torch.load(scene.secret / "x.pth", weights_only=False)
    assert scene.mark.exists()


def test_code_of_a_base_model_runs_by_the_users_wish(packs, scene):
    shutil.copytree(packs["slm"], scene.pack)
    evil_code(scene.pack / "base" / "decoder", scene.mark)
    edit(scene.pack / "config.yaml", decoder_conf__trust_remote_code=True)
    with pytest.raises(UserError, match="cannot be opened"):  # what it brings is no model
        Speech2Text.from_pretrained(scene.pack, trust_remote_code=True)
    assert scene.mark.exists()


def test_an_environment_that_lets_torch_unpickle_does_not_open_the_door(packs, scene, monkeypatch):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    attack = ATTACKS["a_stock_packs_language_model_that_runs"]
    shutil.copytree(packs["stock"], scene.pack)
    attack.change(scene)
    with pytest.raises(UserError, match=attack.told):
        Speech2Text.from_pretrained(scene.pack)
    assert not scene.mark.exists()


def open_listener(scene):
    SpeechLanguageModel.from_pretrained(scene.pack, MODEL)


def files(scene):
    return scene.pack / "config.yaml", scene.pack / MODEL


def decode(command, *more):
    def run(scene):
        config, model = files(scene)
        (scene.secret / "wav.scp").write_text(f"utt {scene.secret}/none.wav\n")
        given = ["--asr_train_config", str(config), "--asr_model_file", str(model)]
        command.main([*given, "--output_dir", str(scene.secret / "out"), *more])

    return run


WAVS = ("--wav_scp", "secret/wav.scp")
OPENERS = {  # of an experiment's folder: kind, how it is opened
    "SpeechLanguageModel": ("slm", open_listener),
    "task": ("beam", lambda scene: ASRTask.build_model_from_file(*files(scene))),
    "gap": ("beam", lambda scene: Space.open(scene.pack, MODEL)),
    "ctc_inference": ("beam", decode(ctc_inference, *WAVS)),
    "slm_inference": ("slm", decode(slm_inference, *WAVS)),
    "asr_inference": (
        "beam",
        decode(asr_inference, "--data_path_and_name_and_type", "secret/wav.scp,speech,sound"),
    ),
    "export_stock": (
        "beam",
        lambda scene: export_stock.export(scene.pack, MODEL, scene.secret / "exported"),
    ),
    "pack": ("beam", lambda scene: make_pack(scene.pack, scene.secret / "x.zip")),
    "pack --stock": (
        "beam",
        lambda scene: make_pack(scene.pack, scene.secret / "x.zip", "--stock"),
    ),
    "training": (
        "beam",
        lambda scene: ASRTask.main_worker(
            argparse.Namespace(
                model="espnet",
                frontend="default",
                init_param=[f"{scene.pack / MODEL}:encoder:encoder"],
            )
        ),
    ),
}


@pytest.mark.parametrize("opener", OPENERS)
def test_a_checkpoint_that_runs_code_is_refused_by_everything_that_opens_one(opener, homes, scene):
    kind, opens = OPENERS[opener]
    shutil.copytree(homes[kind], scene.pack)
    explosive(scene.pack / MODEL, scene.mark)
    told = "weights_only|no checkpoint of plain tensors|Weights only load failed"
    with pytest.raises((Exception, SystemExit), match=told):
        opens(scene)
    assert not scene.mark.exists()


def test_an_experiment_from_elsewhere_is_opened_as_data(homes, scene):
    shutil.copytree(homes["slm"], scene.pack)
    shutil.copytree(homes["slm"].parents[1] / "models", scene.secret / "models")
    bases = {name: scene.secret / "models" / f"tiny-{name}" for name in ("encoder", "llm")}
    config = scene.pack / "config.yaml"
    edit(
        config,
        encoder_conf__experiment=str(bases["encoder"]),
        decoder_conf__model=str(bases["llm"]),
    )
    open_listener(scene)
    evil_code(bases["llm"], scene.mark)
    edit(config, decoder_conf__trust_remote_code=True)
    with pytest.raises(UserError, match="trust_remote_code=True"):
        open_listener(scene)
    edit(config, decoder_conf__trust_remote_code=False)
    with pytest.raises(UserError, match="cannot be read"):  # and nobody is asked
        open_listener(scene)
    edit(bases["encoder"] / "config.yaml", frontend="s3prl")
    with pytest.raises(UserError, match="frontend is 's3prl'"):
        open_listener(scene)
    edit(bases["encoder"] / "config.yaml", frontend="default")
    explosive(bases["encoder"] / MODEL, scene.mark)
    clean = homes["slm"].parents[1] / "models" / "tiny-llm"
    edit(config, decoder_conf__model=str(clean))
    with pytest.raises(UserError, match="no checkpoint of plain tensors"):
        open_listener(scene)
    assert not scene.mark.exists()


def test_a_model_of_the_hub_with_code_of_its_own_is_refused_without_a_question(homes, scene):
    shutil.copytree(homes["slm"].parents[1] / "models" / "tiny-llm", scene.secret / "llm")
    evil_code(scene.secret / "llm", scene.mark)
    with pytest.raises(UserError, match="cannot be read"):
        embedding_size(str(scene.secret / "llm"))
    assert not scene.mark.exists()


def test_frames_and_packs_by_tag_are_read_as_data(homes, scene, capsys):
    np.save(scene.secret / "x.npy", np.array([Bomb(scene.mark)], dtype=object), allow_pickle=True)
    listener = SpeechLanguageModel.from_pretrained(homes["slm"], MODEL)
    with pytest.raises(ValueError, match="Python objects"):
        listener.transcribe([str(scene.secret / "x.npy")], "en")
    with pytest.raises(SystemExit):
        data = ["--data_path_and_name_and_type", "wav.scp,speech,sound", "--output_dir", "out"]
        asr_inference.main(["--model_tag", "org/evil", *data])
    assert "--model_tag opens a pack as ESPnet does" in capsys.readouterr().err
    assert not scene.mark.exists()


def test_what_cannot_be_opened_again_is_not_packed(homes, scene, capsys):
    shutil.copytree(homes["beam"], scene.pack)
    edit(scene.pack / "config.yaml", frontend="s3prl")
    with pytest.raises(SystemExit, match="frontend is 's3prl'"):
        make_pack(scene.pack, scene.secret / "x.zip")
    assert not (scene.secret / "x.zip").exists()


def test_a_base_model_is_packed_without_what_opening_does_not_read(homes, scene):
    shutil.copytree(homes["slm"].parents[1], scene.secret / "home")
    llm = scene.secret / "home" / "models" / "tiny-llm"
    for name in ("code.py", "training_args.bin", "trainer_state.json", "README.md"):
        (llm / name).write_text("{}")
    folder = scene.secret / "home" / "exp" / "asr_slm_seed1"
    conf = {"model": str(llm), "attn_implementation": "flash_attention_2"}
    encoder = scene.secret / "home" / "models" / "tiny-encoder"
    edit(folder / "config.yaml", decoder_conf=conf, encoder_conf__experiment=str(encoder))
    archive = scene.secret / "x.zip"
    pack.main([
        *("--asr_exp", str(folder), "--model_file", MODEL, "--output", str(archive)),
        *("--include_base", "--mini", "true"),
    ])  # fmt: skip
    unpack_into(archive, scene.pack)
    names = {path.name for path in (scene.pack / "base" / "decoder").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= names
    assert not names & {"code.py", "training_args.bin", "trainer_state.json", "README.md"}
    facts = json.loads((scene.pack / "otreg.json").read_text())
    assert facts["bases"][1]["folder"] == "base/decoder"
    assert Speech2Text.from_pretrained(scene.pack)
