"""The contrast against its sum, written out; what it moves, and what it leaves alone."""

import math

import pytest
import torch

from espnet_otreg.models.controls import Transcripts
from espnet_otreg.models.options import OTConf
from espnet_otreg.models.transport_term import TransportTerm
from espnet_otreg.ot.contrast import plan_contrast
from espnet_otreg.ot.sinkhorn import sinkhorn

IDS = torch.tensor([[3, 4, 3, 5], [6, 7, -1, -1], [-1, -1, -1, -1]])
LENGTHS = torch.tensor([4, 2, 0])
FRAMES = torch.tensor([7, 4, 5])
ANCHOR = 0


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def table():
    return noise(9, 16)


def term(frames, table, **conf):
    return TransportTerm(OTConf(**conf)).measure(
        frames, FRAMES, Transcripts(IDS, LENGTHS), table, ANCHOR
    )


def test_it_is_the_cross_entropy_of_each_frame_against_the_plans_rows(table):
    frames, ids = noise(2, 5, 16, seed=1), torch.tensor([[3, 0, -1], [6, 7, 2]])
    lengths, sizes = torch.tensor([5, 3]), torch.tensor([2, 3])
    plan = sinkhorn(torch.rand(2, 5, 3, generator=torch.Generator().manual_seed(2)), lengths, sizes)
    found = plan_contrast(plan, frames, lengths, ids, table, 7.0)
    for b in range(2):
        surprise = 0.0
        for t in range(int(lengths[b])):
            logits = [7 * float(torch.cosine_similarity(frames[b, t], row, 0)) for row in table]
            normaliser = math.log(sum(map(math.exp, logits)))
            row = plan.coupling[b, t]
            for u in range(int(sizes[b])):
                share = float(row[u] / row.sum())
                surprise += share * (normaliser - logits[ids[b, u]])
        assert float(found[b]) == pytest.approx(surprise / float(lengths[b]), rel=1e-5)


def test_it_enters_the_loss_by_its_weight_and_the_log(table):
    frames = noise(3, 7, 16, seed=1)
    plain, told = term(frames, table)
    assert plain.contrast is None and "ot_contrast" not in told
    out, told = term(frames, table, contrast_weight=0.5)
    expected = float(plain.loss + 0.5 * out.contrast.mean())  # the third one is silence
    assert float(out.loss) == pytest.approx(expected, rel=1e-6)
    assert float(told["ot_contrast"]) == pytest.approx(float(out.contrast.mean()), rel=1e-6)
    assert torch.equal(out.cost, plain.cost)


def test_padding_and_neighbours_change_nothing_and_the_table_stays(table):
    table.requires_grad_()
    frames = noise(3, 7, 16, seed=1).requires_grad_()
    out, _ = term(frames, table, contrast_weight=1.0, whiten="vocabulary")
    out.loss.backward()
    assert table.grad is None
    assert frames.grad[0].abs().sum() > 0 and not frames.grad[1, 4:].any()
    spoilt = frames.detach().clone()
    spoilt[1, 4:] = float("nan")
    again, _ = term(spoilt, table, contrast_weight=1.0, whiten="vocabulary")
    torch.testing.assert_close(again.contrast, out.contrast.detach())


def test_rows_that_nobody_said_repel():
    """All rows resemble each other, as a language model's do: the cost is met in their middle."""
    table = noise(9, 16) * 0.2 + noise(1, 16, seed=3)
    rows = torch.nn.functional.normalize(table, dim=1)

    def said(**conf):
        frames = torch.nn.Parameter(noise(3, 7, 16, seed=1))
        optimiser = torch.optim.Adam([frames], lr=0.05)
        for _ in range(150):
            optimiser.zero_grad()
            term(frames, table, sparsity_weight=0.0, **conf)[0].loss.backward()
            optimiser.step()
        likeness = torch.nn.functional.normalize(frames.detach()[0], dim=1) @ rows.T
        return float((20 * likeness).softmax(1)[:, [3, 4, 5, ANCHOR]].sum(1).mean())

    by_cost, by_contrast = said(), said(contrast_weight=1.0)
    assert by_cost < 0.7 and by_cost + 0.1 < by_contrast


@pytest.mark.parametrize("name", ["contrast_weight", "contrast_scale"])
def test_its_options_are_checked(name):
    with pytest.raises(ValueError, match=name):
        OTConf(**{name: -1.0})


def test_autocast_changes_neither_value_nor_gradient(table):
    narrow = 1 + 0.05 * table  # rows that resemble each other, which is what the contrast is for
    lengths, sizes = torch.tensor([5, 3]), torch.tensor([2, 3])
    ids = torch.tensor([[3, 0, -1], [6, 7, 2]])
    plan = sinkhorn(torch.rand(2, 5, 3, generator=torch.Generator().manual_seed(2)), lengths, sizes)

    def found(enabled):
        frames = (1 + 0.05 * noise(2, 5, 16, seed=1)).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            value = plan_contrast(plan, frames, lengths, ids, narrow, 100.0)
        return value, *torch.autograd.grad(value.sum(), frames)

    for ours, plain in zip(found(True), found(False), strict=True):
        torch.testing.assert_close(ours, plain)
