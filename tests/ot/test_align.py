import dataclasses
import math

import pytest
import torch

import espnet_otreg.ot
from espnet_otreg.ot import AlignmentConf, cost_matrix, sinkhorn
from espnet_otreg.ot.align import _capped, _may_drop, _spread
from espnet_otreg.ot.prior import temporal_prior
from espnet_otreg.ot.tensors import length_mask

from .problems import RELAXATIONS, full

EVERY = {
    "balanced": {"kind": "balanced"},
    "unbalanced": {},
    "counting": {"reference": "counting"},
    "semi_relaxed": {"kind": "semi_relaxed"},
    "prior": {"temporal_weight": 0.5},
    "places": {"temporal_weight": 0.5, "temporal_places": "ctc"},
    "balanced places": {"kind": "balanced", "temporal_weight": 0.5, "temporal_places": "ctc"},
    "dustbin": {"dustbin": True},
    "all at once": {"dustbin": True, "reference": "counting", "temporal_weight": 0.2},
    "structure": {"kind": "balanced", "structure_weight": 0.3},
    "structure and prior": {"kind": "balanced", "structure_weight": 0.02, "temporal_weight": 0.2},
    "sqeuclidean": {"cost": "sqeuclidean", "epsilon": 1.0},
    "structure and places": {"kind": "balanced", "structure_weight": 0.3, "temporal_places": "ctc"},
    "monotone": {"kind": "monotone"},
    "diagonal": {"kind": "diagonal"},
    "window at places": {"kind": "diagonal", "temporal_places": "ctc"},
    "softmax": {"kind": "softmax"},
    "softmax of distances": {"kind": "softmax", "cost": "sqeuclidean"},
}
every = pytest.mark.parametrize("conf", [AlignmentConf(**o) for o in EVERY.values()], ids=EVERY)


def batch(dtype: torch.dtype = torch.double):
    speech = torch.randn(5, 12, 8, dtype=dtype, requires_grad=True)
    text = torch.randn(5, 6, 8, dtype=dtype, requires_grad=True)
    return speech, torch.tensor([12, 7, 3, 1, 4]), text, torch.tensor([6, 2, 6, 3, 1])


def align(speech, n, text, m, conf):
    """Align; where the configuration asks for places, tokens crowd at the start."""
    places = None
    if conf.temporal_places == "ctc":
        places = n.unsqueeze(1) * ((torch.arange(text.shape[1], device=n.device) + 0.5) / 6) ** 2
    return espnet_otreg.ot.align(speech, n, text, m, conf, places)


def grads(out, *inputs):
    return torch.autograd.grad(out, inputs)


@every
def test_the_gradient_of_the_cost_holds_the_plan_constant(conf):
    speech, n, text, m = batch()
    out = align(speech, n, text, m, conf)
    weight = torch.rand(5, dtype=torch.double)
    constant = (out.coupling * cost_matrix(speech, text, conf.cost)).sum((1, 2))
    torch.testing.assert_close(out.cost, constant)
    expected = grads((weight * constant).sum(), speech, text)
    for ours, theirs in zip(grads((weight * out.cost).sum(), speech, text), expected, strict=True):
        torch.testing.assert_close(ours, theirs)
        assert ours.abs().max() > 0
    for name in ("coupling", "marginal_error", "text_mass", "speech_mass"):
        assert not getattr(out, name).requires_grad


@every
def test_batch_neighbours_and_padding_change_neither_value_nor_gradient(conf):
    speech, n, text, m = batch()
    with torch.no_grad():
        speech[~length_mask(n, 12)] = 50.0
        text[~length_mask(m, 6)] = -80.0
    out = align(speech, n, text, m, conf)
    grad = grads(out.cost.sum(), speech, text)
    for b in range(5):
        x, y = speech[b : b + 1, : n[b]], text[b : b + 1, : m[b]]
        alone = align(x, n[b : b + 1], y, m[b : b + 1], conf)
        plan = out.coupling[b, : n[b], : m[b]]
        torch.testing.assert_close(plan, alone.coupling[0])
        for name in ("cost", "marginal_error", "converged"):
            torch.testing.assert_close(getattr(out, name)[b], getattr(alone, name)[0])
        own = grads(alone.cost.sum(), speech, text)
        for side in (0, 1):
            torch.testing.assert_close(grad[side][b], own[side][b])
    padding = ~(length_mask(n, 12).unsqueeze(2) & length_mask(m, 6).unsqueeze(1))
    assert (out.coupling[padding] == 0).all()
    assert (grad[0][~length_mask(n, 12)] == 0).all() and (grad[1][~length_mask(m, 6)] == 0).all()
    assert (out.speech_mass[~length_mask(n, 12)] == 0).all()
    assert (out.text_mass[~length_mask(m, 6)] == 0).all()


