import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_otreg.errors import UserError
from espnet_otreg.measure.truth import (
    Word,
    make_truth,
    read_word_times,
    truth_of_plan,
    words_of_tokens,
)

WORDS = ["why", "l'avocate", "où"]
LINE = {"corpus": "read", "lang": "en", "split": "dev", "clip": "1_2_3", "rate": 16000}


def line(seconds: float, words: list, **changes: object) -> str:
    return json.dumps({**LINE, "samples": round(16000 * seconds), "words": words, **changes})


def owners(tokens: str, words: list[str] = WORDS) -> list[int]:
    return words_of_tokens(tokens.split(), words).tolist()


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ("[CLS] why l ' av ##oca ##te ou [SEP]", [-1, 0, 1, 1, 1, 1, 1, 2, -1]),
        ("▁W hy ▁ l'avo cate ▁où", [0, 0, 1, 1, 1, 2]),
        ("w h y <space> l ' a v o c a t e <space> o ù", [0] * 3 + [-1] + [1] * 9 + [-1] + [2] * 2),
        ("why , l'avocate . OÙ ?", [0, -1, 1, -1, 2, -1]),
        ("[UNK] l ' [UNK] [UNK]", [0, 1, 1, 1, 2]),
        ("[UNK] ' avocate où", None),  # the unknown would have to be 'why' and 'l' in one
        ("wh [UNK] [UNK] ' avocate où", [0, 0, 1, 1, 1, 2]),
    ],
)
def test_tokens_of_every_kind_are_followed_through_the_words(tokens, expected):
    if expected is None:
        with pytest.raises(UserError, match="do not spell the words"):
            owners(tokens)
    else:
        assert owners(tokens) == expected


@pytest.mark.parametrize("tokens", ["why", "why l'avocate où où", "whyl 'avocate où", "", "x"])
def test_tokens_that_spell_something_else_are_refused(tokens):
    with pytest.raises(UserError, match=r"do not spell the words.*why l'avocate où"):
        owners(tokens)


def test_the_refusal_shows_where_tokens_and_words_part():
    with pytest.raises(UserError, match="'why l'avocate ou est' is where they part"):
        owners("why l'avocate ou est la")
    with pytest.raises(UserError, match="'why l'evocate' is where"):
        owners("why l'evocate ou")


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    words=st.lists(st.text("abÉñ'ß9", min_size=1).filter(lambda w: w.strip("'")), max_size=6),
    data=st.data(),
)
def test_words_cut_anywhere_give_each_piece_its_own_word(words, data):
    tokens, expected = [], []
    for index, word in enumerate(words):
        cuts = data.draw(st.sets(st.integers(0, len(word) - 1))) - {0}
        edges = [0, *sorted(cuts), len(word)]
        pieces = [word[i:j] for i, j in pairwise(edges)]
        tokens += [("##" if i else "") + piece for i, piece in enumerate(pieces)]
        expected += [index if piece.strip("'") else None for piece in pieces]
    found = words_of_tokens(["[CLS]", *tokens, "[SEP]"], words)
    assert found[0] == found[-1] == -1
    assert all(want in (None, got) for want, got in zip(expected, found[1:-1], strict=True))


def test_many_unknown_tokens_that_fit_nowhere_are_refused_at_once():
    with pytest.raises(UserError, match="do not spell"):
        words_of_tokens(["[UNK]"] * 60 + ["x"], ["abcdefghij"] * 40)


def test_a_frame_is_true_for_all_pieces_of_the_word_its_centre_lies_in():
    words = [Word("red", 0.25, 0.75), Word("hats", 1.25, 2.25)]
    truth = make_truth(words, ["[CLS]", "red", "hat", "##s", "[SEP]"], 5, 0.5)
    # centres .25 .75 1.25 1.75 2.25: a start is inside, an end is not
    assert truth.frames.astype(int).tolist() == [
        [0, 1, 0, 0, 0],
        [0, 0, 0, 0, 0],
        [0, 0, 1, 1, 0],
        [0, 0, 1, 1, 0],
        [0, 0, 0, 0, 0],
    ]
    assert truth.owner.tolist() == [-1, 0, 1, 1, -1]
    assert truth.spans.tolist() == [[0.25, 0.75], [1.25, 2.25]]


