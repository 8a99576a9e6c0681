"""The harness itself: what a reader must not do makes a target fail."""

import pytest
from hypothesis import strategies as st

from espnet_otreg.errors import UserError

from .conftest import Fuzz, Hang, limited
from .inputs import TEXT_PIECES, damaged

NUMBERS = st.integers(0, 9)


def raising(kind):
    def check(number):
        if number == 7:
            raise kind("no")

    return check


def test_an_exception_that_is_no_user_error_fails():
    with pytest.raises(KeyError):
        Fuzz(0)(NUMBERS, raising(KeyError))


def test_a_refusal_is_counted():
    fuzzing = Fuzz(0)
    fuzzing(NUMBERS, raising(UserError))
    assert 0 < fuzzing.refused < fuzzing.inputs


def test_a_target_that_refuses_everything_fails():
    def check(_):
        raise UserError("never")

    with pytest.raises(AssertionError, match="none went beyond the door"):
        Fuzz(0)(NUMBERS, check)


def test_a_hang_is_broken_off_although_the_code_catches_exceptions():
    with pytest.raises(Hang), limited(0.05):
        while True:
            try:
                sum(range(1000))
            except Exception:
                continue


def test_a_time_is_spent_on_new_inputs():
    drawn = [set(), set()]
    for numbers in drawn:
        Fuzz(0.01)(st.integers(), numbers.add)
    assert len(drawn[0] & drawn[1]) < min(map(len, drawn))


def test_without_a_time_the_inputs_are_always_the_same():
    drawn = [[], []]
    for numbers in drawn:
        Fuzz(0)(damaged(b"u1 hello\nu2 you\n"), numbers.append)
    assert drawn[0] == drawn[1]


def test_damage_reaches_every_piece_of_text():
    seen = []
    Fuzz(0)(damaged(b"x", edits=1), seen.append, examples=2000)
    assert len(seen) > 1000
    missing = [p for p in TEXT_PIECES if not any(p in content for content in seen)]
    assert len(missing) < len(TEXT_PIECES) / 2