@every
def test_the_plan_is_the_same_in_inference_mode(conf):
    given = batch()
    expected = align(*given, conf).coupling
    with torch.inference_mode():
        own = [tensor.clone() for tensor in given]
        found = align(*own, conf).coupling
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


@every
def test_masses_are_the_sums_of_a_plan_of_probabilities(conf):
    out = align(*batch(), conf)
    assert (out.coupling >= 0).all()
    torch.testing.assert_close(out.text_mass, out.coupling.sum(1))
    torch.testing.assert_close(out.speech_mass, out.coupling.sum(2))
    assert (out.coupling.sum((1, 2)) <= 1 + 1e-6).all() or conf.reference == "counting"
    if conf.kind in ("balanced", "diagonal", "softmax") or conf == AlignmentConf("semi_relaxed"):
        _, _, _, m = batch()
        tokens = length_mask(m, 6) / m.unsqueeze(1).double()
        torch.testing.assert_close(out.text_mass, tokens)


@every
def test_an_empty_side_gives_zero_with_a_graph_and_leaves_the_neighbours_alone(conf):
    speech, n, text, m = batch()
    before = align(speech, n, text, m, conf)
    n, m = n.clone(), m.clone()
    n[1], m[2] = 0, 0
    n[4] = m[4] = 0
    out = align(speech, n, text, m, conf)
    grad = grads(out.cost.sum(), speech, text)
    for b in (1, 2, 4):
        assert (out.coupling[b] == 0).all() and out.cost[b] == 0
        assert out.converged[b] and out.marginal_error[b] == 0
        assert (grad[0][b] == 0).all() and (grad[1][b] == 0).all()
    torch.testing.assert_close(out.coupling[[0, 3]], before.coupling[[0, 3]])
    assert all(side.isfinite().all() for side in grad)


@every
@pytest.mark.parametrize("sizes", [(2, 0, 3), (2, 4, 0), (0, 4, 3)])
def test_a_batch_without_any_entry_gives_zeros_with_a_graph(conf, sizes):
    count, frames, tokens = sizes
    speech = torch.zeros(count, frames, 5, requires_grad=True)
    text = torch.zeros(count, tokens, 5)
    nothing = torch.zeros(count, dtype=torch.long)
    out = align(speech, nothing, text, nothing, conf)
    out.cost.sum().backward()
    assert out.coupling.shape == sizes and out.cost.tolist() == [0.0] * count
    assert out.text_mass.shape == (count, tokens) and out.speech_mass.shape == (count, frames)


@every
def test_half_precision_under_autocast_is_aligned_in_single(conf):
    speech, n, text, m = (t.detach() for t in batch(torch.float32))
    speech, text = speech.bfloat16(), text.bfloat16()
    expected = align(speech.float(), n, text.float(), m, conf)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = align(speech, n, text, m, conf)
    assert out.coupling.dtype == out.cost.dtype == torch.float32
    torch.testing.assert_close(out.coupling, expected.coupling, rtol=0, atol=0)


@every
def test_the_gpu_is_never_waited_for(conf):
    """A meta tensor has no data, so any look at it raises, as it would stall a GPU."""
    if conf.cost == "sqeuclidean" and conf.kind != "softmax":
        pytest.skip("only costs without a bound are looked at")
    if conf.kind == "monotone":
        pytest.skip("PyTorch's CTC reads lengths on the CPU, as it does for the recognition loss")
    speech, n, text, m = (tensor.detach().to("meta") for tensor in batch())
    speech.requires_grad_()
    align(speech, n, text, m, conf).cost.sum().backward()


def test_frames_far_from_every_place_are_dropped_and_spoil_no_other():
    speech, text = torch.randn(1, 400, 8), torch.randn(1, 3, 8)
    sizes = torch.tensor([400]), torch.tensor([3])
    places = torch.tensor([[2.0, 5.0, 395.0]])
    conf = AlignmentConf(temporal_weight=500.0, temporal_places="ctc", max_iters=1000)
    out = espnet_otreg.ot.align(speech, sizes[0], text, sizes[1], conf, places)
    assert out.coupling.isfinite().all()
    assert out.speech_mass[0, 100:300].max() < 1e-6 < out.speech_mass[0, 2]


def test_places_that_are_missing_or_do_not_fit_are_an_error():
    speech, n, text, m = batch()
    conf = AlignmentConf(temporal_weight=0.5, temporal_places="ctc")
    for places in (None, torch.zeros(5, 4)):
        with pytest.raises(ValueError, match=r"places of shape \(B, U\) = \(5, 6\)"):
            espnet_otreg.ot.align(speech, n, text, m, conf, places)


