"""Tables on the hub, with a stand-in for the package huggingface_hub."""

import errno
import fnmatch
import shutil
import sys
from types import SimpleNamespace

import pytest

from espnet_otreg.corpora import table, table_hub
from espnet_otreg.errors import UserError
from espnet_otreg.files import read_table
from espnet_otreg.recipe.stamps import Stamps
from espnet_otreg.stages import prepare_data
from tests.support import table_trees as tables

NAME = "hub:owner/speech"
FILES = ("fr_fr/train-0-of-1", "fr_fr/test-0-of-2", "fr_fr/test-1-of-2", "en_us/test-0-of-1")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Tables as FLEURS' copy has them; `asked` lists what is fetched."""
    remote = tmp_path / "remote"
    for number, name in enumerate(FILES):
        audio = {"bytes": tables.encoded(number), "path": f"{number}.wav"}
        row = {"audio": audio, "transcription": f"sentence {number}", "path": f"{number}.wav"}
        tables.write_parquet(remote / f"{name}.parquet", [row])
    (remote / "README.md").write_text("a card")
    state = SimpleNamespace(remote=remote, asked=[], names=None)

    def dataset_info(repository, revision):
        state.asked.append((repository, revision))
        found = (p.relative_to(remote).as_posix() for p in remote.rglob("*") if p.is_file())
        names = state.names or found
        return SimpleNamespace(
            sha="c0ffee", siblings=[SimpleNamespace(rfilename=name) for name in names]
        )

    def snapshot_download(repository, *, repo_type, revision, local_dir, allow_patterns):
        assert (repository, repo_type, revision) == ("owner/speech", "dataset", "c0ffee")
        for path in remote.rglob("*.parquet"):
            name = path.relative_to(remote).as_posix()
            if any(fnmatch.fnmatch(name, pattern) for pattern in allow_patterns):
                state.asked.append(name)
                (local_dir / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, local_dir / name)

    state.package = SimpleNamespace(
        HfApi=lambda: SimpleNamespace(dataset_info=dataset_info),
        snapshot_download=snapshot_download,
    )
    monkeypatch.setitem(sys.modules, "huggingface_hub", state.package)
    monkeypatch.setenv("DOWNLOADS", str(tmp_path / "downloads"))
    state.map = tmp_path / "downloads/hub/owner/speech.yaml"
    state.map.parent.mkdir(parents=True)
    state.map.write_text("preset: fleurs\n")
    return state


def offline(*_, **__):
    raise RuntimeError("no route to host\nand more")  # HTTP libraries have errors of their own


def test_the_files_asked_for_are_fetched_once_and_read_as_a_folder_is(hub, tmp_path):
    def prepare(root, output, split="test"):
        given = ["--corpus", "table", "--root", str(root), "--languages", "fr", "--splits", split]
        prepare_data.main([*given, "--output", str(tmp_path / output)])
        return read_table(tmp_path / output / f"table_{split}/text")

    prepared = prepare(NAME, "a")
    assert sorted(prepared.values()) == ["sentence 1", "sentence 2"]
    tests = ["fr_fr/test-0-of-2.parquet", "fr_fr/test-1-of-2.parquet"]
    assert [hub.asked[0], *sorted(hub.asked[1:])] == [("owner/speech", None), *tests]
    (hub.remote / "table.yaml").write_text("preset: fleurs\n")
    assert prepare(hub.remote, "b") == prepared
    hub.asked.clear()
    prepare(NAME, "a", "train")  # of the version that the first was of
    assert hub.asked == ["fr_fr/train-0-of-1.parquet"]
    hub.package.HfApi = hub.package.snapshot_download = offline
    assert prepare(NAME, "c") == prepared
    with pytest.raises(SystemExit, match=r"error: hub:owner/speech has no file for 'fr' dev;"):
        prepare(NAME, "c", "dev")


def test_all_languages_are_those_of_the_folders_there(hub):
    folder = table_hub.fetch_tables(NAME, ["all"], ["test"])
    assert table.languages(folder) == ["en", "fr"]
    assert not (folder / "fr_fr/train-0-of-1.parquet").exists()


def test_the_language_of_translations_is_not_looked_for(hub):
    hub.map.write_text("preset: covost2\n")
    for name in ("fr_en", "es_en"):
        (hub.remote / name).mkdir()
        shutil.copy(hub.remote / f"{FILES[0]}.parquet", hub.remote / name / "test-0.parquet")
    table_hub.fetch_tables(NAME, ["fr", "en"], ["test"], "en")
    assert hub.asked[1:] == ["fr_en/test-0.parquet"]


def test_a_revision_is_a_folder_of_its_own(hub, tmp_path):
    (tmp_path / "downloads/hub/owner/speech@refs-convert-parquet.yaml").write_text("preset: fleurs")
    folder = table_hub.fetch_tables(f"{NAME}@refs/convert/parquet", ["fr"], ["test"])
    assert folder == tmp_path / "downloads/hub/owner/speech@refs-convert-parquet"
    assert hub.asked[0] == ("owner/speech", "refs/convert/parquet")


def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"package": None}, r"needs the package huggingface_hub: pip install .* give their folder"),
        ({"HfApi": offline}, r"cannot be fetched \(no route to host\): .* give their folder"),
        (
            {"snapshot_download": offline},
            r"cannot be fetched \(no route to host\): .* their folder",
        ),
        ({"snapshot_download": full}, r"^hub:owner/speech: the disk is full: make room"),
        ({"snapshot_download": lambda *_, **__: None}, r"test-0-of-2\.parquet has not come"),
        ({"names": ["a.tar", "b.tar"]}, r"no Parquet file, but 2 others.*@refs/convert/parquet"),
        ({"names": ["../test.parquet", "/test.parquet", "c"]}, "no Parquet file, but 3 others"),
        ({"map": None}, r"speech/table\.yaml is missing.*`preset: NAME`"),
        ({"languages": ["de"]}, "hub:owner/speech has no file for 'de' test; looked for de_de/"),
        ({"root": "hub:speech"}, "hub:speech: expected hub:OWNER/NAME or hub:OWNER/NAME@REVISION"),
        ({"root": "hub:owner/../.."}, "expected hub:OWNER/NAME"),
    ],
)
def test_what_cannot_be_fetched_is_told_in_one_line(hub, monkeypatch, change, told):
    for name in ("HfApi", "snapshot_download"):
        setattr(hub.package, name, change.get(name, getattr(hub.package, name)))
    hub.names = change.get("names")
    if "package" in change:
        monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    if "map" in change:
        hub.map.unlink()
    with pytest.raises(UserError, match=told) as error:
        table_hub.fetch_tables(change.get("root", NAME), change.get("languages", ["fr"]), ["test"])
    assert "\n" not in str(error.value)
    assert hub.asked == [] or not {"map", "root", "package"} & change.keys()


def test_what_the_columns_mean_is_part_of_a_steps_key_and_what_was_fetched_is_not(hub, tmp_path):
    def stamp():
        return Stamps(tmp_path / "stamps").corpus(NAME).stamp

    first = stamp()
    table_hub.fetch_tables(NAME, ["fr"], ["test"])
    assert stamp() == first
    hub.map.write_text("preset: fleurs\nname: mine\n")
    assert stamp() != first