def test_nothing_said_is_a_truth_too():
    truth = make_truth([], ["[CLS]", "[SEP]"], 3, 0.1)
    assert truth.frames.shape == (3, 2)
    assert not truth.frames.any()
    assert truth.spans.shape == (0, 2)


def test_an_alignment_can_stand_for_the_truth():
    plan = np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 2], [0, 1, 0]])
    truth = truth_of_plan(plan, np.array([-1, 0, 0]), 0.04)
    assert truth.frames.astype(int).tolist() == (plan > 0).astype(int).tolist()
    np.testing.assert_allclose(truth.spans, [[0.04, 0.20]])
    with pytest.raises(UserError, match="word 1 has no frame"):
        truth_of_plan(np.eye(2)[:1], np.array([0, 1]), 0.04)


@pytest.mark.parametrize("hop", [0, -0.1, float("nan"), float("inf")])
def test_a_hop_that_is_no_time_is_refused(hop):
    with pytest.raises(UserError, match="hop"):
        make_truth([], [], 1, hop)


def test_utterances_find_their_clip_by_name_and_length(tmp_path):
    path = tmp_path / "word_times.jsonl"
    path.write_text(
        "\n".join(
            [
                line(2.0, [["a", 0.1, 0.2]]),
                line(3.0, [["b", 0.3, 0.4]], corpus="graded1"),  # the same name, another corpus
                line(2.0, [["c", 0.5, 0.6]], lang="fr"),
                line(2.0, [], clip="not wanted"),
                line(1.0, [["d", 0.7, 0.8]], clip="with space"),
            ]
        )
    )
    durations = {"mls-fr-dev-1_2_3": 2.0, "mls-en-dev-1_2_3": 3.0, "x-en-dev-with_space": 1.00005}
    found = read_word_times(path, durations)
    assert list(found) == list(durations)
    assert [words[0].text for words in found.values()] == ["c", "b", "d"]
    assert found["mls-en-dev-1_2_3"] == (Word("b", 0.3, 0.4),)


def test_utterances_without_truth_are_an_error_that_counts_them(tmp_path):
    path = tmp_path / "word_times.jsonl"
    path.write_text(line(2.0, [["a", 0.1, 0.2]]))
    durations = {
        "mls-en-dev-1_2_3": 2.0,
        "sp0.9-mls-en-dev-1_2_3": 2.222,
        "fleurs-en-dev-1_2_3": 2.1,
        "mls-en-dev-9": 1.0,
    }
    with pytest.raises(UserError, match=r"3 of 4 utterances.* such as sp0.9-mls.* for 1 of them"):
        read_word_times(path, durations)


def test_two_clips_of_the_same_name_and_length_need_the_name_of_the_corpus(tmp_path):
    path = tmp_path / "word_times.jsonl"
    words = [["a", 0.1, 0.2]]
    lines = [line(2.0, words), line(2.0, [["a", 0.3, 0.4]], corpus="graded1")]
    path.write_text("\n".join(lines))
    with pytest.raises(UserError, match="1 utterances, such as mls-en-dev-1_2_3"):
        read_word_times(path, {"mls-en-dev-1_2_3": 2.0})
    found = read_word_times(path, {"mls-en-dev-1_2_3": 2.0}, corpus="graded1")
    assert found["mls-en-dev-1_2_3"][0].start == 0.3
    path.write_text("\n".join([lines[0], line(2.0, words, corpus="noisy")]))
    assert read_word_times(path, {"mls-en-dev-1_2_3": 2.0})  # they agree


@pytest.mark.parametrize("bad", ["{", "[]", line(1.0, [["a", 0.1]]), line(1.0, [], rate=0), "{}"])
def test_a_damaged_line_is_named(tmp_path, bad):
    path = tmp_path / "word_times.jsonl"
    path.write_text(f"{line(1.0, [])}\n{bad}\n")
    with pytest.raises(UserError, match=r"word_times\.jsonl:2 "):
        read_word_times(path, {"mls-en-dev-1_2_3": 1.0})


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        read_word_times(tmp_path / "none", {})
