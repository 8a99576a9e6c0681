"""Every alignment against a slow reference: POT utterance by utterance, priors as loops."""

import math

import numpy as np
import pytest
import torch

from espnet_otreg.ot import AlignmentConf, align

ot = pytest.importorskip("ot")
EXACT = {"max_iters": 1500, "tol": 0.0}
SHAPES = [(14, 6), (9, 6), (5, 3), (2, 4), (1, 1)]  # frames and tokens, one with fewer frames


def embeddings(dtype: torch.dtype = torch.double):
    speech = torch.randn(5, 14, 7, dtype=dtype)
    text = torch.randn(5, 6, 7, dtype=dtype)
    n, m = torch.tensor(SHAPES).T
    return speech, n, text, m


def node_cost(x: np.ndarray, y: np.ndarray, kind: str) -> np.ndarray:
    if kind == "sqeuclidean":
        return ((x[:, None] - y[None]) ** 2).sum(2)
    norms = np.linalg.norm(x, axis=1)[:, None] * np.linalg.norm(y, axis=1)
    return 1 - x @ y.T / norms


def off_diagonal(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return d² and the squared relative gap, from the definitions."""
    n, m = shape
    distance, gap = np.zeros(shape), np.zeros(shape)
    for i in range(n):
        for j in range(m):
            gap[i, j] = abs((i + 0.5) / n - (j + 0.5) / m) ** 2
            distance[i, j] = gap[i, j] / (1 / n**2 + 1 / m**2)
    return distance, gap


def transport(M: np.ndarray, conf: AlignmentConf) -> np.ndarray:
    """Solve one utterance of costs M by POT."""
    M = M + conf.temporal_weight * off_diagonal(M.shape)[0]
    if conf.dustbin:
        M = np.pad(M, ((1, 0), (1, 0)), constant_values=1 - conf.dustbin_similarity)
    a, b = (np.full(size, 1 / size) for size in M.shape)
    if conf.kind == "balanced":
        options = {"method": "sinkhorn_log", "numItermax": 3000, "stopThr": 1e-11}
        plan = ot.sinkhorn(a, b, M, conf.epsilon, **options)
    else:
        relax = conf.relax_speech, conf.relax_text if conf.kind == "unbalanced" else math.inf
        entropy = "kl" if conf.reference == "product" else "entropy"
        options = {"reg_type": entropy, "numItermax": 3000, "stopThr": 1e-11}
        plan = ot.unbalanced.sinkhorn_unbalanced(a, b, M, conf.epsilon, relax, **options)
    return plan[1:, 1:] if conf.dustbin else plan


def check_against(reference, conf: AlignmentConf, dtype: torch.dtype) -> None:
    """Compare plan, cost and masses of a padded batch with `reference(M, x, y, conf)`."""
    speech, n, text, m = embeddings(dtype)
    out = align(speech, n, text, m, conf)
    assert out.coupling.dtype == dtype and not out.coupling.requires_grad
    for b, (frames, tokens) in enumerate(SHAPES):
        x, y = speech[b, :frames].double().numpy(), text[b, :tokens].double().numpy()
        M = node_cost(x, y, conf.cost)
        expected = reference(M, x, y, conf)
        ours = out.coupling[b, :frames, :tokens].double().numpy()
        assert np.abs(ours - expected).sum() <= 1e-4 * expected.sum()
        assert out.cost[b].item() == pytest.approx((expected * M).sum(), rel=1e-4, abs=1e-6)
        np.testing.assert_allclose(out.text_mass[b, :tokens], expected.sum(0), atol=1e-4)
        np.testing.assert_allclose(out.speech_mass[b, :frames], expected.sum(1), atol=1e-4)
        for plan in (out.coupling[b, frames:], out.coupling[b, :, tokens:]):
            assert (plan == 0).all()


@pytest.mark.filterwarnings("ignore:If reg_type = entropy")
@pytest.mark.parametrize("dtype", [torch.float32, torch.double])
@pytest.mark.parametrize("reference", ["product", "counting"])
@pytest.mark.parametrize("temporal_weight", [0.0, 0.05])
@pytest.mark.parametrize(
    "kind",
    [
        {"kind": "balanced"},
        {"kind": "unbalanced"},
        {"kind": "unbalanced", "relax_speech": math.inf},
        {"kind": "unbalanced", "relax_speech": 0.1, "relax_text": 0.1},
        {"kind": "semi_relaxed"},
        {"kind": "unbalanced", "dustbin": True},
        {"kind": "semi_relaxed", "dustbin": True, "dustbin_similarity": 0.2},
    ],
    ids=lambda kind: "-".join(map(str, kind.values())),
)
def test_every_transport_agrees_with_pot(kind, temporal_weight, reference, dtype):
    options = {"temporal_weight": temporal_weight, "reference": reference, **EXACT}
    conf = AlignmentConf(epsilon=0.1, **kind, **options)
    check_against(lambda M, x, y, conf: transport(M, conf), conf, dtype)


def scaling(M: np.ndarray, x: np.ndarray, y: np.ndarray, conf: AlignmentConf) -> np.ndarray:
    """Iterate the papers' scaling of exp(-M / epsilon) against uniform weights w, v."""
    M = M + conf.temporal_weight * off_diagonal(M.shape)[0]
    (n, m), K = M.shape, np.exp(-M / conf.epsilon)
    if conf.reference == "product":
        K = K / (n * m)
    relax = {"balanced": (math.inf, math.inf), "semi_relaxed": (conf.relax_speech, math.inf)}
    powers = [
        1 if math.isinf(side) else side / (side + conf.epsilon)
        for side in relax.get(conf.kind, (conf.relax_speech, conf.relax_text))
    ]
    right = np.ones(m)
    for _ in range(conf.max_iters):
        left = (1 / n / (K @ right)) ** powers[0]
        right = (1 / m / (K.T @ left)) ** powers[1]
    return left[:, None] * K * right


@pytest.mark.parametrize("dtype", [torch.float32, torch.double])
@pytest.mark.parametrize("kind", ["balanced", "unbalanced", "semi_relaxed"])
@pytest.mark.parametrize("max_iters", [50, 1500])
def test_the_published_prior_gives_the_iterates_of_the_scaling_loop(kind, dtype, max_iters):
    conf = AlignmentConf(kind=kind, temporal_weight=0.5, max_iters=max_iters, tol=0.0)
    check_against(scaling, conf, dtype)


@pytest.mark.parametrize("kind", ["balanced", "unbalanced", "semi_relaxed"])
def test_a_prior_on_given_places_is_pot_on_that_much_dearer_costs(kind):
    conf = AlignmentConf(kind=kind, temporal_weight=0.5, temporal_places="ctc", **EXACT)
    unguided = AlignmentConf(kind=kind, **EXACT)
    speech, n, text, m = embeddings()
    places = torch.rand(5, 6, dtype=torch.double) * n.unsqueeze(1)
    out = align(speech, n, text, m, conf, places)
    for b, (frames, tokens) in enumerate(SHAPES):
        M = node_cost(speech[b, :frames].numpy(), text[b, :tokens].numpy(), "cosine")
        total = M.copy()
        for i in range(frames):
            for j in range(tokens):
                away = (i + 0.5 - places[b, j].item()) / frames
                total[i, j] += 0.5 * away**2 / (1 / frames**2 + 1 / tokens**2)
        plan = out.coupling[b, :frames, :tokens].numpy()
        np.testing.assert_allclose(plan, transport(total, unguided), atol=1e-4)
        assert out.cost[b].item() == pytest.approx((plan * M).sum())  # the prior not counted


@pytest.mark.parametrize("kind", ["balanced", "unbalanced", "semi_relaxed"])
def test_minus_the_entropy_gives_the_papers_scaling_loop(kind):
    conf = AlignmentConf(kind=kind, reference="counting", **EXACT)
    check_against(scaling, conf, torch.float32)


@pytest.mark.parametrize("kind", ["balanced", "unbalanced", "semi_relaxed"])
def test_squared_euclidean_transport_agrees_with_pot(kind):
    conf = AlignmentConf(kind=kind, cost="sqeuclidean", epsilon=1.0, temporal_weight=0.1, **EXACT)
    check_against(lambda M, x, y, conf: transport(M, conf), conf, torch.double)


def test_the_default_options_are_within_their_tolerance_of_pot():
    conf = AlignmentConf()
    speech, n, text, m = embeddings(torch.float32)
    out = align(speech, n, text, m, conf)
    assert out.converged.all()
    for b, (frames, tokens) in enumerate(SHAPES):
        x, y = speech[b, :frames].double().numpy(), text[b, :tokens].double().numpy()
        expected = transport(node_cost(x, y, "cosine"), conf)
        ours = out.coupling[b, :frames, :tokens].double().numpy()
        assert np.abs(ours - expected).sum() <= 0.02 * expected.sum()


def structured(M: np.ndarray, x: np.ndarray, y: np.ndarray, conf: AlignmentConf) -> np.ndarray:
    """Solve fused Gromov-Wasserstein by POT's proximal point algorithm."""
    distance, gap = off_diagonal(M.shape)
    M = M + conf.temporal_weight * distance + conf.structure_temporal_weight * gap
    return ot.gromov.entropic_fused_gromov_wasserstein(
        M,
        node_cost(x, x, "cosine"),
        node_cost(y, y, "cosine"),
        alpha=conf.structure_weight,
        epsilon=conf.proximal_weight,
        max_iter=conf.outer_iters,
        symmetric=True,
        solver="PPA",
        tol=0.0,
        numItermax=3000,
        stopThr=1e-12,
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.double])
@pytest.mark.parametrize("temporal_weight", [0.0, 0.1])
@pytest.mark.parametrize(("alpha", "rho"), [(0.02, 0.3), (0.5, 0.0), (0.5, 2.0)])
def test_structured_alignment_agrees_with_pots_proximal_solver(alpha, rho, temporal_weight, dtype):
    conf = AlignmentConf(
        kind="balanced",
        structure_weight=alpha,
        structure_temporal_weight=rho,
        temporal_weight=temporal_weight,
        inner_iters=1000,
        tol=0.0,
    )
    check_against(structured, conf, dtype)


