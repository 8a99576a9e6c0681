import logging
import os
import sys
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

import espnet_otreg
from espnet_otreg.errors import UserError
from espnet_otreg.hub.facts import BaseModel, Facts
from espnet_otreg.hub.opened import _check_statistics, find, opened
from tests.support.hostile_packs import edit

VERSION = espnet_otreg.__version__


@pytest.fixture
def folder(tmp_path):
    """An unpacked folder, whose files are not looked into here."""
    made = tmp_path / "pack"
    made.mkdir()
    meta = {
        "files": {"asr_model_file": "model.pth"},
        "yaml_files": {"asr_train_config": "config.yaml"},
    }
    config = {"bpemodel": "bpe.model", "normalize_conf": {"stats_file": "stats.npz"}}
    (made / "meta.yaml").write_text(yaml.safe_dump(meta))
    (made / "config.yaml").write_text(yaml.safe_dump(config))
    for name in ("model.pth", "bpe.model"):
        (made / name).write_bytes(b"")
    np.savez(made / "stats.npz", count=9, sum=np.ones(3), sum_square=np.ones(3))
    write_facts(made)
    return made


def write_facts(folder, **changes):
    needed = ("config.yaml", "model.pth", "bpe.model", "stats.npz")
    facts = {"model": "otreg", "method": "beam", "espnet_otreg": VERSION, "name": "x"}
    Facts(**{**facts, "files": needed, **changes}).write(folder)


def test_paths_are_of_this_machine_while_the_pack_is_open_and_the_pack_is_not_changed(folder):
    before = (folder / "config.yaml").read_bytes()
    with opened(folder) as pack:
        config = yaml.safe_load(pack.config.read_text())
        kept = pack.config
    assert config["bpemodel"] == str(folder / "bpe.model")
    assert config["normalize_conf"]["stats_file"] == str(folder / "stats.npz")
    assert not kept.exists()
    assert (folder / "config.yaml").read_bytes() == before


@pytest.mark.parametrize("name", ["model.pth", "bpe.model", "stats.npz", "config.yaml"])
def test_a_file_that_is_missing_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(UserError, match=f"lacks {name}"), opened(folder):
        pass


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname"])
def test_a_configuration_that_names_files_outside_the_pack_is_refused(folder, name):
    config = yaml.safe_load((folder / "config.yaml").read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump({**config, "bpemodel": name}))
    with pytest.raises(UserError, match="outside the pack"), opened(folder):
        pass


def test_another_version_is_told_and_the_same_is_not(folder, caplog):
    with caplog.at_level(logging.WARNING), opened(folder):
        assert not caplog.records
        write_facts(folder, espnet_otreg="9.1")
    with caplog.at_level(logging.WARNING), opened(folder):
        assert f"packed by espnet_otreg 9.1, and {VERSION} is installed" in caplog.text


def test_base_models_of_the_hub_are_left_by_name_and_unknown_ones_refused(folder):
    config = {"decoder": "causal_lm", "decoder_conf": {"model": "org/llm"}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    write_facts(folder, bases=(BaseModel("decoder", "model", "org/llm", "ab" * 32, False, None),))
    with opened(folder) as pack:
        assert yaml.safe_load(pack.config.read_text()) == config
        assert pack.facts.bases[0].name == "org/llm"
    with opened(folder, bases={"decoder": "/here"}) as pack:
        assert yaml.safe_load(pack.config.read_text())["decoder_conf"]["model"] == "/here"
    with (
        pytest.raises(UserError, match="no base model as its encoder"),
        opened(folder, bases={"encoder": "/here"}),
    ):
        pass


def test_code_that_comes_with_a_base_model_is_run_by_wish_alone(folder):
    config = {"decoder": "causal_lm", "decoder_conf": {"trust_remote_code": True}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    write_facts(folder, bases=(BaseModel("decoder", "model", "org/llm", "ab" * 32, False, None),))
    with pytest.raises(UserError, match="trust_remote_code=True"), opened(folder):
        pass
    with opened(folder, trust_remote_code=True):
        pass


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("files: {}\n", "names no files"),
        ("files: {}\nyaml_files: {}\n", "names no asr_train_config"),
        ("- a\n", "must hold a mapping"),
        ("a: [\n", "not valid YAML"),
    ],
)
def test_a_broken_meta_yaml_is_told(folder, content, told):
    (folder / "meta.yaml").write_text(content)
    with pytest.raises(UserError, match=told), opened(folder):
        pass


@pytest.mark.parametrize("key", ["bpemodel", "normalize_conf__stats_file", "token_list"])
def test_a_number_is_not_opened_as_the_file_that_has_it_in_this_process(folder, key):
    edit(folder / "config.yaml", **{key: 1})
    with pytest.raises(UserError, match=r"names no file|must be a list"), opened(folder):
        pass
    os.fstat(1)


def test_a_folder_where_a_configuration_is_needed_is_told_in_one_line(folder):
    meta = yaml.safe_load((folder / "meta.yaml").read_text())
    meta["yaml_files"]["asr_train_config"] = ""
    (folder / "meta.yaml").write_text(yaml.safe_dump(meta))
    with pytest.raises(UserError, match="Is a directory"), opened(folder):
        pass


def test_an_experiment_that_is_not_packed_is_told(tmp_path):
    with pytest.raises(UserError, match=r"no packed model.*stages\.pack"), opened(tmp_path):
        pass


def test_a_hub_name_is_fetched_at_its_revision(folder, monkeypatch):
    asked = []

    def snapshot_download(repository, **options):
        asked.append((repository, options["revision"]))
        return str(folder)

    hub = SimpleNamespace(snapshot_download=snapshot_download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    assert find("user/model@v1") == find("user/model") == folder
    assert asked == [("user/model", "v1"), ("user/model", None)]

    def fails(repository, **options):
        raise OSError("no network\nmore")

    hub.snapshot_download = fails
    with pytest.raises(UserError, match=r"user/model is no file .*\(no network\)"):
        find("user/model")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match="needs the package huggingface_hub"):
        find("user/model")


@pytest.mark.parametrize("tag", ["packed.zip", "exp/packed.zip", "/no/where", "name", "./a/b"])
def test_a_path_that_is_not_there_is_no_hub_name(tag):
    with pytest.raises(UserError, match="does not exist"):
        find(tag)


@pytest.mark.parametrize("name", ["model.pth", "readme.txt"])
def test_statistics_that_are_another_kind_of_archive_are_refused_in_words(tmp_path, name):
    path = tmp_path / "stats.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, b"no array")
    with pytest.raises(UserError, match="holds arrays of something else than numbers"):
        _check_statistics(str(path))
