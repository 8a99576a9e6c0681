"""Word times by a Whisper's attention: the path, what is cut off, and the file that holds them."""

import itertools
import json

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from espnet_otreg.decode.whisper_times import TimingWhisper, _cut, _jumps, _loudness
from espnet_otreg.errors import UserError
from espnet_otreg.files import write_lines
from espnet_otreg.measure.truth import read_word_times
from espnet_otreg.stages import word_times
from tests.support.tiny_speech import save_whisper

TEXTS = {"b-en-test-1": "a bc d", "a-fr-all3-x-y": "é f"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_whisper(tmp_path_factory.mktemp("whisper") / "model")


@pytest.fixture
def data(tmp_path):
    draw = np.random.default_rng(0)
    rows = {"wav.scp": [], "text": [], "utt2lang": []}
    for utt, seconds in zip(TEXTS, (0.9, 0.5), strict=True):
        path = tmp_path / f"{utt}.wav"
        soundfile.write(path, 0.1 * draw.standard_normal(int(16000 * seconds)), 16000)
        rows["wav.scp"].append(f"{utt} {path}")
        rows["text"].append(f"{utt} {TEXTS[utt]}")
        rows["utt2lang"].append(f"{utt} {utt.split('-')[1]}")
    for name, lines in rows.items():
        write_lines(tmp_path / "data" / name, lines)
    return tmp_path / "data"


def times(folder, data, output, *more):
    word_times.main(["--model", str(folder), "--data", str(data), "--output", str(output), *more])
    return output


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    likeness=arrays(
        float,
        st.tuples(st.integers(1, 4), st.integers(1, 5)),
        elements=st.integers(-9, 9).map(float),
    )
)
def test_the_path_is_the_likeliest_of_all(likeness):
    rows, frames = likeness.shape
    best = -np.inf
    steps = ((1, 1), (1, 0), (0, 1))
    ways = {(0, 0): likeness[0, 0]}
    for i, j in itertools.product(range(rows), range(frames)):  # in an order that steps keep
        before = [ways[i - a, j - b] for a, b in steps if (i - a, j - b) in ways]
        if before:
            ways[i, j] = max(before) + likeness[i, j]
    best = ways[rows - 1, frames - 1]
    entered = _jumps(likeness)
    assert entered[0] == 0 and entered == sorted(entered)
    # of the paths that enter the rows there, the best is as good as any path
    ways = {(0, 0): likeness[0, 0]}
    for i, j in itertools.product(range(rows), range(frames)):
        if j < entered[i] or (i, j) == (0, 0):
            continue
        allowed = steps if j == entered[i] else ((0, 1),)
        before = [ways[i - a, j - b] for a, b in allowed if (i - a, j - b) in ways]
        if before:
            ways[i, j] = max(before) + likeness[i, j]
    assert ways[rows - 1, frames - 1] == best


def test_a_diagonal_is_followed():
    likeness = np.full((3, 9), -1.0)
    for row in range(3):
        likeness[row, 3 * row : 3 * row + 3] = 1
    assert _jumps(likeness) == [0, 3, 6]


def test_quiet_ends_are_cut_off_and_what_is_quiet_altogether_is_left():
    samples = np.zeros(3200, np.float32)
    samples[960:1600] = 0.5
    loud = _loudness(samples) >= _loudness(samples).max() - 35
    assert loud.tolist() == [False] * 3 + [True] * 2 + [False] * 5
    assert _cut(0, 10, loud) == pytest.approx((0.06, 0.1))
    assert _cut(6, 9, loud) == pytest.approx((0.12, 0.18))
    assert _cut(4, 4, loud) == pytest.approx((0.08, 0.1))  # one frame at least


def test_words_follow_each_other_within_the_recording(folder, data, tmp_path):
    written = times(folder, data, tmp_path / "times" / "w.jsonl")
    rows = [json.loads(line) for line in written.read_text().splitlines()]
    assert [row["utt"] for row in rows] == list(TEXTS)
    for row in rows:
        assert [word for word, _, _ in row["words"]] == TEXTS[row["utt"]].split()
        starts = [start for _, start, _ in row["words"]]
        assert starts == sorted(starts)
        seconds = row["samples"] / row["rate"]
        assert all(0 <= start < end <= seconds + 0.02 for _, start, end in row["words"])
    found = read_word_times(written, {"b-en-test-1": 0.9, "a-fr-all3-x-y": 0.5})
    assert [word.text for word in found["a-fr-all3-x-y"]] == ["é", "f"]


def test_a_run_that_was_cut_short_goes_on_to_the_same_file(folder, data, tmp_path, monkeypatch):
    whole = times(folder, data, tmp_path / "whole.jsonl").read_bytes()
    rows = whole.splitlines(keepends=True)
    make, part = word_times._row, tmp_path / "again.jsonl.part"

    def killed(whisper, utt, *given):
        if utt == list(TEXTS)[1]:
            raise KeyboardInterrupt
        return make(whisper, utt, *given)

    with monkeypatch.context() as patched:
        patched.setattr(word_times, "_row", killed)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            times(folder, data, tmp_path / "again.jsonl")
    made = part.read_bytes().replace(b'"samples": 14400', b'"samples": 14401')  # to be told by
    part.write_bytes(made + rows[1][:9])
    again = times(folder, data, tmp_path / "again.jsonl").read_bytes()
    assert again == rows[0].replace(b"14400", b"14401") + rows[1] and not part.exists()
    part.write_bytes(made)
    assert (
        b"14401" not in times(folder, data, tmp_path / "again.jsonl", "--quiet", "9").read_bytes()
    )
    part.write_bytes(made)
    write_lines(data / "text", ["b-en-test-1 a bc d", "a-fr-all3-x-y é"])  # other words
    assert b"14401" not in times(folder, data, tmp_path / "again.jsonl").read_bytes()


def test_where_words_have_no_spaces_characters_are_timed(tmp_path, data):
    folder = save_whisper(tmp_path / "zh", languages=("zh",))
    write_lines(data / "text", [f"{utt} 你好" for utt in TEXTS])
    write_lines(data / "utt2lang", [f"{utt} zh" for utt in TEXTS])
    written = times(folder, data, tmp_path / "w.jsonl")
    first = json.loads(written.read_text().splitlines()[0])
    assert [word for word, _, _ in first["words"]] == ["你", "好"]


def test_what_cannot_be_timed_is_told_before_the_work(folder, data, tmp_path):
    whisper = TimingWhisper(str(folder))
    wav = (data / "wav.scp").read_text().split()[1]
    with pytest.raises(UserError, match=r"60 tokens are more than .* reads"):
        whisper.times(wav, ["abcd"] * 12, "en")
    with pytest.raises(UserError, match="expected words of one token or more"):
        whisper.times(wav, [], "en")
    with pytest.raises(UserError, match="does not know the language 'xx'"):
        whisper.times(wav, ["a"], "xx")
    write_lines(data / "text", ["b-en-test-1 a"])
    with pytest.raises(SystemExit, match=r"1 utterances of wav\.scp have no words, first a-fr"):
        times(folder, data, tmp_path / "none.jsonl")
    assert not (tmp_path / "none.jsonl.part").exists()
