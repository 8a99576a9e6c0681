"""Prefix beam search against the sum over all paths."""

import itertools
import math

import numpy as np
import pytest

from espnet_otreg.decode.nbest import ctc_nbest


def every_sequence(log_probs, blank=0):
    """Add up the probabilities of all paths of each sequence, one by one."""
    found = {}
    for path in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs)):
        merged = [token for token, _ in itertools.groupby(path)]
        tokens = tuple(token for token in merged if token != blank)
        score = sum(log_probs[frame, token] for frame, token in enumerate(path))
        found[tokens] = found.get(tokens, 0.0) + math.exp(score)
    return sorted(found.items(), key=lambda item: -item[1])


def frames(seed, length=5, size=3):
    logits = np.random.default_rng(seed).normal(0, 1.5, (length, size))
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


@pytest.mark.parametrize("seed", range(5))
def test_a_beam_that_holds_everything_gives_the_sums_over_all_paths(seed):
    log_probs = frames(seed)
    found = ctc_nbest(log_probs, 1000, beam=1000)
    expected = every_sequence(log_probs)
    assert [one.tokens for one in found] == [tokens for tokens, _ in expected]
    assert [math.exp(one.score) for one in found] == pytest.approx([p for _, p in expected])


def test_a_token_comes_again_only_after_a_blank():
    sure = np.log(np.array([[0.02, 0.96, 0.02], [0.02, 0.96, 0.02], [0.02, 0.96, 0.02]]))
    assert ctc_nbest(sure, 1)[0].tokens == (1,)
    apart = sure.copy()
    apart[1] = np.log([0.96, 0.02, 0.02])
    assert ctc_nbest(apart, 1)[0].tokens == (1, 1)


def test_the_blank_may_be_any_index():
    log_probs = frames(7)
    moved = log_probs[:, [1, 2, 0]]  # the blank comes last
    first = [tuple(token - 1 for token in one.tokens) for one in ctc_nbest(log_probs, 9, beam=99)]
    assert [one.tokens for one in ctc_nbest(moved, 9, beam=99, blank=2)] == first


def test_a_narrow_beam_finds_likely_sequences():
    log_probs = frames(3, length=8, size=4)
    wide, narrow = (ctc_nbest(log_probs, 3, beam=beam) for beam in (500, 16))
    assert narrow[0].tokens == wide[0].tokens
    assert narrow[0].score <= wide[0].score + 1e-9  # paths that were dropped are not counted
    assert len(ctc_nbest(log_probs, 3, beam=1)) <= 3
