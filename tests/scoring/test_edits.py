import random

import jiwer
import pytest

from espnet_otreg.scoring.edits import Counts, count_edits


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
