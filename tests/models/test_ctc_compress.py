import torch

from espnet_otreg.models.slm.ctc_compress import ctc_compress

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