def test_a_frame_unlike_every_token_goes_to_the_dustbin():
    text = torch.eye(4)[:3].unsqueeze(0)
    speech = torch.eye(4)[[0, 1, 3, 2]].unsqueeze(0)  # the third has cosine 0 with every token
    sizes = torch.tensor([4]), torch.tensor([3])
    for kind in ("unbalanced", "semi_relaxed"):
        conf = AlignmentConf(kind=kind, relax_speech=1.0, dustbin=True)
        out = align(speech, sizes[0], text, sizes[1], conf)
        assert out.speech_mass[0, 2] < 1e-3
        assert (out.speech_mass[0, [0, 1, 3]] > 0.15).all()
    near = align(speech, sizes[0], text, sizes[1], dataclasses.replace(conf, dustbin=False))
    assert near.speech_mass[0, 2] > 10 * out.speech_mass[0, 2]


def test_the_product_reference_makes_masses_independent_of_the_lengths_unlike_counting():
    def mass(frames: int, tokens: int, reference: str) -> float:
        speech, text = torch.ones(1, frames, 2), torch.tensor([[[1.0, 0.0]]]).expand(1, tokens, 2)
        conf = AlignmentConf(relax_speech=0.1, relax_text=0.1, reference=reference)
        sizes = torch.tensor([frames]), torch.tensor([tokens])
        return float(align(speech, sizes[0], text, sizes[1], conf).coupling.sum())

    assert mass(100, 12, "product") == pytest.approx(mass(400, 60, "product"), rel=1e-4)
    # of n m equal cells each p: 0.05 log p + 0.2 log(n m p) = -cost, by which the mass grows
    grown = (400 * 60 / 1200) ** (0.05 / 0.25)
    assert mass(400, 60, "counting") == pytest.approx(grown * mass(100, 12, "counting"), rel=1e-3)


def test_the_temporal_prior_is_zero_on_the_diagonal_counts_cells_and_is_symmetric():
    n, m = torch.tensor([12, 5]), torch.tensor([4, 5])
    prior = temporal_prior(n, m, torch.Size((2, 12, 5)), torch.double, distance=1.0)
    assert (prior[1, :5].diagonal() == 0).all()
    torch.testing.assert_close(prior[1, 0, 4].item(), 4**2 / 2)  # 4 cells off, at 45 degrees
    assert (prior[0, [1, 4, 7, 10], [0, 1, 2, 3]] == 0).all()  # each token's middle frame
    torch.testing.assert_close(prior[0, :, :4], prior[0, :, :4].flip(0, 1))  # read backwards
    other = temporal_prior(m, n, torch.Size((2, 5, 12)), torch.double, distance=1.0)
    torch.testing.assert_close(other[0, :4], prior[0, :, :4].T)


def test_the_prior_of_long_utterances_is_exact_in_single_precision():
    n, m, shape = torch.tensor([3000]), torch.tensor([400]), torch.Size((1, 3000, 400))
    single = temporal_prior(n, m, shape, torch.float32, distance=0.5)
    double = temporal_prior(n, m, shape, torch.double, distance=0.5)
    torch.testing.assert_close(single.double(), double, rtol=3e-7, atol=0)


def tilting_costs(frames: int, tokens: int) -> dict[str, torch.Tensor]:
    """Costs in [0, 2] that pull against the diagonal, so that potentials grow along it."""
    i = ((torch.arange(frames) + 0.5) / frames).unsqueeze(1)
    j = (torch.arange(tokens) + 0.5) / tokens
    return {
        "forward": 2.0 * (j - i <= 0.5 / tokens),
        "waves": 1 + torch.sign(torch.sin(20 * i)) * torch.sign(j - i),
        "across": 2 * (i + j - 1).abs(),
        "half of the tokens": 2.0 * (j > 0.5).expand(frames, tokens),
        "half of the frames": 2.0 * (i > 0.5).expand(frames, tokens),
        "binary": 2.0 * (torch.rand(frames, tokens) < 0.9),
    }


@pytest.mark.parametrize("name", tilting_costs(2, 2))
@pytest.mark.parametrize("relax", [*RELAXATIONS, (10.0, 10.0)])
@pytest.mark.parametrize("weight", [0.02, 0.5, 5.0])
def test_a_prior_of_hundreds_leaves_the_exp_domain_right(name, relax, weight):
    cost = tilting_costs(90, 40)[name].unsqueeze(0)
    n, m = full(cost)
    prior = temporal_prior(n, m, cost.shape, torch.double, distance=weight)
    assert prior.max() / 0.0251 > 500
    options = {"relax_speech": relax[0], "relax_text": relax[1], "epsilon": 0.0251, "tol": 0.0}
    exact = sinkhorn(cost.double(), n, m, prior=prior, method="log", **options).coupling
    plan = sinkhorn(cost, n, m, prior=prior.float(), cost_range=2.0, **options).coupling
    assert (plan - exact).abs().sum() <= 2e-5 * exact.abs().sum()


