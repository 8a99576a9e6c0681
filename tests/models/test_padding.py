"""Padding may hold anything, nan too: neither a value nor a gradient may see it."""

import pytest
import torch

from espnet_otreg.models.adapters import ConvAdapter, StackAdapter, TransferAdapter
from espnet_otreg.ot import (
    AlignmentConf,
    OTRegLoss,
    align,
    compress,
    fused_gromov,
    plan_entropy,
    plan_sparsity,
    silence_mass,
    sinkhorn,
    unique_targets,
)
from espnet_otreg.ot.sequences import ctc_compress, right_aligned, splice
from espnet_otreg.ot.tensors import length_mask, zeroed
from tests.support.tiny_llm import save_llm
from tests.support.tiny_models import ENCODER, build
from tests.support.tiny_slm import build as build_slm
from tests.support.tiny_slm import make_batch as make_slm_batch

LENGTHS, TEXT_LENGTHS = torch.tensor([9, 5, 7]), torch.tensor([2, 4, 3])


SMALL = {"output_size": 8, "hidden_size": 16}


def otreg(x, text, cost):
    return OTRegLoss(cost=cost)(x, LENGTHS, text, TEXT_LENGTHS).loss


def aligned(x, text, **conf):
    return align(x, LENGTHS, text, TEXT_LENGTHS, AlignmentConf(**conf)).cost


def adapted(x, adapter):
    torch.manual_seed(0)
    out, lengths = adapter(8, **SMALL)(x, LENGTHS)
    return out[length_mask(lengths, out.shape[1])]


def spliced(x, text):
    return splice([(text, TEXT_LENGTHS), (x, LENGTHS)]).x


def taught(x, text):
    model = build(
        model="ot_transfer", postencoder="transfer_adapter", postencoder_conf={"text_size": 8},
        encoder_conf={**ENCODER, "input_layer": "linear"},
    )  # fmt: skip
    return model._terms(x, text, LENGTHS, TEXT_LENGTHS, None)[0]


def ctc_compressed(x):
    best = torch.arange(9).div(2, rounding_mode="floor").remainder(3).expand(3, 9)
    return ctc_compress(x, LENGTHS, best, blank=0).x


USERS = {
    "otreg cosine": lambda x, text: otreg(x, text, "cosine"),
    "otreg sqeuclidean": lambda x, text: otreg(x, text, "sqeuclidean"),
    "align": aligned,
    "align by softmax": lambda x, text: aligned(x, text, kind="softmax"),
    "align by structure": lambda x, text: aligned(x, text, kind="balanced", structure_weight=0.5),
    "transfer": taught,
    "compress": lambda x, text: compress(x, LENGTHS, text[0, 0].detach()).x,
    "stack_adapter": lambda x, text: adapted(x, StackAdapter),
    "conv_adapter": lambda x, text: adapted(x, ConvAdapter),
    "splice": spliced,
    "ctc_compress": lambda x, text: ctc_compressed(x),
}


@pytest.mark.parametrize("garbage", [torch.nan, torch.inf, -1e30])
@pytest.mark.parametrize("user", USERS)
def test_what_padding_holds_changes_neither_value_nor_gradient(user, garbage):
    def run(filling):
        generator = torch.Generator().manual_seed(2)
        sides = []
        for lengths, size in ((LENGTHS, 9), (TEXT_LENGTHS, 4)):
            x = torch.randn(3, size, 8, generator=generator)
            padding = ~length_mask(lengths, size).unsqueeze(2)
            sides.append(x.masked_fill(padding, filling).requires_grad_())
        out = USERS[user](*sides)
        out.square().sum().backward()
        used = [side for side in sides if side.grad is not None]
        return out.detach(), [side.grad for side in used]

    value, gradients = run(garbage)
    expected, expected_gradients = run(0.0)
    assert torch.equal(value, expected) and value.isfinite().all()
    for given, wanted in zip(gradients, expected_gradients, strict=True):
        assert torch.equal(given, wanted) and given.any()


def test_what_is_zeroed_keeps_what_counts():
    x = torch.ones(3, 9, 2)
    assert torch.equal(zeroed(x, LENGTHS).sum((1, 2)), 2.0 * LENGTHS)


@pytest.mark.parametrize("garbage", [torch.nan, torch.inf])
@pytest.mark.parametrize("kind", [StackAdapter, ConvAdapter, TransferAdapter])
def test_what_padding_holds_reaches_no_weight_of_an_adapter(kind, garbage):
    def gradients(filling):
        torch.manual_seed(0)
        adapter = kind(8, **({"text_size": 6} if kind is TransferAdapter else SMALL))
        x = torch.randn(3, 9, 8).masked_fill(~length_mask(LENGTHS, 9).unsqueeze(2), filling)
        out, lengths = adapter(x, LENGTHS)
        out[length_mask(lengths, out.shape[1])].square().sum().backward()
        return [weight.grad for weight in adapter.parameters()]

    for given, wanted in zip(gradients(garbage), gradients(0.0), strict=True):
        assert torch.equal(given, wanted) and given.any()


