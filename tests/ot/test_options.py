"""Options are declared once: one object, one check and one wording wherever they are given."""

import dataclasses
import math

import pytest
import torch

from espnet_otreg.ot import (
    AlignmentConf,
    GromovOptions,
    OTRegLoss,
    SolverOptions,
    cosine_cost,
    fused_gromov,
    sinkhorn,
)
from espnet_otreg.ot.options import check_options, declared, option, required, same


def batch():
    return torch.randn(2, 6, 4), torch.tensor([6, 4]), torch.randn(2, 3, 4), torch.tensor([3, 2])


def test_options_by_object_and_by_keyword_give_the_same_plan():
    speech, n, text, m = batch()
    cost = cosine_cost(speech, text)
    given = {"epsilon": 0.05, "max_iters": 20, "relax_text": 0.7}
    by_keyword = sinkhorn(cost, n, m, **given)
    by_object = sinkhorn(cost, n, m, SolverOptions(**given))
    both = sinkhorn(
        cost, n, m, SolverOptions(epsilon=3.0, max_iters=20, relax_text=0.7), epsilon=0.05
    )
    for plan in (by_object, both):
        assert all(torch.equal(a, b) for a, b in zip(by_keyword, plan, strict=True))
    assert not torch.equal(by_keyword.coupling, sinkhorn(cost, n, m).coupling)


def test_the_loss_takes_the_solvers_options_as_one_object():
    options = SolverOptions(epsilon=0.3, relax_speech=0.5, unroll=True)
    inputs = batch()
    by_object = OTRegLoss(options, sparsity_weight=0.2)(*inputs)
    by_keyword = OTRegLoss(sparsity_weight=0.2, **dataclasses.asdict(options))(*inputs)
    assert torch.equal(by_object.loss, by_keyword.loss)
    assert not torch.equal(by_object.loss, OTRegLoss(sparsity_weight=0.2)(*inputs).loss)


def test_gromov_takes_its_options_as_one_object():
    speech, n, text, m = batch()
    graphs = cosine_cost(speech, text), cosine_cost(speech, speech), cosine_cost(text, text), n, m
    options = GromovOptions(structure_weight=0.4, outer_iters=2)
    by_object = fused_gromov(*graphs, options)
    by_keyword = fused_gromov(*graphs, structure_weight=0.4, outer_iters=2)
    assert torch.equal(by_object.coupling, by_keyword.coupling)
    assert not torch.equal(by_object.coupling, fused_gromov(*graphs).coupling)


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("epsilon", 0, "a number above 0, finite"),
        ("max_iters", 0, "a whole number of 1 or more"),
        ("tol", math.nan, "a number of 0 or more, finite"),
        ("relax_text", -1, "a number above 0, or inf"),
    ],
)
def test_a_wrong_value_reads_the_same_wherever_it_is_given(name, given, expected):
    speech, n, text, m = batch()
    for place in (
        SolverOptions,
        OTRegLoss,
        AlignmentConf,
        lambda **wrong: sinkhorn(cosine_cost(speech, text), n, m, **wrong),
        lambda **wrong: sinkhorn(cosine_cost(speech, text), n, m, SolverOptions(), **wrong),
    ):
        with pytest.raises(ValueError) as caught:
            place(**{name: given})
        assert str(caught.value) == f"{name}: expected {expected}; received {given!r}"


def test_an_option_that_does_not_exist_is_refused():
    for place in (OTRegLoss, SolverOptions):
        with pytest.raises(TypeError, match="epsilom"):
            place(epsilom=0.1)


@dataclasses.dataclass(frozen=True)
class Sample:
    path: str = required("where it is")
    share: float = option(0.5, "of the whole", low=0, high=1, above=True)
    layers: tuple[int, ...] = option((), "which ones", low=1)
    names: dict = option({}, "code to name")
    size: int | None = option(None, "of it", low=1)

    def __post_init__(self) -> None:
        check_options(self)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"path": 3}, "path: expected text; received 3"),
        ({"share": 0.0}, "share: expected a number above 0 and at most 1; received 0.0"),
        ({"share": 1.1}, "share: expected a number above 0 and at most 1; received 1.1"),
        ({"share": True}, "share: expected a number above 0 and at most 1; received True"),
        ({"layers": (2, 0)}, "layers: expected a list, each a whole number of 1 or more; received"),
        ({"layers": 2}, "layers: expected a list"),
        ({"names": [1]}, "names: expected a mapping"),
        ({"size": 0}, "size: expected a whole number of 1 or more, or null; received 0"),
        ({"size": 10**400, "share": 2}, "share: "),
    ],
)
def test_every_kind_of_option_says_what_it_takes(given, told):
    with pytest.raises(ValueError, match=told):
        Sample(**{"path": "x", **given})


def test_a_declaration_tells_name_default_and_meaning():
    told = {each.name: (each.default, each.rule.help) for each in declared(Sample)}
    assert told["path"] == (dataclasses.MISSING, "where it is")
    assert told["names"] == ({}, "code to name")
    assert list(told) == ["path", "share", "layers", "names", "size"]


def test_a_borrowed_declaration_keeps_its_range_and_has_its_own_default():
    @dataclasses.dataclass
    class Borrower:
        share: float = same(Sample, "share", 0.1, "of something else")

    (found,) = declared(Borrower)
    assert (found.default, found.rule.help) == (0.1, "of something else")
    assert (found.rule.low, found.rule.high, found.rule.above) == (0, 1, True)
