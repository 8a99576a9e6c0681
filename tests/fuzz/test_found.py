"""What fuzzing found: each input once ended in a traceback, a hang, or a file gone wrong."""

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest

from espnet_otreg.corpora.audio import BadAudio, load_clip, rate_of
from espnet_otreg.corpora.datadir import DataDir, write_table
from espnet_otreg.corpora.journal import Journal
from espnet_otreg.corpora.manifest import MANIFEST, write_manifest, wrong_lines
from espnet_otreg.corpora.record import Rejected, write_rejected
from espnet_otreg.corpora.truncation import look_at_end
from espnet_otreg.errors import UserError
from espnet_otreg.files import read_json, write_lines
from espnet_otreg.measure.compression import read_shortening
from espnet_otreg.measure.truth import read_word_times
from espnet_otreg.report.media import INDEX, read_drawn
from espnet_otreg.scoring.hypotheses import read_hypotheses
from espnet_otreg.scoring.provenance import read_training_run
from espnet_otreg.scoring.score_file import load_score, save_score
from espnet_otreg.scoring.timing import part_seconds, read_timing, seconds_in_log
from espnet_otreg.scoring.wer import score
from tests.support import corpus_trees as trees

DEEP = "[" * 3000


def written(name, content):
    path = Path(name)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("content", [DEEP, '{"a": ' * 3000])
def test_json_nested_too_deeply_is_refused(content):
    with pytest.raises(UserError, match="not valid JSON"):
        read_json(written("x.json", content))
    with pytest.raises(UserError, match="not JSON"):
        read_hypotheses(written("x.jsonl", content))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"id": "u", "text": "\ud800"}, "half a character"),
        ({"id": None, "text": "a"}, "should be a text or a number, not None"),
        ({"id": True, "text": "a"}, "not True"),
        ({"id": ["u"], "text": "a"}, "not \\['u'\\]"),
    ],
)
def test_a_hypothesis_that_no_file_could_hold_is_refused(line, message):
    with pytest.raises(UserError, match=message):
        read_hypotheses(written("x.jsonl", json.dumps(line)))


def test_a_file_name_that_is_not_unicode_is_listed_all_the_same():
    write_rejected(Path("rejected.tsv"), [Rejected(os.fsdecode(b"\xe9.wav"), "no transcript")])
    assert Path("rejected.tsv").read_text() == "\\udce9.wav\tno transcript\n"


@pytest.mark.parametrize("value", ["/a\nb/c.wav", "/a\rb/c.wav", "/a/c.wav ", " /a/c.wav"])
def test_a_path_that_a_table_cannot_hold_is_refused(value):
    with pytest.raises(UserError, match="cannot hold line ends"):
        write_table(Path("wav.scp"), {"u": value})


def test_text_that_is_not_unicode_is_refused_and_leaves_the_old_file():
    write_lines(Path("x"), ["old"])
    with pytest.raises(UserError, match="not Unicode"):
        write_lines(Path("x"), ["\ud800"])
    assert [path.name for path in Path().iterdir()] == ["x"]


@pytest.fixture
def formatted(tmp_path):
    clips = {"a": trees.write_audio(tmp_path / "a.wav")}
    folder = trees.data_dir(tmp_path / "set", clips)
    (folder / "utt2num_samples").write_text("a 3200\n")
    return folder


def test_samples_of_thousands_of_digits_are_refused(formatted):
    (formatted / "utt2num_samples").write_text(f"a {'9' * 5000}\n")
    with pytest.raises(UserError, match="not a number of samples"):
        DataDir.load(formatted).validate(formatted)


@pytest.mark.parametrize("line", [b'{"id": "\xff"}', DEEP.encode()])
def test_a_manifest_line_that_is_no_json_is_listed(formatted, line):
    data = DataDir.load(formatted)
    write_manifest(formatted, data, trees.RATE)
    (formatted / MANIFEST).write_bytes(line)
    (wrong,) = wrong_lines(formatted, data, trees.RATE)
    assert wrong.reason.startswith("not JSON")


@pytest.mark.parametrize(
    "line",
    ['[["a"], "s", "1:2", 1, 2, [], ""]', '["a", "s", "1:2", 1, "2", [], ""]', DEEP]
    + [f'["a", "s", "1:2", 1, 2, {notes}, ""]' for notes in ("[[]]", "7", "null")],
)
def test_a_journal_line_of_other_types_means_that_its_item_is_done_again(line):
    written("j", f"{{}}\n{line}\n")
    assert Journal(Path("j"), {}).read() == {}


CLIP = {"corpus": "c", "lang": "en", "split": "t", "clip": "1", "samples": 1, "rate": 1}


