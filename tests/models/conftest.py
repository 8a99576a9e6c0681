"""Tiny ESPnet models and batches."""

import pytest

from tests.support import tiny_models


@pytest.fixture
def build_model():
    return tiny_models.build


@pytest.fixture
def batch():
    return tiny_models.make_batch([30, 22, 14], [6, 4, 3])
