import json
import re
from pathlib import Path

import pytest

from espnet_otreg.corpora.datadir import DataDir
from espnet_otreg.corpora.manifest import MANIFEST, write_manifest, wrong_lines
from espnet_otreg.stages import format_audio
from tests.support import corpus_trees as trees


@pytest.fixture
def formatted(tmp_path):
    clips = {name: trees.write_audio(tmp_path / f"{name}.wav") for name in ("b", "a")}
    source = trees.data_dir(tmp_path / "in", {**clips, "c": tmp_path / "none.wav"}, 'say "é"')
    (source / "text.de").write_text("a sag\n")
    options = ["--nj", "1", "--max_rejected", "0.5"]
    format_audio.main(["--input", str(source), "--output", str(tmp_path / "out"), *options])
    return tmp_path / "out"


def told(folder):
    """Return what is wrong, as the list of mismatches has it."""
    problems = wrong_lines(folder, DataDir.load(folder), 16000)
    return [f"{Path(where).name}: {reason}" for where, reason in problems]


def entries(folder):
    return [json.loads(line) for line in (folder / MANIFEST).read_text("utf-8").splitlines()]


def test_it_says_what_the_tables_say_and_leads_to_the_recordings(formatted):
    data = DataDir.load(formatted)
    first, second = entries(formatted)
    assert [first["id"], second["id"]] == data.ids == ["a", "b"]
    assert first["translations"] == {"de": "sag"}
    assert "translations" not in second
    for entry in (first, second):
        utt = entry["id"]
        assert (formatted / entry["audio_filepath"]).samefile(data.tables["wav.scp"][utt])
        assert entry["num_samples"] == int(data.tables["utt2num_samples"][utt]) == 3200
        assert entry["duration"] == 0.2
        assert (entry["text"], entry["lang"], entry["speaker"]) == ('say "é"', "en", f"spk-{utt}")


def test_paths_stay_right_when_the_folder_moves(formatted):
    moved = formatted.rename(formatted.with_name("moved"))
    assert all((moved / entry["audio_filepath"]).is_file() for entry in entries(moved))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda lines: lines[:1], "manifest.jsonl:2: b is not in it"),
        (lambda lines: [*lines, lines[0]], "manifest.jsonl:3: a line too many"),
        (lambda lines: [lines[0], lines[1][:-9]], "manifest.jsonl:2: not JSON"),
        (lambda lines: ["[]", lines[1]], r"manifest.jsonl:1: not an object: \[\]"),
        (
            lambda lines: [lines[0].replace("0.2", "0.3"), lines[1]],
            "manifest.jsonl:1: duration 0.3 instead of 0.2",
        ),
    ],
)
def test_every_mismatch_is_named_by_its_line(formatted, damage, message):
    path = formatted / MANIFEST
    path.write_text("\n".join(damage(path.read_text("utf-8").splitlines())), "utf-8")
    (problem,) = told(formatted)
    assert re.match(message, problem)


def test_a_manifest_that_says_what_the_tables_say_has_no_wrong_line_and_none_is_missing(formatted):
    assert told(formatted) == []
    (formatted / MANIFEST).unlink()
    assert told(formatted) == ["manifest.jsonl: missing"]


def test_a_recording_that_is_gone_is_named(formatted):
    data = DataDir.load(formatted)
    next((formatted / "audio").rglob("b.flac")).unlink()
    write_manifest(formatted, data, 16000)
    (problem,) = told(formatted)
    assert re.match(r"manifest.jsonl:2: .*b.flac is missing", problem)


def test_a_second_run_leaves_a_manifest_that_holds_and_mends_one_that_does_not(formatted):
    path, source = formatted / MANIFEST, formatted.with_name("in")
    before = path.stat().st_mtime_ns
    again = ["--input", str(source), "--output", str(formatted), "--max_rejected", "0.5"]
    format_audio.main(again)
    assert path.stat().st_mtime_ns == before
    (source / "text").write_text("a new\nb words\nc x\n")  # the recordings are the same
    format_audio.main(again)
    assert [entry["text"] for entry in entries(formatted)] == ["new", "words"]
