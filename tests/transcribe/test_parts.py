"""Pauses, word times, formats and names, without a model."""

import numpy as np
import pytest
import torch

from espnet_otreg.errors import UserError
from espnet_otreg.transcribe import Passage, TimedWord, Transcript, joined, pauses
from espnet_otreg.transcribe.formats import FORMATS
from espnet_otreg.transcribe.recordings import find
from espnet_otreg.transcribe.word_times import Frames, Spelled, passage

RATE = 16000
WORDS = (
    TimedWord("say", 0.5, 0.75, 0.9),
    TimedWord('"hi"', 0.75, 1.25, None),
    TimedWord("now", 3.0, 3.5, 0.25),
)
SPOKEN = Transcript("/a/b c.wav", 4.0, "en", 'say "hi" now', WORDS)


def speech(seconds, rng):
    """A voice's hum: harmonics under a changing loudness, which detectors take for speech."""
    time = np.arange(int(seconds * RATE)) / RATE
    hum = sum(np.sin(2 * np.pi * 140 * k * time) / k for k in range(1, 20))
    loud = 0.15 * (1.2 + np.sin(2 * np.pi * 4 * time))
    return loud * hum + 0.002 * rng.standard_normal(len(time))


@pytest.fixture(params=["webrtcvad", "loudness"])
def detector(request, monkeypatch, caplog):
    pauses._find_module.cache_clear()
    if request.param == "webrtcvad":
        pytest.importorskip("webrtcvad")
    else:
        monkeypatch.setitem(__import__("sys").modules, "webrtcvad", None)
    yield request.param
    pauses._find_module.cache_clear()


def test_a_recording_is_cut_in_its_pauses_and_nothing_is_left_out(detector, caplog):
    rng = np.random.default_rng(0)
    silent = [(3.0, 3.6), (6.6, 7.2), (10.2, 10.8)]
    parts = [part for _ in range(4) for part in (speech(3, rng), np.zeros(int(0.6 * RATE)))]
    samples = np.concatenate(parts[:-1]).astype(np.float32)
    found = pauses.cut(samples, RATE, 5.0)
    assert found[0][0] == 0 and found[-1][1] == len(samples)
    assert [end for _, end in found[:-1]] == [start for start, _ in found[1:]]
    inner = [end / RATE for _, end in found[:-1]]
    assert len(inner) >= 2
    assert all(any(low < at < high for low, high in silent) for at in inner), inner
    assert ("found by loudness" in caplog.text) == (detector == "loudness")


def test_speech_without_a_pause_is_cut_at_its_quietest_moment_and_short_speech_not_at_all(detector):
    samples = speech(12, np.random.default_rng(0)).astype(np.float32)
    found = pauses.cut(samples, RATE, 5.0)
    assert all(0 < end - start <= 5 * RATE for start, end in found)
    assert sum(end - start for start, end in found) == len(samples)
    assert pauses.cut(samples, RATE, 12.0) == [(0, len(samples))]


def scores(path, columns):
    """Log-probabilities that follow a path, 0.9 for what it takes."""
    rows = torch.full((len(path), columns), 0.1 / (columns - 1))
    rows[torch.arange(len(path)), torch.tensor(path)] = 0.9
    return rows.log()


def test_a_word_lasts_from_its_first_token_to_its_last_and_gaps_close_up_to_a_pause():
    path = [0, 1, 0, 2, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0]
    spelled = Spelled("the kings ride", ["▁the", "▁king", "s", "▁ride"], [1, 2, 3, 4])
    found = passage(spelled, Frames(scores(path, 5), 0.1, 1.8), True, 1.8)
    assert [(w.word, round(w.start, 2), round(w.end, 2)) for w in found.words] == [
        ("the", 0.1, 0.3), ("kings", 0.3, 0.7), ("ride", 1.6, 1.7),
    ]  # fmt: skip
    assert [w.confidence for w in found.words] == [0.9, 0.9, 0.9]
    assert found.problem == ""
    moved = passage(spelled, Frames(scores(path, 5), 0.1, 1.8, 0.05), True, 1.8)
    assert moved.words[0].start == pytest.approx(0.15)


def test_without_a_path_words_are_spread_by_their_letters_and_the_reason_is_told():
    spelled = Spelled("a bcd", ["▁a", "▁bcd"], [1, 2])
    short = passage(spelled, Frames(scores([1], 3), 0.1, 2.0), True, 2.0)
    assert [tuple(w) for w in short.words] == [("a", 0, 0.5, None), ("bcd", 0.5, 2.0, None)]
    assert "frames are too few" in short.problem
    assert "no CTC branch" in passage(spelled, None, True, 2.0).problem