def diagonal(M: np.ndarray, x: np.ndarray, y: np.ndarray, conf: AlignmentConf) -> np.ndarray:
    (n, m), plan = M.shape, np.zeros_like(M)
    for j in range(m):
        centre = (j + 0.5) * n / m - 0.5
        window = [math.exp(-((i - centre) ** 2) / (2 * conf.window**2)) for i in range(n)]
        plan[:, j] = np.array(window) / sum(window) / m
    return plan


def softmax(M: np.ndarray, x: np.ndarray, y: np.ndarray, conf: AlignmentConf) -> np.ndarray:
    similarity = x @ y.T / np.linalg.norm(x, axis=1)[:, None] / np.linalg.norm(y, axis=1)
    plan = np.exp(similarity / conf.temperature)
    return plan / plan.sum(0) / M.shape[1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.double])
@pytest.mark.parametrize("width", [0.5, 5.0])
def test_the_diagonal_is_a_gaussian_window_around_each_tokens_share_of_time(width, dtype):
    check_against(diagonal, AlignmentConf(kind="diagonal", window=width), dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.double])
@pytest.mark.parametrize("temperature", [0.02, 0.1, 3.0])
def test_softmax_is_attention_of_each_token_over_the_frames(temperature, dtype):
    check_against(softmax, AlignmentConf(kind="softmax", temperature=temperature), dtype)
