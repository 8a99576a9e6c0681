"""What stages/pack refuses, and what it leaves when it does: nothing."""

import argparse
import zipfile

import pytest
import torch
import yaml

from espnet_otreg.hub.decoding import decoding_options
from tests.support.tiny_llm import save_llm
from tests.support.tiny_packs import MODEL, make_pack, save_listener, save_recogniser


@pytest.fixture(scope="module")
def recogniser(tmp_path_factory):
    return save_recogniser(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def listener(tmp_path_factory):
    return save_listener(tmp_path_factory.mktemp("home"))


def test_a_pack_holds_what_decoding_needs_and_names_no_folder_of_this_machine(recogniser, tmp_path):
    pack = make_pack(recogniser, tmp_path / "packed.zip", "--mini", "true", "--name", "tiny")
    with zipfile.ZipFile(pack) as stream:
        names = stream.namelist()
        config = yaml.safe_load(stream.read("config.yaml"))
        told = b"".join(
            stream.read(name) for name in names if not name.endswith((".safetensors", ".model"))
        )
    assert names[0] == "meta.yaml"
    assert set(names) == {
        *("meta.yaml", "config.yaml", "model.safetensors", "bpe.model", "stats.npz"),
        *("decode.yaml", "otreg.json", "README.md"),
    }
    assert config["bpemodel"] == "bpe.model"
    assert config["normalize_conf"] == {"stats_file": "stats.npz"}
    assert config["init_param"] == []
    assert str(recogniser.parents[1]).encode() not in told
    assert b"\n# tiny\n" in told


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--model_file", "no.pth"], r"no\.pth does not exist: train first"),
        (["--output", "x.rar"], r"x\.rar should end in one of"),
        (["--include_base"], "model otreg has no base model"),
        (["--method", "slm"], "--method slm does not decode model: otreg"),
        (["--inference_args", "beam_size 2"], "must be `--option value"),
        (["--inference_config", "no.yaml"], r"no\.yaml does not exist"),
        (["--languages", "xx"], "'xx' has no name"),
        (["--train_corpora", "graded0", "--mini", "false"], "exist as mini corpora alone"),
    ],
)
def test_a_wrong_option_is_told_and_no_file_is_left(recogniser, tmp_path, more, told):
    with pytest.raises(SystemExit, match=told):
        make_pack(recogniser, tmp_path / "packed.zip", *more)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_model_is_told(recogniser, tmp_path):
    folder = tmp_path / "exp"
    folder.mkdir()
    output = tmp_path / "packed.zip"
    with pytest.raises(SystemExit, match=r"config\.yaml does not exist"):
        (folder / MODEL).touch()
        make_pack(folder, output)
    config = yaml.safe_load((recogniser / "config.yaml").read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(SystemExit, match="no checkpoint of plain tensors"):
        make_pack(folder, output)
    torch.save({"model": {}, "optimizers": [], "reporter": {}}, folder / MODEL)
    with pytest.raises(SystemExit, match="not the state of a training"):
        make_pack(folder, output)
    torch.save({"run": argparse.Namespace(code=print)}, folder / MODEL)
    with pytest.raises(SystemExit, match="no checkpoint of plain tensors"):
        make_pack(folder, output)
    torch.save({"x": torch.zeros(1)}, folder / MODEL)
    (folder / "config.yaml").write_text(yaml.safe_dump({**config, "bpemodel": "lost/bpe.model"}))
    with pytest.raises(SystemExit, match=r"bpemodel .* is lost/bpe\.model, which does not exist"):
        make_pack(folder, output)
    assert not output.exists()


def test_models_that_need_this_package_have_no_stock_pack(listener, tmp_path):
    with pytest.raises(SystemExit, match=r"--stock: .* needs this package to be decoded"):
        make_pack(listener, tmp_path / "packed.zip", "--stock")


def test_a_base_model_that_changed_since_training_is_not_included(listener, tmp_path):
    llm = listener.parents[1] / "models" / "tiny-llm"
    with pytest.raises(SystemExit, match=r"tiny-llm .* is not the one that the checkpoint was"):
        save_llm(llm, layers=1)
        make_pack(listener, tmp_path / "packed.zip", "--include_base")
    save_llm(llm)
    make_pack(listener, tmp_path / "packed.zip", "--include_base")


def test_only_options_that_change_the_text_travel(tmp_path):
    (tmp_path / "decode.yaml").write_text("beam_size: 10\npenalty: 0.0\nnj: 4\nbatch_size: 8\n")
    found = decoding_options("beam", tmp_path / "decode.yaml", "--maxlenratio 0.2 --ngpu 1")
    assert found == {"beam_size": 10, "penalty": 0.0, "maxlenratio": 0.2}
    assert decoding_options("slm", None, "--max_new_tokens 9 --batch_size 2") == {
        "max_new_tokens": 9
    }
