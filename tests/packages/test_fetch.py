"""A part becomes a folder once, whole or not at all, and says what it was made of."""

import json

import pytest

from espnet_otreg import packages
from espnet_otreg.errors import UserError
from espnet_otreg.packages import ORIGIN, fetch, is_made
from espnet_otreg.packages.table import PARTS
from espnet_otreg.stages import fetch as stage
from tests.support.tiny_packages import part_of, write_deb, write_wheel

SOUND, TEXT = "usr/share/sounds/a.g722", "usr/share/doc/sounds-en/text.gz"


@pytest.fixture
def downloads(tmp_path):
    return tmp_path / "downloads"


@pytest.fixture
def corpus(downloads, monkeypatch):
    """A corpus of two Debian packages, whose files lie where fetch looks first."""
    kept = downloads / packages.PACKAGES
    kept.mkdir(parents=True)
    paths = [
        write_deb(kept, "sounds-en-g722", {f"./{SOUND}": b"sound"}),
        write_deb(kept, "sounds-en", {f"./{TEXT}": b"text"}),
    ]
    monkeypatch.setitem(PARTS, "corpus", part_of(*paths))
    return paths


@pytest.fixture
def model(downloads, monkeypatch):
    """A model whose conversion is told: it copies, or fails half way."""
    kept = downloads / packages.PACKAGES
    kept.mkdir(parents=True, exist_ok=True)
    path = write_wheel(
        kept, "tiny-model", {"m/model.bin": b"1", "tiny_model-1.0.dist-info/LICENSE": b"MIT"}
    )
    monkeypatch.setitem(PARTS, "model", part_of(path, kind="told", hub="a/b"))

    def convert(unpacked, made):
        made.mkdir()
        (made / "config.json").write_bytes((unpacked / "m/model.bin").read_bytes())
        if convert.fails:
            raise UserError("no such architecture")
        (made / "model.safetensors").touch()

    convert.fails = False
    monkeypatch.setattr(packages, "converter", lambda kind: {"told": convert}[kind])
    return convert


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_corpus_lies_as_its_packages_lay_it_out(corpus, downloads):
    folder = fetch("corpus", downloads)
    assert folder == downloads / "corpus"
    assert names(folder) == sorted([ORIGIN, SOUND, TEXT])
    assert (folder / TEXT).read_bytes() == b"text"


def test_origin_names_packages_hashes_and_licence(corpus, downloads):
    origin = json.loads((fetch("corpus", downloads) / ORIGIN).read_text())
    assert origin["licence"] == "MIT" and origin["origin"] == "made in a test"
    assert [
        (each["client"], each["name"], each["version"], len(each["sha256"]))
        for each in origin["packages"]
    ] == [("apt-get", "sounds-en-g722", "1.0-1", 64), ("apt-get", "sounds-en", "1.0-1", 64)]


def test_a_second_fetch_touches_nothing(corpus, downloads):
    folder = fetch("corpus", downloads)
    (folder / SOUND).write_bytes(b"mine")
    for path in corpus:
        path.unlink()
    assert fetch("corpus", downloads) == folder
    assert (folder / SOUND).read_bytes() == b"mine"


def test_licences_go_with_the_model(model, downloads):
    folder = fetch("model", downloads)
    assert names(folder) == sorted(
        [ORIGIN, "LICENSE.tiny_model-1.0", "config.json", "model.safetensors"]
    )


def test_half_a_conversion_leaves_nothing_and_the_next_one_works(model, downloads):
    model.fails = True
    with pytest.raises(UserError, match="no such architecture"):
        fetch("model", downloads)
    assert not (downloads / "model").exists()
    assert not list(downloads.glob(".model*"))
    model.fails = False
    assert (fetch("model", downloads) / "model.safetensors").is_file()


def test_what_a_killed_fetch_has_left_is_removed(model, downloads):
    left = downloads / ".model.123.tmp" / "made"
    left.mkdir(parents=True)
    fetch("model", downloads)
    assert not left.parent.exists()


def test_other_packages_or_another_conversion_make_the_folder_anew(model, downloads, monkeypatch):
    folder = fetch("model", downloads)
    (folder / "config.json").write_text("old")
    monkeypatch.setattr(packages, "CONVERSION", packages.CONVERSION + 1)
    assert not is_made("model", PARTS["model"], downloads)
    fetch("model", downloads)
    assert (folder / "config.json").read_text() == "1"
    assert is_made("model", PARTS["model"], downloads)


def test_a_failed_renewal_keeps_the_old_folder(model, downloads, monkeypatch):
    folder = fetch("model", downloads)
    monkeypatch.setattr(packages, "CONVERSION", packages.CONVERSION + 1)
    model.fails = True
    with pytest.raises(UserError):
        fetch("model", downloads)
    assert (folder / "model.safetensors").is_file()


def test_a_folder_of_the_users_own_is_left_alone(model, downloads):
    (downloads / "model").mkdir()
    (downloads / "model" / "mine").touch()
    with pytest.raises(UserError, match=r"was not made by this command.*move it away"):
        fetch("model", downloads)
    assert names(downloads / "model") == ["mine"]


def test_the_command_prints_where_each_part_lies(corpus, model, downloads, capsys):
    stage.main(["corpus", "model", "--downloads", str(downloads)])
    assert capsys.readouterr().out.split() == [str(downloads / "corpus"), str(downloads / "model")]


def test_an_unknown_name_is_told_before_anything_is_fetched(corpus, downloads):
    with pytest.raises(SystemExit, match="error: no package is known to carry 'corpsu': did you"):
        stage.main(["corpus", "corpsu", "--downloads", str(downloads)])
    assert not (downloads / "corpus").exists()


def test_without_a_name_the_command_lists_what_there_is(corpus, downloads, capsys):
    fetch("corpus", downloads)
    stage.main(["--downloads", str(downloads)])
    out = capsys.readouterr().out
    rows = {line.split()[0]: line for line in out.splitlines() if line[:1].strip()}
    assert set(PARTS) <= set(rows)
    assert " here " in rows["corpus"] and " here " not in rows["whisper-base"]
    assert "133 MB" in rows["whisper-base"]
    assert out.count("CC-BY-SA-3.0") == 3 and "Gemma Terms of Use" in out


def test_the_table_is_whole():
    packages_of = [package for part in PARTS.values() for package in part.packages]
    assert all(len(bytes.fromhex(package.sha256)) == 32 for package in packages_of)
    assert len({package.sha256 for package in packages_of}) == len(packages_of)
    assert len({package.file for package in packages_of}) == len(packages_of)
    for part in PARTS.values():
        assert part.licence and part.origin
        if part.kind != "corpus":
            assert callable(packages.converter(part.kind))
            assert part.hub in part.instead


def test_a_language_model_says_what_to_give_in_its_place():
    told = PARTS["smollm2-135m"].instead
    assert "--language_model a folder, or a hub name such as HuggingFaceTB/SmolLM2" in told
    assert "--speech_encoder" in PARTS["whisper-base"].instead
