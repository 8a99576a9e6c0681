"""λ by its value and by its share of the gradient, against gradients that are computed apart."""

import math

import pytest
import torch

from espnet_otreg.errors import UserError
from espnet_otreg.models.term_weight import TermWeight
from tests.support.tiny_llm import save_llm
from tests.support.tiny_models import build as build_asr
from tests.support.tiny_models import make_batch as make_asr_batch
from tests.support.tiny_models import run
from tests.support.tiny_slm import build as build_slm
from tests.support.tiny_slm import make_batch as make_slm_batch


class Pulled(torch.nn.Module):
    """Frames that two losses pull; `main` and `term` say how hard."""

    def __init__(self, mode="gradient_share", weight=0.3):
        super().__init__()
        self.layer = torch.nn.Linear(4, 4)
        self.weight = TermWeight(self, weight, mode)

    def step(self, x, main, term):
        self.zero_grad()
        frames = self.layer(x)
        branch = self.weight.branch(frames)
        loss = self.weight.join(main * frames.sum(), term * branch.square().sum(), 2.0)
        loss.backward()
        return loss.detach(), [p.grad.clone() for p in self.parameters()]


def reference(model, x, main, term, factor):
    """The same gradients by hand, and the ratio of the two norms at the frames."""
    frames = model.layer(x)
    losses = main * frames.sum(), 2.0 * term * frames.square().sum()
    norms = [torch.autograd.grad(each, frames, retain_graph=True)[0].norm() for each in losses]
    loss = losses[0] + factor * losses[1]
    return loss.detach(), torch.autograd.grad(loss, list(model.parameters())), norms[0] / norms[1]


@pytest.fixture
def x():
    torch.manual_seed(0)
    return torch.randn(3, 5, 4)


def test_the_factor_makes_the_share_and_is_a_constant_of_the_step(x):
    model, ratios = Pulled(), []
    for main, term in [(1.0, 5.0), (3.0, 0.1), (0.5, 0.5)]:
        mean = sum(map(math.log, ratios)) / max(len(ratios), 1)
        factor = 0.3 * math.exp(mean) if ratios else 0.0  # the first step only measures
        loss, gradients = model.step(x, main, term)
        expected, wanted, ratio = reference(model, x, main, term, factor)
        torch.testing.assert_close(loss, expected)
        for one, other in zip(gradients, wanted, strict=True):
            torch.testing.assert_close(one, other)
        assert float(model.weight.factor) == pytest.approx(factor, rel=1e-5)
        ratios.append(float(ratio))
    model.weight.branch(x)  # lets the last step count
    told = model.weight.told()
    assert float(told["ot_gradient_share"]) == pytest.approx(factor / ratios[-1], rel=1e-4)


def test_where_nothing_moves_the_share_is_the_weight(x):
    model = Pulled(weight=0.7)
    for _ in range(3):
        model.step(x, 2.0, 0.01)
    model.weight.branch(x)
    assert float(model.weight.told()["ot_gradient_share"]) == pytest.approx(0.7, rel=1e-5)


def test_by_value_the_share_is_only_told(x):
    model = Pulled("value")
    loss, gradients = model.step(x, 1.0, 5.0)
    expected, wanted, ratio = reference(model, x, 1.0, 5.0, 0.3)
    torch.testing.assert_close(loss, expected)
    for one, other in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(one, other)
    model.weight.branch(x)
    told = model.weight.told()
    assert set(told) == {"ot_gradient_share"}
    assert float(told["ot_gradient_share"]) == pytest.approx(0.3 / float(ratio), rel=1e-5)


def test_steps_without_a_gradient_do_not_count(x):
    model = Pulled()
    model.step(x, 1.0, 5.0)
    model.weight.branch(x)
    before = float(model.weight.factor)
    for main, term in [(0.0, 1.0), (1.0, 0.0), (math.nan, 1.0)]:
        model.step(x, main, term)
    model.weight.branch(x)
    assert float(model.weight.factor) == before > 0


@pytest.mark.parametrize(("main", "term", "which"), [(0.0, 1.0, "main loss"), (1.0, 0.0, "term")])
def test_a_gradient_that_never_comes_is_an_error(x, main, term, which):
    model = Pulled()
    for _ in range(20):
        model.step(x, main, term)
    with pytest.raises(UserError, match=f"gradient_share: in 20 steps the {which} had no"):
        model.step(x, main, term)


def test_a_resumed_training_goes_on_with_the_same_factor(x, tmp_path):
    model = Pulled()
    model.step(x, 1.0, 5.0)
    model.weight.branch(x)  # as validation does, before a checkpoint is written
    torch.save(model.state_dict(), tmp_path / "model.pth")
    fresh = Pulled()
    fresh.load_state_dict(torch.load(tmp_path / "model.pth", weights_only=True))
    assert set(fresh.state_dict()) == {"layer.weight", "layer.bias"}
    for one, other in zip(fresh.step(x, 1.0, 5.0)[1], model.step(x, 1.0, 5.0)[1], strict=True):
        assert torch.equal(one, other)
    Pulled().load_state_dict(Pulled("value").state_dict())  # of a model that knew no share


def test_by_value_gradients_are_bit_for_bit_what_they_were_without_the_branch(monkeypatch):
    def gradients():
        conf = {"ctc_weight": 0.3, "ot_conf": {"weight": 0.5}}
        model = build_asr(model="otreg", model_conf=conf).train()
        loss, _, _ = run(model, make_asr_batch([30, 22, 14], [6, 4, 3]))
        loss.backward()
        return [p.grad for p in model.parameters()]

    branched = gradients()
    monkeypatch.setattr(TermWeight, "branch", lambda self, frames: frames)
    for one, other in zip(branched, gradients(), strict=True):
        assert torch.equal(one, other)


@pytest.fixture(scope="module")
def lm(tmp_path_factory):
    return save_llm(tmp_path_factory.mktemp("llm"))


def models(lm):
    conf = {"weight": 0.3, "weight_mode": "gradient_share"}
    asr = build_asr(model="otreg", model_conf={"ctc_weight": 0.3, "ot_conf": conf}, specaug=None)
    slm = build_slm(lm, model_conf={"ot_conf": conf, "slm_conf": {"compression": "ot"}})
    return (asr, make_asr_batch([30, 22, 14], [6, 4, 3])), (slm, make_slm_batch(lm))


def test_a_weight_is_the_same_share_of_the_pull_in_every_model(lm):
    for model, batch in models(lm):
        model.train()
        for _ in range(3):  # nothing is updated; dropout alone makes steps differ
            run(model, batch)[0].backward()
        model.eval()
        with torch.no_grad():
            loss, stats, _ = run(model, batch)
        assert float(stats["ot_gradient_share"]) == pytest.approx(0.3, rel=0.05)
        assert float(stats["ot_weight"]) > 0
        main = stats.get("loss_ce")
        if main is None:
            main = 0.3 * stats["loss_ctc"] + 0.7 * stats["loss_att"]
        torch.testing.assert_close(loss, main)  # epochs are compared by what does not change
