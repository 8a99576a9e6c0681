import random

import jiwer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet_otreg.scoring.edits import (
    Counts,
    count_edits,
    count_edits_of_compounds,
    mark_differences,
)
from espnet_otreg.scoring.wer import count_errors


def texts(seed, count=400, vocabulary=("a", "bb", "ccc", "dd", "é", "你", "ก็")):
    generator = random.Random(seed)
    return [
        " ".join(generator.choices(vocabulary, k=generator.randint(1, 14))) for _ in range(count)
    ]


@pytest.mark.parametrize("kind", ["words", "characters"])
def test_counts_are_those_of_jiwer_kind_by_kind(kind):
    split = str.split if kind == "words" else str
    process = jiwer.process_words if kind == "words" else jiwer.process_characters
    for reference, hypothesis in zip(texts(0), texts(1), strict=True):
        out = process(reference, hypothesis)
        length = out.hits + out.substitutions + out.deletions
        expected = Counts(length, out.hits, out.substitutions, out.deletions, out.insertions)
        assert count_edits(split(reference), split(hypothesis)) == expected


def test_turning_the_texts_round_swaps_insertions_and_deletions():
    for reference, hypothesis in zip(texts(2), texts(3), strict=True):
        there = count_edits(reference.split(), hypothesis.split())
        back = count_edits(hypothesis.split(), reference.split())
        assert there.errors == back.errors
        assert there.insertions - there.deletions == back.deletions - back.insertions


def test_long_texts_beyond_one_machine_word_agree_with_jiwer():
    reference, hypothesis = " ".join(texts(4, 40)), " ".join(texts(5, 40))
    out = jiwer.process_words(reference, hypothesis)
    counts = count_edits(reference.split(), hypothesis.split())
    assert counts[1:] == (out.hits, out.substitutions, out.deletions, out.insertions)


def test_an_empty_side_is_all_insertions_or_all_deletions():
    assert count_edits([], ["a", "b"]) == Counts(0, 0, 0, 0, 2)
    assert count_edits("ab", "") == Counts(2, 0, 0, 2, 0)
    assert count_edits([], []) == Counts(0, 0, 0, 0, 0)


WORDS = st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=8).map(" ".join)


@given(WORDS, WORDS)
def test_pieces_put_together_are_the_two_texts_and_hold_as_many_errors_as_were_counted(one, two):
    pieces = mark_differences(one, two, "en")
    assert " ".join(said for _, said, _ in pieces if said) == one
    assert " ".join(written for _, _, written in pieces if written) == two
    errors = sum(
        max(len(said.split()), len(written.split()))
        for kind, said, written in pieces
        if kind != "="
    )
    assert errors == count_errors(one, two).errors


@pytest.mark.parametrize(
    ("reference", "hypothesis", "language", "expected"),
    [
        ("我 看", "我想看", "zh", [("=", "我", "我"), ("i", "", "想"), ("=", "看", "看")]),
        ("", "hm", "en", [("i", "", "hm")]),
        ("", "", "en", []),
        ("so", "", "en", [("d", "so", "")]),
    ],
)
def test_languages_without_spaces_and_empty_texts_are_marked(
    reference, hypothesis, language, expected
):
    assert mark_differences(reference, hypothesis, language) == expected


COMPOUNDS = {
    "parted": ("the whitepaper is", "the white paper is", (3, 3, 0, 0, 0)),
    "joined": ("a white paper", "a whitepaper", (3, 3, 0, 0, 0)),
    "joined beside an error": ("the white paper now", "the whitepaper then", (4, 3, 1, 0, 0)),
    "three words": ("donau dampf schiff", "donaudampfschiff", (3, 3, 0, 0, 0)),
    "parted at another place": ("nach mittag", "nachm ittag", (2, 2, 0, 0, 0)),
    "other letters": ("white paper", "whitepapers", (2, 0, 1, 1, 0)),
    "nothing": ("", "", (0, 0, 0, 0, 0)),
}


@pytest.mark.parametrize("case", COMPOUNDS)
def test_a_compound_that_is_parted_otherwise_is_no_error(case):
    reference, hypothesis, expected = COMPOUNDS[case]
    found = count_edits_of_compounds(reference.split(), hypothesis.split())
    assert found == expected
    assert found.reference == found.hits + found.substitutions + found.deletions


def test_texts_without_compounds_count_as_ever():
    for reference, hypothesis in zip(texts(6), texts(7), strict=True):
        words = [[f"<{word}>" for word in text.split()] for text in (reference, hypothesis)]
        assert count_edits_of_compounds(*words).reference == count_edits(*words).reference
        assert count_edits_of_compounds(*words).errors <= count_edits(*words).errors
