"""The plan of one view of the speech, followed by another."""

import pytest
import torch

from espnet_otreg.models.controls import Transcripts
from espnet_otreg.models.options import OTConf
from espnet_otreg.models.transport_term import TransportTerm
from espnet_otreg.ot import OTRegLoss
from espnet_otreg.ot.sequences import resampled
from espnet_otreg.ot.views import View, carried, follow

CLEAN, SEEN, TOKENS = (torch.tensor(each) for each in ([8, 5, 0, 4], [11, 5, 0, 2], [3, 2, 1, 0]))


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def text():
    return View(noise(4, 3, 6, seed=1), TOKENS)


@pytest.fixture
def clean():
    return View(noise(4, 8, 6, seed=2), CLEAN)


@pytest.fixture
def seen():
    return View(noise(4, 12, 6, seed=3), SEEN)  # one frame more than any has


def test_a_stretched_plan_moves_as_much_to_each_token_in_the_same_order():
    plan = torch.zeros(1, 8, 2)
    plan[0, :4, 0] = plan[0, 4:, 1] = 1 / 8
    longer = carried(plan, torch.tensor([8]), torch.tensor([16]))
    assert longer.shape == (1, 16, 2)
    torch.testing.assert_close(longer.sum(2), torch.full((1, 16), 1 / 16))
    torch.testing.assert_close(longer.sum(1), torch.tensor([[0.5, 0.5]]))
    assert longer[0, :7, 0].min() > 0 and not longer[0, :7, 1].any()
    same = carried(plan, torch.tensor([8]), torch.tensor([8]))
    assert torch.equal(same, plan)


def test_a_view_that_is_the_clean_one_costs_what_it_costs_alone(clean, text):
    for conf in ({}, {"relax_text": 0.1}, {"cost": "sqeuclidean"}):
        loss = OTRegLoss(**conf)
        alone = loss(*clean, *text)
        found = follow(loss, clean, clean, text)
        torch.testing.assert_close(found.loss, alone.loss)
        torch.testing.assert_close(found.cost, alone.cost)
        assert torch.equal(found.plan.coupling, alone.plan.coupling)


def test_its_cost_is_that_of_the_carried_plan_and_its_gradient_draws_along_it(clean, seen, text):
    frames = seen.x.clone().requires_grad_()
    loss = OTRegLoss(sparsity_weight=0.0)
    out = follow(loss, clean, View(frames, SEEN), text)
    plan = carried(loss(*clean, *text).plan.coupling, CLEAN, SEEN)
    expected = []
    for b in range(2):
        costs = [
            [1 - torch.cosine_similarity(seen.x[b, t], text.x[b, u], 0) for u in range(TOKENS[b])]
            for t in range(SEEN[b])
        ]
        expected.append(
            sum(plan[b, t, u] * c for t, row in enumerate(costs) for u, c in enumerate(row))
        )
    torch.testing.assert_close(out.cost[:2], torch.stack(expected))
    assert out.cost[2:].tolist() == [0, 0]  # a side is empty
    torch.testing.assert_close(out.loss, torch.stack(expected).mean())
    out.loss.backward()
    assert frames.grad[0, :11].any() and not frames.grad[0, 11:].any() and not frames.grad[2:].any()


def test_an_utterance_costs_the_same_alone_and_padding_may_hold_nan(clean, seen, text):
    loss = OTRegLoss()
    together = follow(loss, clean, seen, text).cost
    for b in range(2):
        views = [View(x[b : b + 1, : n[b]], n[b : b + 1]) for x, n in (clean, seen, text)]
        torch.testing.assert_close(follow(loss, *views).cost[0], together[b])
    dirty = []
    for x, n in (clean, seen, text):
        y = x.clone()
        for b in range(4):
            y[b, n[b] :] = torch.nan
        dirty.append(View(y.requires_grad_(), n))
    out = follow(loss, *dirty)
    torch.testing.assert_close(out.cost, together)
    out.loss.backward()
    assert dirty[1].x.grad.isfinite().all() and dirty[0].x.grad is None


def test_what_is_resampled_may_be_empty():
    assert resampled(torch.zeros(2, 0, 3), torch.tensor([0, 0]), torch.tensor([0, 0])).shape[1] == 0


@pytest.mark.parametrize(
    "conf",
    [
        {},
        {"whiten": "vocabulary", "centre_frames": True},
        {"contrast_weight": 0.5},
        {"frames_per_token": 1.0},
    ],
)
def test_the_term_follows_the_clean_frames_in_every_space(conf, clean):
    table = noise(9, 6, seed=4)
    said = Transcripts(
        torch.tensor([[3, 4], [6, -1], [5, -1], [-1, -1]]), torch.tensor([2, 1, 1, 0])
    )
    heard = noise(4, 8, 6, seed=5)
    term = TransportTerm(OTConf(plan_from="clean", **conf))
    own, _ = term.measure(*clean, said, table, 0)
    out, told = term.measure(heard, CLEAN, said, table, 0, clean=clean)
    assert torch.equal(out.plan.coupling, own.plan.coupling)
    assert out.cost[0] > own.cost[0]  # noise is farther from where the clean frames go
    torch.testing.assert_close(
        told["ot_entropy"], term.measure(*clean, said, table, 0)[1]["ot_entropy"]
    )
    same, _ = term.measure(*clean, said, table, 0, clean=clean)
    torch.testing.assert_close(same.loss, own.loss)


def test_utterances_weigh_as_asked(clean, seen, text):
    out = follow(OTRegLoss(), clean, seen, text, utterance_weight=torch.tensor([3.0, 1, 5, 5]))
    each = out.cost + 0.1 * out.sparsity
    torch.testing.assert_close(out.loss, (3 * each[0] + each[1]) / 4)


def test_what_tokens_weigh_follows_from_the_frames_whose_plan_it_is(clean, seen):
    table = noise(9, 6, seed=4)
    ids = torch.tensor([[3, 4], [6, -1], [5, -1], [-1, -1]])
    said = Transcripts(ids, torch.tensor([2, 1, 1, 0]))
    term = TransportTerm(OTConf(plan_from="clean", frames_per_token=1.0))
    own, _ = term.measure(*clean, said, table, 0)
    out, _ = term.measure(*seen, said, table, 0, clean=clean)
    expected = carried(own.plan.coupling, CLEAN, SEEN)
    torch.testing.assert_close(out.plan.coupling[:, : expected.shape[1]], expected)
