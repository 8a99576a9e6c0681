import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet_otreg.report.marks import mark_differences
from espnet_otreg.scoring.wer import count_errors

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
