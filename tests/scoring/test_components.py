import numpy as np
import pytest

from espnet_otreg.scoring.components import levels_of, variances
from espnet_otreg.scoring.levels import ORDER


def labels(cells):
    return [dict(zip(ORDER, map(str, cell), strict=False)) for cell in cells]


def crossed(encoders, lms, checkpoints=1, seeds=1):
    return labels(
        (e, m, f"{e}{m}{c}", s)
        for e in range(encoders)
        for m in range(lms)
        for c in range(checkpoints)
        for s in range(seeds)
    )


def estimated(values, cells, influence=None):
    values = np.asarray(values, float)
    influence = np.zeros((len(values), 4)) if influence is None else influence
    return variances(values, influence, levels_of(cells, ORDER))


def test_levels_that_cannot_be_told_apart_are_one():
    assert list(levels_of(crossed(1, 1, 1, 3), ORDER)) == ["seed"]
    assert list(levels_of(crossed(1, 1, 3, 2), ORDER)) == ["checkpoint", "seed"]
    assert list(levels_of(crossed(1, 1, 3, 1), ORDER)) == ["checkpoint + seed"]
    assert list(levels_of(crossed(3, 1), ORDER)) == ["encoder + checkpoint + seed"]
    whole = levels_of(crossed(2, 3, 2, 2), ORDER)
    assert list(whole) == ["encoder", "lm", "encoder × lm", "checkpoint", "seed"]
    assert [len(set(groups)) for groups in whole.values()] == [2, 3, 6, 12, 24]


def test_one_model_has_no_level():
    assert levels_of(crossed(1, 1), ORDER) == {}


def test_a_level_that_systems_lack_is_none():
    assert list(levels_of([{"seed": "1"}, {"seed": "2"}], ORDER)) == ["seed"]


def test_seeds_alone_give_the_sample_variance():
    values = [1.0, 2.0, 4.0]
    found = estimated(values, crossed(1, 1, 1, 3))
    assert found.single["seed"] == pytest.approx(np.var(values, ddof=1))
    assert found.mean == pytest.approx(np.var(values, ddof=1) / 3)
    assert found.freedom == pytest.approx(2)


def test_a_full_design_gives_the_analysis_of_variance():
    square = np.array([[0.0, 1.0, 3.0], [2.0, 5.0, 4.0], [9.0, 8.0, 12.0]])
    rows, columns = square.mean(axis=1), square.mean(axis=0)
    left = square - rows[:, None] - columns + square.mean()
    residual = (left**2).sum() / 4
    found = estimated(square.ravel(), crossed(3, 3))
    assert found.single == pytest.approx(
        {
            "encoder": rows.var(ddof=1) - residual / 3,
            "lm": columns.var(ddof=1) - residual / 3,
            "encoder × lm + checkpoint + seed": residual,
        }
    )
    parts = rows.var(ddof=1) / 3 + columns.var(ddof=1) / 3 - residual / 9
    assert found.mean == pytest.approx(parts)


def test_nested_levels_give_the_analysis_of_variance():
    values = np.array([[1.0, 3.0], [6.0, 7.0], [2.0, 2.5]])
    within = values.var(axis=1, ddof=1).mean()
    found = estimated(values.ravel(), crossed(1, 1, 3, 2))
    between = values.mean(axis=1).var(ddof=1)
    assert found.single == pytest.approx({"checkpoint": between - within / 2, "seed": within})
    assert found.mean == pytest.approx(between / 3)
    assert found.freedom == pytest.approx(2, abs=0.5)


def test_a_level_below_nothing_is_left_out_and_the_rest_pooled():
    values = np.array([[1.0, 9.0], [2.0, 8.0], [9.0, 1.5]])  # checkpoints agree by chance
    found = estimated(values.ravel(), crossed(1, 1, 3, 2))
    assert found.single["checkpoint"] == 0
    assert found.single["seed"] == pytest.approx(values.var(ddof=1))
    assert found.freedom == pytest.approx(5)


def test_the_variance_of_the_mean_over_a_latin_square_with_holes_is_right_on_average():
    cells = labels((i, (i + j) % 6, f"{i}{j}", 0) for i in range(6) for j in range(2))
    rng = np.random.default_rng(0)
    found = []
    for _ in range(300):
        encoders, lms = rng.normal(0, 3, 6), rng.normal(0, 2, 6)
        values = [encoders[int(c["encoder"])] + lms[int(c["lm"])] + rng.normal() for c in cells]
        found.append(estimated(values, cells))
    assert list(found[0].single) == ["encoder", "lm", "encoder × lm + checkpoint + seed"]
    assert np.mean([one.mean for one in found]) == pytest.approx(9 / 6 + 4 / 6 + 1 / 12, rel=0.1)
    # one square is not enough to tell encoders from language models, many are
    assert np.mean([one.single["encoder"] for one in found]) == pytest.approx(9, rel=0.15)
    assert np.mean([one.single["lm"] for one in found]) == pytest.approx(4, rel=0.15)


def test_what_speakers_make_of_the_scatter_is_told_apart():
    rng = np.random.default_rng(0)
    own, shares = [], []
    for _ in range(300):
        faring = rng.normal(size=(3, 50)) / 50  # nothing but how speakers fare with models
        centred = faring - faring.mean(axis=1, keepdims=True)
        found = estimated(faring.sum(axis=1), crossed(1, 1, 1, 3), centred)
        own.append(found.mean)
        shares.append(found.mean_chance)
    assert np.mean(own) == pytest.approx(1 / 150, rel=0.15)
    assert np.mean(shares) == pytest.approx(1 / 150, rel=0.05)


def test_equal_models_have_no_variance():
    found = estimated([2.0, 2.0, 2.0], crossed(1, 1, 1, 3))
    assert (found.mean, found.freedom) == (0, 2)
