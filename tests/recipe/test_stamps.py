"""What a recipe reads is known by its content, and a corpus by its tables."""

import json
import os

import pytest

from espnet_otreg.errors import UserError
from espnet_otreg.recipe import stamps
from espnet_otreg.recipe.stamps import Stamps


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def stamp(path, kind="content"):
    return getattr(Stamps(stamps.Path("cache.json")), kind)(str(path)).stamp


def test_a_folder_is_known_by_what_its_files_hold_wherever_it_lies(here):
    for name in ("a", "b"):
        (here / name).mkdir()
        (here / name / "config.json").write_text("{}")
    assert stamp("a") == stamp("b")
    (here / "b/config.json").write_text("{ }")
    assert stamp("a") != stamp("b")


def test_a_name_that_is_no_file_stands_for_itself():
    assert stamp("openai/whisper-base") == "name openai/whisper-base"


def test_an_experiment_is_known_by_its_key(here):
    (here / "exp/asr_x").mkdir(parents=True)
    (here / "exp/.steps").mkdir()
    (here / "exp/.steps/asr_x.json").write_text(json.dumps({"key": "abc"}))
    assert stamp("exp/asr_x") == "abc"


def test_a_corpus_is_known_by_its_tables_and_the_sizes_of_its_archives(here):
    clips = here / "corpus/en/clips"
    clips.mkdir(parents=True)
    table, archive, clip = here / "corpus/en/train.tsv", here / "corpus/x.tar.gz", clips / "1.tsv"
    for path in (table, archive, clip):
        path.write_text("one")
    before = stamp("corpus", "corpus")
    clip.write_text("two")
    archive.write_text("two")
    assert stamp("corpus", "corpus") == before
    for path in (table, archive):
        path.write_text("three")
        changed = stamp("corpus", "corpus")
        assert changed != before
        before = changed


def test_the_hash_of_a_large_file_is_kept_until_the_file_changes(here, monkeypatch):
    monkeypatch.setattr(stamps, "LARGE", 1)
    path = here / "model.bin"
    path.write_bytes(b"one")
    first = Stamps(here / "cache.json")
    known = first.file(path)
    first.save()
    monkeypatch.setattr(stamps.hashlib, "file_digest", None)  # to read it again would fail
    assert Stamps(here / "cache.json").file(path) == known
    monkeypatch.undo()
    path.write_bytes(b"two")
    os.utime(path, ns=(1, 1))
    assert Stamps(here / "cache.json").file(path) != known


def test_half_a_cache_costs_a_second_reading_and_no_more(here):
    (here / "cache.json").write_text('{"a": [1')
    (here / "x").write_text("x")
    assert stamp("x") == stamp("x")


def test_recordings_that_lie_elsewhere_are_the_same_recordings(here):
    for root in ("dump", "elsewhere/dump"):
        folder = here / root / "raw/0123abcd/set"
        folder.mkdir(parents=True)
        (folder / "wav.scp").write_text(f"utt {root}/raw/0123abcd/set/utt.flac\n")
    digests = {
        Stamps(here / "cache.json").output(here / root / "raw/0123abcd/set", "")
        for root in ("dump", "elsewhere/dump")
    }
    assert len(digests) == 1


def test_a_config_that_is_no_mapping_is_told(here):
    (here / "c.yaml").write_text("- 1")
    with pytest.raises(UserError, match="must hold a mapping of options, got list"):
        stamp("c.yaml")
