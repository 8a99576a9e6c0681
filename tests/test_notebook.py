"""The notebook runs from top to bottom, and the outputs that it stores are of these cells."""

import base64
import copy
import json
from pathlib import Path

import pytest

from tools.notebook import run_cells

PATH = Path(__file__).resolve().parents[1] / "docs/notebooks/align_two_sentences.ipynb"


@pytest.fixture(scope="module")
def stored():
    return json.loads(PATH.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def run(stored):
    """The notebook run anew, and the names that it made."""
    pytest.importorskip("espeakng_loader", reason="espeakng-loader is not installed")
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    notebook = copy.deepcopy(stored)
    return notebook, run_cells(notebook)


def kinds(notebook):
    return [
        [output["output_type"] for output in cell["outputs"]]
        for cell in notebook["cells"]
        if cell["cell_type"] == "code"
    ]


def test_the_words_lie_where_they_are_spoken_once_the_encoder_is_trained(run):
    _, names = run
    assert names["before"] < 0.3
    assert names["after"] > 0.5
    assert names["ctc"] < 0.2


def test_what_the_notebook_stores_is_what_its_cells_give(stored, run):
    notebook, _ = run
    assert kinds(stored) == kinds(notebook)
    assert sum("execute_result" in each for each in kinds(stored)) == 3
    pictures = [
        base64.b64decode(output["data"]["image/png"])
        for cell in stored["cells"]
        for output in cell.get("outputs", ())
        if output["output_type"] == "execute_result"
    ]
    assert all(picture.startswith(b"\x89PNG") for picture in pictures)
    assert sum(map(len, pictures)) < 100_000
