"""Whitening against its definition, and against what a table must be to have one."""

import pytest
import torch

from espnet_otreg.ot import cosine_cost, whitening
from espnet_otreg.ot.whiten import Whitener


@pytest.fixture
def table():
    """400 rows in a narrow cone: a mean, and a spread that falls by a factor of 30."""
    spread = torch.logspace(0, -1.5, 12, dtype=torch.double)
    turn = torch.linalg.qr(torch.randn(12, 12, dtype=torch.double)).Q
    return (torch.randn(400, 12, dtype=torch.double) * spread + 2) @ turn


def covariance(x):
    return torch.cov(x.T, correction=0)


def test_without_shrinkage_the_rows_become_round_and_keep_their_mean_square(table):
    white = whitening(table, 0.0)(table)
    square = covariance(table).diagonal().mean()
    torch.testing.assert_close(white.mean(0), torch.zeros(12, dtype=torch.double))
    torch.testing.assert_close(covariance(white), square * torch.eye(12, dtype=torch.double))


@pytest.mark.parametrize("shrinkage", [0.05, 0.5])
def test_cosines_are_those_of_the_covariances_inverse_root(table, shrinkage):
    """The symmetric root, a rotation of ours."""
    cov = covariance(table)
    shrunk = (1 - shrinkage) * cov + shrinkage * cov.diagonal().mean() * torch.eye(12)
    values, vectors = torch.linalg.eigh(shrunk)
    root = vectors @ torch.diag(values.rsqrt()) @ vectors.T
    expected = (table - table.mean(0)) @ root
    white = whitening(table, shrinkage)(table)
    torch.testing.assert_close(cosine_cost(white[None], white[None]),
                               cosine_cost(expected[None], expected[None]))  # fmt: skip


def test_full_shrinkage_centres_and_turns_nothing(table):
    torch.testing.assert_close(whitening(table, 1.0)(table), table - table.mean(0))


def test_a_cone_is_opened(table):
    def sameness(x):
        cosine = 1 - cosine_cost(x[None], x[None])[0]
        return (cosine.sum() - len(x)) / (len(x) * (len(x) - 1))

    assert sameness(table) > 0.8 and abs(sameness(whitening(table, 0.1)(table))) < 0.01


def test_a_large_table_is_whitened_by_parts_as_at_once(table, monkeypatch):
    whole = whitening(table)
    monkeypatch.setattr("espnet_otreg.ot.whiten._ROWS", 7)
    for one, other in zip(whitening(table), whole, strict=True):
        torch.testing.assert_close(one, other)


def test_gradients_reach_what_is_whitened_and_half_precision_is_raised(table):
    white = whitening(table.float())
    x = torch.randn(2, 3, 12).bfloat16().requires_grad_()
    white(x).square().sum().backward()
    expected = 2 * (x.float() - white.mean) @ white.matrix @ white.matrix.T
    torch.testing.assert_close(x.grad.float(), expected, rtol=1e-2, atol=1e-2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert white(x).dtype == torch.float32


def test_fewer_rows_than_dimensions_need_shrinkage_and_are_told(caplog):
    caplog.set_level("INFO")
    rows = torch.randn(5, 11)
    assert whitening(rows, 0.2)(rows).isfinite().all()
    assert "5 rows in 11 dimensions" in caplog.text and "shrinkage 0.2" in caplog.text
    with pytest.raises(ValueError, match=r"shrinkage: expected above 0 where 5 rows .* 11 dim"):
        whitening(rows, 0.0)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (torch.full((6, 3), 0.7), "expected rows that differ; received 6"),
        (torch.randn(1, 3), "expected rows that differ; received 1"),
        (torch.zeros(6, 3), "expected rows that differ"),
        (torch.tensor([[1.0, torch.nan], [2.0, 3.0]]), "expected finite numbers"),
        (torch.randn(3), r"expected \(N, D\)"),
        (torch.randn(0, 3), r"expected \(N, D\)"),
    ],
)
def test_a_table_without_spread_is_refused(rows, told):
    with pytest.raises(ValueError, match=told):
        whitening(rows)


def test_statistics_are_made_anew_when_the_table_has_changed_and_not_before(table):
    table = torch.nn.Parameter(table)
    whitener = Whitener(0.1)
    with torch.inference_mode():
        first = whitener.by(table)
    assert whitener.by(table) is first
    optimizer = torch.optim.SGD([table], lr=1.0)
    table.grad = torch.randn_like(table)
    optimizer.step()
    second = whitener.by(table)
    torch.testing.assert_close(second.mean, table.detach().mean(0))
    assert not torch.equal(first.mean, second.mean)
    x = torch.randn(2, 12, dtype=torch.double, requires_grad=True)
    first(x).sum().backward()  # what a look in inference mode has made serves training
