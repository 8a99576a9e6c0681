"""Padding may hold anything, nan too: neither a value nor a gradient may see it."""

import pytest
import torch

from espnet_otreg.models.adapters import ConvAdapter, StackAdapter
from espnet_otreg.ot import AlignmentConf, OTRegLoss, align, compress
from espnet_otreg.ot.sequences import splice
from espnet_otreg.ot.tensors import length_mask, zeroed
from tests.support.tiny_models import ENCODER, build

LENGTHS, TEXT_LENGTHS = torch.tensor([9, 5, 7]), torch.tensor([2, 4, 3])


def otreg(x, text, cost):
    return OTRegLoss(cost=cost)(x, LENGTHS, text, TEXT_LENGTHS).loss


def aligned(x, text, **conf):
    return align(x, LENGTHS, text, TEXT_LENGTHS, AlignmentConf(**conf)).cost


def adapted(x, adapter):
    torch.manual_seed(0)
    out, lengths = adapter(8, 8)(x, LENGTHS)
    return out[length_mask(lengths, out.shape[1])]


def spliced(x, text):
    return splice([(text, TEXT_LENGTHS), (x, LENGTHS)]).x


def taught(x, text):
    model = build(
        model="ot_transfer", postencoder="transfer_adapter", postencoder_conf={"text_size": 8},
        encoder_conf={**ENCODER, "input_layer": "linear"},
    )  # fmt: skip
    return model._terms(x, text, LENGTHS, TEXT_LENGTHS, None)[0]


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
}


@pytest.mark.parametrize("user", USERS)
def test_nan_in_padding_changes_neither_value_nor_gradient(user):
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

    value, gradients = run(torch.nan)
    expected, expected_gradients = run(0.0)
    assert torch.equal(value, expected) and value.isfinite().all()
    for given, wanted in zip(gradients, expected_gradients, strict=True):
        assert torch.equal(given, wanted) and given.any()


def test_what_is_zeroed_keeps_what_counts():
    x = torch.ones(3, 9, 2)
    assert torch.equal(zeroed(x, LENGTHS).sum((1, 2)), 2.0 * LENGTHS)