def test_where_words_are_not_parted_by_spaces_every_token_has_its_time():
    spelled = Spelled("你好,吗", ["▁", "你好", ",", "吗"], [1, 2, 3, 4])
    found = passage(spelled, Frames(scores([1, 2, 0, 3, 4], 5), 0.1, 0.5), False, 0.5)
    assert [word.word for word in found.words] == ["你好", "吗"]


def test_a_dash_has_no_time_of_its_own_and_stays_in_its_place():
    spelled = Spelled("a - b", ["▁a", "▁-", "▁b"], [1, 2, 3])
    found = passage(spelled, Frames(scores([1, 2, 3], 4), 0.1, 0.3), True, 0.3)
    assert [word.word for word in found.words] == ["a", "-", "b"]
    assert found.words[1][1:] == (found.words[0].end, found.words[0].end, None)


def test_passages_are_joined_with_the_times_of_the_recording():
    first, second = Passage("a", (TimedWord("a", 0, 1, 1),)), Passage("", (), "why")
    third = Passage("b", (TimedWord("b", 0.5, 1, 1),))
    whole = joined([(0, first), (2, second), (3, third)])
    assert whole.text == "a b" and whole.problem == "why"
    assert whole.words[1][1:3] == (3.5, 4)


def test_every_format_holds_the_words_at_their_times():
    assert FORMATS["txt"].render("b c", SPOKEN) == 'say "hi" now\n'
    assert FORMATS["ctm"].render("b c", SPOKEN).splitlines() == [
        "b_c 1 0.500 0.250 say 0.9000", 'b_c 1 0.750 0.500 "hi"', "b_c 1 3.000 0.500 now 0.2500",
    ]  # fmt: skip
    assert FORMATS["srt"].render("b c", SPOKEN) == (
        '1\n00:00:00,500 --> 00:00:01,250\nsay "hi"\n\n2\n00:00:03,000 --> 00:00:03,500\nnow\n'
    )
    assert Transcript.read(SPOKEN.row()) == SPOKEN


def test_a_textgrid_has_no_gap_and_is_read_by_praatio(tmp_path):
    crowded = (*WORDS, TimedWord("-", 4.0, 4.0, None), TimedWord("so", 4.0, 4.0, None))
    content = FORMATS["textgrid"].render("x", Transcript("x", 4.0, None, "", crowded))
    edges = [line.split(" = ")[1] for line in content.splitlines() if line[8:].startswith("    xm")]
    assert edges[0] == "0.000" and edges[1:-1:2] == edges[2::2]
    assert 'text = """hi"""' in content
    textgrid = pytest.importorskip("praatio.textgrid")
    (tmp_path / "x.TextGrid").write_text(content, encoding="utf-8")
    read = textgrid.openTextgrid(str(tmp_path / "x.TextGrid"), includeEmptyIntervals=False)
    labels = [entry.label for entry in read.getTier("words").entries]
    assert labels == ["say", '"hi"', "now", "-", "so"]


def test_subtitles_have_two_lines_at_most_and_do_not_outlast_six_seconds():
    words = tuple(TimedWord(f"word{i}", i * 0.4, i * 0.4 + 0.4, 1.0) for i in range(60))
    cues = FORMATS["srt"].render("x", Transcript("x", 24.0, None, "", words)).split("\n\n")
    assert len(cues) >= 4
    for cue in cues:
        _, times, *lines = cue.strip().split("\n")
        assert 1 <= len(lines) <= 2 and max(map(len, lines)) <= 50
        start, end = (
            float(each.rsplit(":", 1)[1].replace(",", ".")) for each in times.split("-->")
        )
        assert end - start <= 6.0
    assert " ".join(" ".join(cue.strip().split("\n")[2:]) for cue in cues).split() == [
        word.word for word in words
    ]


def test_recordings_of_one_name_are_told_apart_by_as_little_as_it_takes(tmp_path):
    for name in ("one/a.wav", "two/a.wav", "two/b.wav", "two/b.mp3", "two/deep/c.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "two" / "readme").write_bytes(b"")
    found = find([tmp_path / "one", tmp_path / "two", tmp_path / "two" / "b.wav"])
    assert [one.name for one in found.recordings] == [
        "one/a", "two/a", "b.mp3", "b.wav", "deep/c",
    ]  # fmt: skip
    assert found.others == 1
    with pytest.raises(UserError, match="holds no recording"):
        (tmp_path / "empty").mkdir()
        find([tmp_path / "empty"])