@pytest.mark.parametrize(
    "change",
    [{"samples": 10**400}, {"words": [["a", 10**400, 1]]}, {"words": [[["a"], 0, 1]]}]
    + [{"words": [["a", *span]]} for span in ([1, 0], [-1, 1], [0, math.inf], [math.nan, 1])],
)
def test_word_times_of_no_clip_are_refused(change):
    path = written("w", json.dumps({**CLIP, "words": [], **change}))
    with pytest.raises(UserError, match="w:1 does not tell"):
        read_word_times(path, {"x-en-t-1": 1.0})


@pytest.mark.parametrize("line", [b"\xff", DEEP.encode()])
def test_word_times_that_are_no_json_are_refused(line):
    with pytest.raises(UserError, match="w:1 does not tell"):
        read_word_times(written("w", line), {"x-en-t-1": 1.0})


@pytest.mark.parametrize(
    "row",
    [
        "7",
        DEEP,
        f'{{"embeddings": {10**400}, "merged": 0, "dropped": 0, "silent": [], "capped": false}}',
        '{"embeddings": 1, "merged": 0, "dropped": 0, "silent": [1], "capped": false}',
        '{"embeddings": "1", "merged": 0, "dropped": 0, "silent": [], "capped": false}',
    ],
)
def test_a_shortening_of_what_is_not_there_is_refused(row):
    with pytest.raises(UserError, match="u is unreadable"):
        read_shortening(written("shortening", f"u {row}\n"))


def test_times_that_no_clock_shows_are_no_times():
    Path("1best_recog").mkdir()
    for value in ("x", "nan", "-1", "inf"):
        written("1best_recog/seconds", f"u {value}\n")
        with pytest.raises(UserError, match="u has no number of seconds"):
            part_seconds(Path())
    assert seconds_in_log("2026-13-45 10:00:00,000 (a:1) INFO: speech length: 1\n", ["u"]) == {}


GOOD = {"audio_s": 8.0, "decoding_s": 4.0, "utterances": 4, "device": "cpu", "processes": 1}


@pytest.mark.parametrize("change", [{"device": []}, {"input": 1}, {"audio_s": 1e999}])
def test_a_timing_of_other_types_is_refused(change):
    written("timing.json", json.dumps({**GOOD, "input": "recordings", **change}))
    with pytest.raises(UserError, match="no record of decode_sets"):
        read_timing(Path())


@pytest.mark.parametrize(
    "run", [{"command": "'"}, {"wall_time_s": math.inf}, {"device": []}, {"seed": "1"}]
)
def test_a_run_that_no_training_wrote_is_refused(run):
    written("run.json", json.dumps(run))
    with pytest.raises(UserError, match=f"run.json: {next(iter(run))} should be"):
        read_training_run(Path())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"normaliser": None}, "should name its normaliser"),
        ({"missing_hypotheses": "3"}, "should name its normaliser and count"),
        ({"ignored_hypotheses": -1}, "should name its normaliser and count"),
    ],
)
def test_a_score_of_other_types_is_refused(change, message):
    save_score(Path("score.json"), score({"u": "a"}, {"u": "a"}, normaliser="none"), "none", {})
    written("score.json", json.dumps({**read_json(Path("score.json")), **change}))
    with pytest.raises(UserError, match=message):
        load_score(Path("score.json"))


def test_a_path_without_a_name_or_with_an_endless_one_is_no_score():
    with pytest.raises(UserError, match="is no file"):
        load_score(Path("."))
    with pytest.raises(UserError, match="does not exist"):
        load_score(Path("a" * 300) / "score.json")


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ({}, "figures should be a list"),
        ({"figures": None, "pictures": []}, "figures should be a list"),
        ({"figures": [], "pictures": [{"file": "a.svg"}]}, "pictures should be a list"),
        (
            {"figures": [{"file": "../a.svg", "title": "", "caption": ""}], "pictures": []},
            "points outside",
        ),
    ],
)
def test_an_index_of_pictures_that_draws_nothing_is_refused(index, message):
    written(INDEX, json.dumps(index))
    with pytest.raises(UserError, match=message):
        read_drawn(Path())


def test_an_empty_recording_has_no_end_to_look_at():
    assert look_at_end(written("a.wav", b"")).missing == ""


@pytest.mark.parametrize("name", ["a.raw", "\0.wav", "\ud800.wav"])
def test_a_recording_that_cannot_be_opened_is_a_reason(name):
    if name == "a.raw":
        written(name, b"1234")
    with pytest.raises(BadAudio):
        load_clip(Path(name), 16000)
    with pytest.raises(UserError, match="cannot be read"):
        rate_of(Path(name))


def test_samples_whose_sum_is_infinite_are_a_reason():
    signal = np.full((1600, 2), 3e38, dtype=np.float32)
    path = trees.write_audio(Path("a.wav"), signal, subtype="FLOAT")
    with pytest.raises(BadAudio, match="not a number"):
        load_clip(path, 16000)
