import numpy as np
import pytest

from espnet_otreg.measure.probe import explained, pooled, recognised


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_pooling_is_mean_and_deviation_over_time():
    assert pooled(np.array([[0.0, 2.0], [2.0, 2.0]])).tolist() == [1.0, 2.0, 1.0, 0.0]


def test_what_is_linearly_there_is_explained(rng):
    x = rng.standard_normal((200, 6))
    assert explained(x, x @ np.arange(6.0) + 3) > 0.99
    assert recognised(x, ["a" if row[2] > 0 else "b" for row in x]) > 0.9


def test_what_is_not_there_is_not_explained_even_with_more_features_than_recordings(rng):
    x = rng.standard_normal((100, 300))
    assert explained(x, rng.standard_normal(100)) < 0.1
    assert recognised(x, list("abcde" * 20)) < 0.4


def test_half_noise_explains_half(rng):
    x = rng.standard_normal((2000, 3))
    y = x[:, 0] + rng.standard_normal(2000)
    assert explained(x, y) == pytest.approx(0.5, abs=0.05)
