"""Data directories and the files beside them, in any state."""

import json

import pytest
from hypothesis import strategies as st

from espnet_otreg.corpora.datadir import DataDir, combine
from espnet_otreg.corpora.journal import Journal, Outcome
from espnet_otreg.corpora.manifest import MANIFEST, is_current, write_manifest, wrong_lines
from espnet_otreg.corpora.overlap import find_shared
from espnet_otreg.corpora.trainable import Limits, filter_set
from espnet_otreg.corpora.validate import wrong_recordings
from espnet_otreg.measure.compression import read_shortening, summarise
from espnet_otreg.measure.training_log import read_epochs
from espnet_otreg.measure.truth import read_word_times
from espnet_otreg.scoring.timing import part_seconds
from tests.support import corpus_trees as trees

from .inputs import JSON_PIECES, as_json, changed, damaged, json_files

TABLES = ("wav.scp", "text", "utt2spk", "utt2lang", "utt2num_samples", "text.de")


@pytest.fixture
def formatted(tmp_path):
    """A formatted set of two recordings, with its manifest."""
    clips = {name: trees.write_audio(tmp_path / f"{name}.wav") for name in ("a", "b")}
    folder = trees.data_dir(tmp_path / "set", clips)
    (folder / "utt2num_samples").write_text("a 3200\nb 3200\n")
    (folder / "text.de").write_text("a hallo\n")
    write_manifest(folder, DataDir.load(folder), trees.RATE)
    return folder


def test_tables_of_a_data_directory(fuzz, formatted):
    """Whatever validation lets through can be filtered, compared, checked and saved."""
    valid = {name: (formatted / name).read_bytes() for name in TABLES}
    other = DataDir.load(formatted)
    inputs = st.sampled_from(TABLES).flatmap(
        lambda name: st.tuples(st.just(name), damaged(valid[name]))
    )

    def check(given):
        name, content = given
        for each in TABLES:
            (formatted / each).write_bytes(content if each == name else valid[each])
        data = DataDir.load(formatted)
        data.validate(formatted)
        filter_set(data, trees.RATE, Limits())
        find_shared({"set": data}, {"other": other})
        list(wrong_recordings(formatted, data, trees.RATE))
        list(wrong_lines(formatted, data, trees.RATE))
        joined, _ = combine({formatted: data})
        joined.save(formatted.with_name("saved"))
        assert DataDir.load(formatted.with_name("saved")) == joined

    fuzz(inputs, check, examples=400)


def test_lines_of_manifests(fuzz, formatted):
    data = DataDir.load(formatted)
    first, second = (json.loads(x) for x in (formatted / MANIFEST).read_text().splitlines())
    lines = st.tuples(json_files(first), json_files(second)).map(b"\n".join)

    def check(content):
        (formatted / MANIFEST).write_bytes(content)
        wrong = list(wrong_lines(formatted, data, trees.RATE))
        assert not (wrong and is_current(formatted, data, trees.RATE))

    fuzz(lines, check)


def test_journals_of_formatting(fuzz, tmp_path):
    path = tmp_path / "journal.jsonl"
    settings = {"fs": 16000}
    outcomes = [Outcome("a", "a.wav", "1:2", 10, 20, ["clipped"], "")] * 2
    Journal(path, settings).append(outcomes)
    head = path.read_bytes() + b""
    header = json.dumps(settings, sort_keys=True).encode() + b"\n"
    line = changed(list(outcomes[0])).map(lambda tree: header + as_json(tree) + b"\n")

    def check(content):
        path.write_bytes(content)
        for outcome in Journal(path, settings).read().values():
            assert all(type(v) is type(w) for v, w in zip(outcome, outcomes[0], strict=True))
            assert all(isinstance(note, str) for note in outcome.notes)
        Journal(path, settings).append(outcomes)
        assert "a" in Journal(path, settings).read()

    fuzz(st.one_of(line, damaged(header + head, pieces=JSON_PIECES)), check)


CLIP = {"corpus": "read", "lang": "en", "split": "test", "clip": "1", "samples": 16000}
CLIP |= {"rate": 16000, "words": [["hello", 0.1, 0.5], ["there", 0.5, 0.9]]}


def test_lines_of_word_times(fuzz, tmp_path):
    path = tmp_path / "word_times.jsonl"

    def check(content):
        path.write_bytes(content)
        (words,) = read_word_times(path, {"x-en-test-1": 1.0}).values()
        for word in words:
            assert isinstance(word.text, str)
            assert 0 <= word.start <= word.end < float("inf")

    fuzz(json_files(CLIP), check, examples=300)


def test_tables_of_shortening(fuzz, tmp_path):
    row = {"embeddings": 9, "merged": 1, "dropped": 2, "silent": [1, 2], "capped": False}

    def check(content):
        (tmp_path / "shortening").write_bytes(b"a " + content + b"\nb " + as_json(row) + b"\n")
        found, capped = read_shortening(tmp_path / "shortening")
        summarise(found, dict.fromkeys(found, 1.0), None, capped)

    fuzz(json_files(row), check)


def test_logs_of_trainings(fuzz, tmp_path):
    path = tmp_path / "train.log"
    line = b"[host] 2026-01-01 (trainer:1) INFO: 3epoch results: [train] a=0.5, time=2 seconds, "
    line += b"[valid] a=nan, b=1e-3, total_count=7\n"

    def check(content):
        path.write_bytes(content)
        read_epochs(path)

    fuzz(damaged(line * 2), check)


def test_times_of_decoding(fuzz, tmp_path):
    (tmp_path / "keys").write_text("a\nb\n")
    lines = [
        b"2026-01-01 10:00:00,000 (asr_inference:1) INFO: speech length: 3200\n",
        b"2026-01-01 10:00:02,500 (asr_inference:1) INFO: speech length: 3200\n",
        b"2026-01-01 10:00:03,000 (asr_inference:1) INFO: best hypo: a\n",
    ]

    def check(content):
        (tmp_path / "log").write_bytes(content)
        part_seconds(tmp_path)
        (tmp_path / "1best_recog").mkdir(exist_ok=True)
        (tmp_path / "1best_recog/seconds").write_bytes(content[:20].replace(b"-", b" "))
        try:
            assert all(s >= 0 for s in part_seconds(tmp_path).values())
        finally:
            (tmp_path / "1best_recog/seconds").unlink()

    fuzz(damaged(b"".join(lines), b"a 1.5\nb 2.5\n"), check)