def solved(cost, weights, **options):
    plan = sinkhorn(cost, LENGTHS, TEXT_LENGTHS, prior=cost, text_weights=weights, **options)
    looked_at = plan_entropy(plan), silence_mass(plan, TEXT_LENGTHS)
    return plan.value, plan.cost, plan.coupling, *looked_at


def sparse(cost, weights):
    plan = sinkhorn(cost, LENGTHS, TEXT_LENGTHS)
    return (plan_sparsity(plan, cost, LENGTHS, epsilon=0.1),)


COSTS = {
    "log": lambda *given: solved(*given, method="log"),
    "exp": lambda *given: solved(*given, method="exp"),
    "unbalanced": lambda *given: solved(*given, relax_speech=0.5, relax_text=1.0),
    "unrolled": lambda *given: solved(*given, unroll=True, max_iters=10),
    "sparsity": sparse,
}


@pytest.mark.parametrize("garbage", [torch.nan, torch.inf, -1e30])
@pytest.mark.parametrize("solver", COSTS)
def test_what_padding_of_a_cost_holds_changes_neither_plan_nor_gradient(solver, garbage):
    inside = length_mask(LENGTHS, 9).unsqueeze(2) & length_mask(TEXT_LENGTHS, 4).unsqueeze(1)

    def run(filling):
        generator = torch.Generator().manual_seed(2)
        cost = torch.rand(3, 9, 4, generator=generator).masked_fill(~inside, filling)
        cost.requires_grad_()
        weights = torch.ones(3, 4).masked_fill(~length_mask(TEXT_LENGTHS, 4), filling)
        found = COSTS[solver](cost, weights)
        sum(value.square().sum() for value in found).backward()
        return [value.detach() for value in found], cost.grad

    (given, gradient), (wanted, expected) = run(garbage), run(0.0)
    for one, other in zip(given, wanted, strict=True):
        assert torch.equal(one, other) and one.isfinite().all()
    assert torch.equal(gradient, expected) and gradient.any()


def test_what_padding_of_structures_holds_changes_no_plan():
    def run(filling):
        generator = torch.Generator().manual_seed(2)
        sides = []
        for lengths, size in ((LENGTHS, 9), (TEXT_LENGTHS, 4)):
            x = torch.rand(3, size, size, generator=generator)
            mask = length_mask(lengths, size)
            sides.append((x + x.transpose(1, 2)).masked_fill(
                ~(mask.unsqueeze(1) & mask.unsqueeze(2)), filling))  # fmt: skip
        return fused_gromov(
            torch.ones(3, 9, 4), *sides, LENGTHS, TEXT_LENGTHS, structure_weight=0.5
        )

    for one, other in zip(run(torch.nan), run(0.0), strict=True):
        assert torch.equal(one, other)


def test_ids_beyond_a_transcript_are_never_looked_up():
    ids = torch.tensor([[1, 2, 3], [2, 999, -7]])
    targets = unique_targets(ids, torch.tensor([3, 1]), torch.eye(4), anchor_id=0)
    assert targets.ids.tolist() == [[1, 2, 3, 0], [2, 0, -1, -1]]
    assert right_aligned(ids, torch.tensor([3, 1]), -1).tolist() == [[1, 2, 3], [-1, -1, 2]]


def test_what_padding_of_cached_frames_holds_changes_no_step_of_the_speech_language_model(tmp_path):
    lm = save_llm(tmp_path / "lm")
    batch = make_slm_batch(lm)
    augment = {"stretch": [0.75, 1.35], "noise": 0.15, "time_masks": 2}
    conf = {
        "ctc_weight": 0.3,
        "ot_conf": {"weight": 0.3, "whiten": "vocabulary"},
        "slm_conf": {"compression": "ot", "augment": augment},
    }

    def step(filling):
        model = build_slm(lm, model_conf=conf).train()
        frames, lengths = model.encode(batch["speech"], batch["speech_lengths"])
        model.encoder.base = "what a pretrained encoder has"
        padding = ~length_mask(lengths, frames.shape[1]).unsqueeze(2)
        cached = {"speech": frames.masked_fill(padding, filling), "speech_lengths": lengths}
        torch.manual_seed(0)
        loss, _, _ = model(**{**batch, **cached})
        loss.backward()
        return loss.detach(), [p.grad for p in model.adapter.parameters()]

    loss, gradients = step(torch.nan)
    expected, wanted = step(0.0)
    assert torch.equal(loss, expected) and loss.isfinite()
    for one, other in zip(gradients, wanted, strict=True):
        assert torch.equal(one, other) and one.any()