def gathered(frames: int, tokens: int) -> dict[str, torch.Tensor]:
    """Places of tokens that leave most frames far from all of them; both ends have one."""
    between = {
        "at the start": torch.linspace(2, 5, tokens),
        "at the end": torch.linspace(frames - 4.0, frames - 1.0, tokens),
        "in one place": torch.full((tokens,), frames / 3),
        "in two": torch.where(torch.arange(tokens) < tokens / 2, 9.0, frames - 9.0),
    }
    for places in between.values():
        places[0], places[-1] = 0.0, float(frames)
    return between


@pytest.mark.parametrize("name", tilting_costs(2, 2))
@pytest.mark.parametrize("where", gathered(20, 4))
@pytest.mark.parametrize("relax", [(0.1, 0.1), (0.5, 1.0), (0.5, 0.05)])
@pytest.mark.parametrize("size", [(150, 20), (166, 60), (400, 150)], ids=str)
def test_frames_far_from_every_token_leave_the_exp_domain_right_where_they_may_drop(
    name, where, relax, size
):
    cost, places = tilting_costs(*size)[name].unsqueeze(0), gathered(*size)[where].unsqueeze(0)
    n, m = full(cost)
    conf = AlignmentConf(
        kind="unbalanced", epsilon=0.05, relax_speech=relax[0], relax_text=relax[1],
        temporal_weight=2.0, temporal_places="ctc", tol=0.0, max_iters=100,
    )  # fmt: skip
    assert _may_drop(conf, places)
    prior = temporal_prior(n, m, cost.shape, torch.double, distance=2.0, places=places.double())
    assert prior.max() / 0.05 > 5000
    options = conf.solver(2.0)
    exact = sinkhorn(cost.double(), n, m, options, prior=prior, method="log").coupling
    plan = sinkhorn(cost.double(), n, m, options, prior=_capped(prior, conf)).coupling
    assert (plan - exact).abs().sum() <= 1e-7 * exact.abs().sum()


BEYOND = {
    "balanced": {"kind": "balanced"},
    "semi_relaxed": {"kind": "semi_relaxed"},
    "strong prior": {"temporal_weight": 2.1},
    "speech": {"relax_speech": 0.6},
    "text": {"relax_text": 1.1},
    "epsilon": {"epsilon": 0.025, "temporal_weight": 1.0},
}


@pytest.mark.parametrize("change", BEYOND.values(), ids=BEYOND)
@pytest.mark.parametrize("size", [(166, 60), (400, 150)], ids=str)
def test_where_frames_may_not_drop_or_the_prior_is_strong_the_log_domain_holds_it(change, size):
    conf = {"epsilon": 0.05, "temporal_weight": 2.0, "relax_speech": 0.5, "relax_text": 1.0}
    speech, text = (torch.randn(1, length, 8) for length in size)
    n, m = (torch.tensor([length]) for length in size)
    for place in gathered(*size).values():
        places = place.unsqueeze(0)
        assert _spread(AlignmentConf(**conf, temporal_places="ctc"), places) == 2.0
        beyond = AlignmentConf(**{**conf, **change}, temporal_places="ctc")
        assert _spread(beyond, places) == math.inf
        plan = espnet_otreg.ot.align(speech, n, text, m, beyond, places)
        assert plan.coupling.isfinite().all()


def test_tiny_epsilons_and_temperatures_stay_finite():
    speech, n, text, m = batch(torch.float32)
    for options in EVERY.values():
        for cost in ("cosine", "sqeuclidean"):
            if options.get("dustbin") and cost != "cosine":
                continue
            small = {"epsilon": 1e-5, "temperature": 1e-6, "proximal_weight": 1e-4, "window": 1e-4}
            conf = AlignmentConf(**{**options, **small, "cost": cost})
            out = align(1e4 * speech, n, 1e4 * text, m, conf)
            assert out.coupling.isfinite().all() and out.cost.isfinite().all()
            assert all(side.isfinite().all() for side in grads(out.cost.sum(), speech, text))


@every
def test_lengths_that_do_not_fit_and_sides_of_other_dimensions_are_refused(conf):
    speech, n, text, m = batch()
    with pytest.raises(ValueError, match="speech_lengths"):
        align(speech, n + 1, text, m, conf)
    with pytest.raises(ValueError, match="text_lengths"):
        align(speech, n, text, m[:3], conf)
    with pytest.raises(ValueError, match="dimension"):
        align(speech, n, text[..., :5], m, conf)
