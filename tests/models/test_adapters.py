"""Adapters against their formulas: of the speech language model, and of the transfer model."""

import pytest
import torch

from espnet_otreg.errors import UserError
from espnet_otreg.models.adapters import ConvAdapter, StackAdapter, TransferAdapter
from espnet_otreg.ot.tensors import length_mask

LENGTHS = torch.tensor([17, 10, 3, 1])


def make(kind):
    torch.manual_seed(0)
    if kind == "stack":
        return StackAdapter(6, 8, stack=5, hidden_size=12)
    return ConvAdapter(6, 8, strides=[2, 2], hidden_size=12)


@pytest.fixture
def frames():
    return torch.randn(4, 17, 6, generator=torch.Generator().manual_seed(1))


def test_stacking_is_concatenation_then_linear_relu_linear(frames):
    adapter = make("stack")
    out, lengths = adapter(frames, LENGTHS)
    assert lengths.tolist() == [4, 2, 1, 1]
    for i, n in enumerate(LENGTHS.tolist()):
        for j in range(int(lengths[i])):
            group = torch.zeros(5, 6)
            part = frames[i, 5 * j : min(5 * j + 5, n)]
            group[: len(part)] = part  # an incomplete group is filled up with zeros
            expected = adapter.out(torch.relu(adapter.hidden(group.flatten())))
            assert torch.allclose(out[i, j], expected, atol=1e-6)


@pytest.mark.parametrize("kind", ["stack", "conv"])
def test_output_does_not_depend_on_batch_neighbours(frames, kind):
    adapter = make(kind)
    out, lengths = adapter(frames, LENGTHS)
    for i, n in enumerate(LENGTHS.tolist()):
        alone, length = adapter(frames[i : i + 1, :n], LENGTHS[i : i + 1])
        assert length.item() == lengths[i] >= 1
        assert torch.allclose(out[i, : length[0]], alone[0, : length[0]], atol=1e-6)


@pytest.mark.parametrize("kind", ["stack", "conv"])
def test_lengths_fit_the_output(frames, kind):
    out, lengths = make(kind)(frames, LENGTHS)
    assert out.shape == (4, int(lengths.max()), 8)


@pytest.mark.parametrize("given", [{"stack": 0}, {"hidden_size": 2.5}, {"output_size": None}])
def test_sizes_that_are_no_whole_numbers_are_named(given):
    with pytest.raises(UserError, match=f"postencoder_conf.{next(iter(given))}"):
        StackAdapter(6, **{"output_size": 8, **given})


def test_the_way_back_is_added_with_its_scale():
    adapter = TransferAdapter(16, text_size=12, scale=0.7)
    frames, lengths = torch.randn(2, 5, 16), torch.tensor([5, 3])
    out, out_lengths = adapter(frames, lengths)
    normal = torch.nn.functional.layer_norm
    text = normal(adapter.to_text(frames), (12,))
    back = normal(adapter.to_speech(text), (16,))
    there = length_mask(lengths, 5)
    torch.testing.assert_close(out[there], (frames + 0.7 * back)[there])
    assert out_lengths is lengths
    adapter.scale = 0.0
    assert torch.equal(adapter(frames, lengths)[0], frames)
