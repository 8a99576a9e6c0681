import pytest
import torch

from espnet_otreg.ot.sequences import ctc_compress, right_aligned, splice


def loop(parts, side):
    """The same by a loop over utterances."""
    rows = []
    for i in range(parts[0][0].shape[0]):
        rows.append(torch.cat([x[i, : int(n[i])] for x, n in parts]))
    longest = max(len(row) for row in rows)
    out = torch.zeros(len(rows), longest, parts[0][0].shape[2])
    mask = torch.zeros(len(rows), longest, dtype=torch.bool)
    for i, row in enumerate(rows):
        place = slice(longest - len(row), None) if side == "left" else slice(0, len(row))
        out[i, place], mask[i, place] = row, True
    return out, mask


@pytest.fixture
def parts():
    generator = torch.Generator().manual_seed(0)
    lengths = [torch.tensor([2, 2, 1]), torch.tensor([5, 0, 3]), torch.tensor([1, 4, 0])]
    return [
        (torch.randn(3, size, 4, generator=generator), n)
        for size, n in zip((2, 6, 4), lengths, strict=True)
    ]


@pytest.mark.parametrize("side", ["left", "right"])
def test_splicing_equals_a_loop_over_utterances(parts, side):
    found = splice(parts, side)
    x, mask = loop(parts, side)
    assert torch.equal(found.x, x)
    assert torch.equal(found.mask, mask)


@pytest.mark.parametrize("side", ["left", "right"])
def test_positions_count_from_each_first_entry(parts, side):
    found = splice(parts, side)
    for mask, positions in zip(found.mask, found.positions, strict=True):
        assert positions[mask].tolist() == list(range(int(mask.sum())))


def test_gradients_reach_what_counts_and_nothing_else(parts):
    x = parts[1][0].requires_grad_()
    splice(parts).x.sum().backward()
    assert torch.equal(x.grad[0, :5], torch.ones(5, 4))
    assert not x.grad[0, 5:].any() and not x.grad[1].any()


def test_entries_are_pushed_to_the_right_end():
    ids = torch.tensor([[1, 2, -1], [3, -1, -1], [4, 5, 6]])
    found = right_aligned(ids, torch.tensor([2, 1, 3]), -100)
    assert found.tolist() == [[-100, 1, 2], [-100, -100, 3], [4, 5, 6]]


def test_an_unknown_side_is_an_error(parts):
    with pytest.raises(ValueError, match="left or right"):
        splice(parts, "middle")


X = torch.arange(1.0, 9.0).reshape(1, 8, 1)


def test_repeats_become_their_mean_and_blanks_go():
    best = torch.tensor([[0, 3, 3, 0, 3, 5, 5, 5]])
    found = ctc_compress(X, torch.tensor([8]), best, 0)
    assert found.x.flatten().tolist() == [2.5, 5.0, 7.0]
    assert found.source.tolist() == [[1, 4, 5]]
    assert (found.merged.item(), found.dropped.item()) == (3, 2)
    assert found.silent.tolist() == [[True, False, False, True, *[False] * 4]]


def test_an_utterance_that_is_blank_throughout_keeps_its_mean():
    found = ctc_compress(X, torch.tensor([4]), torch.zeros(1, 8, dtype=torch.long), 0)
    assert found.x.flatten().tolist() == [2.5] and found.lengths.tolist() == [1]
    assert not found.silent.any()


def test_padding_counts_for_nothing():
    best = torch.tensor([[1, 1, 2, 0, 2, 2, 2, 2], [0, 0, 0, 0, 4, 4, 4, 4]])
    x = torch.cat([X, X * 10])
    found = ctc_compress(x, torch.tensor([4, 8]), best, 0)
    assert found.lengths.tolist() == [2, 1]
    assert found.x.flatten().tolist() == [1.5, 3.0, 65.0, 0.0]
    alone = ctc_compress(X[:, :4], torch.tensor([4]), best[:1, :4], 0)
    assert torch.equal(alone.x[0], found.x[0, :2])


def test_gradients_reach_what_is_kept():
    x = X.clone().requires_grad_()
    ctc_compress(
        x, torch.tensor([8]), torch.tensor([[0, 3, 3, 0, 3, 5, 5, 5]]), 0
    ).x.sum().backward()
    assert torch.allclose(x.grad.flatten(), torch.tensor([0, 0.5, 0.5, 0, 1, 1 / 3, 1 / 3, 1 / 3]))
