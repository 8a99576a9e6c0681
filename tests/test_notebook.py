"""The notebook runs from top to bottom, and the outputs that it stores are of these cells."""

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PATH = ROOT / "docs/notebooks/align_two_sentences.ipynb"
RUN = """
import json, sys
from tools.notebook import run_cells
notebook = json.load(open(sys.argv[1], encoding="utf-8"))
names = run_cells(notebook)
print(json.dumps([notebook, {name: float(names[name]) for name in ("before", "after", "ctc")}]))
"""


@pytest.fixture(scope="module")
def stored():
    return json.loads(PATH.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def run():
    """The notebook run anew, and the figures that it made; eSpeak NG wants a fresh process."""
    pytest.importorskip("espeakng_loader", reason="espeakng-loader is not installed")
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(PATH)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


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
