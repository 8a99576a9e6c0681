import itertools
import math

import pytest
import torch

from espnet_otreg.ot import AlignmentConf, align
from espnet_otreg.ot.monotone import monotone_plan


def ways(T, U):
    """All ways of frames through tokens in their order."""
    for way in itertools.product(range(U), repeat=T):
        if [token for token, _ in itertools.groupby(way)] == list(range(U)):
            yield way


def test_the_plan_is_that_of_all_ways_one_by_one():
    cost, epsilon = 2 * torch.rand(6, 3, dtype=torch.double), 0.3
    expected, whole = torch.zeros(6, 3, dtype=torch.double), 0.0
    for way in ways(6, 3):
        weight = math.exp(-sum(float(cost[t, u]) for t, u in enumerate(way)) / epsilon)
        whole += weight
        for t, u in enumerate(way):
            expected[t, u] += weight
    plan, possible = monotone_plan(cost[None], torch.tensor([6]), torch.tensor([3]), epsilon)
    torch.testing.assert_close(plan[0], expected / whole / 6)
    assert possible.tolist() == [True]


def test_what_all_states_of_a_frame_cost_alike_changes_nothing():
    cost, lengths = torch.rand(1, 9, 4), (torch.tensor([9]), torch.tensor([4]))
    plan, _ = monotone_plan(cost, *lengths, 0.05)
    shifted, _ = monotone_plan(cost - 30 * torch.rand(1, 9, 1), *lengths, 0.05)
    torch.testing.assert_close(shifted, plan, atol=1e-4, rtol=0)
    torch.testing.assert_close(plan.sum(2), torch.full((1, 9), 1 / 9))


@pytest.mark.parametrize(("size", "epsilon"), [(1.0, 1e-9), (1e8, 0.05)])
def test_costs_far_above_epsilon_leave_the_cheapest_way(size, epsilon):
    cost = size * torch.rand(1, 7, 3, dtype=torch.double)
    plan, _ = monotone_plan(cost, torch.tensor([7]), torch.tensor([3]), epsilon)
    cheapest = min(ways(7, 3), key=lambda way: sum(cost[0, t, u] for t, u in enumerate(way)))
    expected = torch.eye(3, dtype=torch.double)[list(cheapest)] / 7
    torch.testing.assert_close(plan[0], expected)


def test_with_fewer_frames_than_tokens_there_is_none_and_it_says_so():
    speech, text = torch.randn(2, 3, 8), torch.randn(2, 5, 8)
    out = align(speech, torch.tensor([3, 3]), text, torch.tensor([5, 2]), AlignmentConf("monotone"))
    assert out.converged.tolist() == [False, True] and out.marginal_error.tolist() == [1, 0]
    assert (out.coupling[0] == 0).all() and out.cost[0] == 0
    assert float(out.speech_mass[1].sum()) == pytest.approx(1)


def test_a_word_said_twice_is_found_at_both_places_which_transport_cannot_tell_apart():
    words = torch.randn(3, 16)
    said = words[[0, 1, 2, 1]]
    heard = said.repeat_interleave(5, 0)
    given = heard[None], torch.tensor([20]), said[None], torch.tensor([4])
    truth = torch.arange(4).repeat_interleave(5)
    plan = align(*given, AlignmentConf("monotone")).coupling[0]
    assert (20 * plan[range(20), truth] > 0.9).sum() >= 19
    twice = align(*given, AlignmentConf("balanced")).coupling[0, :, [1, 3]]
    torch.testing.assert_close(twice[:, 0], twice[:, 1])
