"""Steps of a recipe that do next to nothing, and engines that run them."""

import argparse
import time
from pathlib import Path

from espnet_otreg.recipe.graph import Graph
from espnet_otreg.recipe.stamps import Stamps

ROOT = Path(__file__).parents[2]  # on PYTHONPATH for processes that run STEP
STEP = "tests.support.fake_step"


def declared(*steps: list[str]) -> bytes:
    """Write steps as the shell does."""
    words = [word for step in steps for word in (str(len(step)), *step)]
    return "".join(f"{word}\0" for word in words).encode()


def step(name, *words, out="", kind="step", stage=1):
    return [
        kind,
        str(stage),
        name,
        out or f"made/{name}_%",
        STEP,
        *words,
        "--output",
        "@out",
    ]


def graph(*steps) -> Graph:
    return Graph(declared(*steps), Stamps(Path("stamps.json")))


def arguments(**options):
    default = {"stage": 0, "stop_stage": 15, "ngpu": "0", "gpu_inference": "false"}
    default |= {"num_nodes": 1, "train_nj": 1, "expdir": Path("exp")}
    return argparse.Namespace(**{**default, **options})


PROGRAM = """
import argparse, sys
from pathlib import Path
from espnet_otreg.recipe.graph import Graph
from espnet_otreg.recipe.run import Engine
from espnet_otreg.recipe.stamps import Stamps
args = argparse.Namespace(stage=0, stop_stage=15, ngpu="0", gpu_inference="false", num_nodes=1,
                          train_nj=int(sys.argv[1]), expdir=Path("exp"))
Engine(Graph(sys.stdin.buffer.read(), Stamps(Path("stamps.json"))), args).run()
"""


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.02)
