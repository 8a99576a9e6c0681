import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from espnet_otreg.ot import cosine_cost, cost_matrix, sqeuclidean_cost

KINDS = ["cosine", "sqeuclidean"]


def pair(dtype: torch.dtype = torch.double) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(2, 5, 7, dtype=dtype), torch.randn(2, 4, 7, dtype=dtype)


def test_the_cosine_cost_is_one_minus_the_cosine_of_every_pair():
    x, y = pair()
    expected = 1 - functional.cosine_similarity(x.unsqueeze(2), y.unsqueeze(1), dim=-1)
    torch.testing.assert_close(cosine_cost(x, y), expected)


def test_the_squared_euclidean_cost_is_the_squared_distance_of_every_pair():
    x, y = pair()
    torch.testing.assert_close(sqeuclidean_cost(x, y), torch.cdist(x, y).square())


@settings(max_examples=20, deadline=None, derandomize=True)
@given(angle=st.floats(0, 3.14), scales=st.tuples(st.floats(0.1, 1e4), st.floats(0.1, 1e4)))
def test_the_cosine_cost_of_a_known_angle_does_not_depend_on_lengths(angle, scales):
    angle = torch.tensor(angle, dtype=torch.double)
    x = scales[0] * torch.tensor([[[1.0, 0.0]]], dtype=torch.double)
    y = scales[1] * torch.stack([angle.cos(), angle.sin()]).view(1, 1, 2)
    torch.testing.assert_close(cosine_cost(x, y).squeeze(), 1 - angle.cos())


@pytest.mark.parametrize("kind", KINDS)
def test_costs_pass_gradcheck_for_both_sides_and_for_each_alone(kind):
    x, y = pair()
    for train_x, train_y in ((True, True), (True, False), (False, True)):
        x.requires_grad_(train_x), y.requires_grad_(train_y)
        assert torch.autograd.gradcheck(lambda p, q: cost_matrix(p, q, kind), (x, y))


@pytest.mark.parametrize("kind", KINDS)
def test_zero_vectors_have_a_cost_and_finite_gradients(kind):
    x, y = pair(torch.float32)
    x[0, 1], y[1, 2] = 0, 0
    x.requires_grad_(), y.requires_grad_()
    cost = cost_matrix(x, y, kind)
    cost.sum().backward()
    for tensor in (cost, x.grad, y.grad):
        assert tensor.isfinite().all() and tensor.abs().max() < 100
    if kind == "cosine":
        assert (cost[0, 1] == 1).all() and (cost[1, :, 2] == 1).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_inputs_are_cast_up_and_autocast_is_ignored(kind, dtype):
    x, y = (t.to(dtype) for t in pair())
    expected = cost_matrix(x.float(), y.float(), kind)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = cost_matrix(x, y.float(), kind)
    assert mixed.dtype == torch.float32
    torch.testing.assert_close(mixed, expected, rtol=0, atol=0)


def test_double_precision_stays_double():
    assert cosine_cost(*pair()).dtype == torch.double


@pytest.mark.parametrize("kind", KINDS)
def test_no_tensor_grows_to_batch_times_frames_times_tokens_times_dimension(kind):
    x, y = torch.randn(2, 30, 64, requires_grad=True), torch.randn(2, 20, 64, requires_grad=True)
    sizes = []

    def pack(t: torch.Tensor) -> torch.Tensor:
        sizes.append(t.numel())
        return t

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        cost_matrix(x, y, kind)
    assert max(sizes) <= max(2 * 30 * 64, 2 * 30 * 20)


def test_an_unknown_kind_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="cosine, sqeuclidean; received 'l1'"):
        cost_matrix(*pair(), "l1")


def test_sides_of_different_dimension_are_refused_with_both_shapes():
    x, y = pair()
    with pytest.raises(ValueError, match=r"\(2, 5, 7\) and \(2, 4, 6\)"):
        cosine_cost(x, y[..., :6])
