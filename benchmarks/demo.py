#!/usr/bin/env python3
r"""How soon the page of `espnet-otreg demo` is there: while the model loads, and afterwards.

    python benchmarks/demo.py packed.zip

Seconds from the start of the command to the address that it prints, and milliseconds from a
browser's start of navigation to its first paint: medians of openings in fresh tabs, the first set
begun as soon as the address is there, when loading takes most of the processor, the second once the
model is ready. Aim: first paint within 1 s.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from typing import Any

from espnet_otreg.stages.screenshots import launch_chromium

AIM_PAINT = 1000.0  # milliseconds
PAINT = "performance.getEntriesByName('first-contentful-paint').map((each) => each.startTime)"


def main(cmd: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="a pack or an experiment's folder")
    parser.add_argument("--openings", type=int, default=5, help="[5]")
    args = parser.parse_args(cmd)
    command = [sys.executable, "-m", "espnet_otreg.cli", "demo", args.model, "--port", "0"]
    with launch_chromium() as chromium:
        first_paint(chromium, "data:text/html,warm")  # the browser's own first is not the page's
        started = time.monotonic()
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process:
            assert process.stdout is not None
            found = re.search(r"http://\S+", process.stdout.readline())
            print(f"address printed: {time.monotonic() - started:.2f} s")
            try:
                assert found is not None, "no address came"
                measure(chromium, found[0], args.openings, started)
            finally:
                process.terminate()


def measure(chromium: Any, address: str, openings: int, started: float) -> None:
    """Open the page while the model loads and afterwards."""
    paints = [first_paint(chromium, address) for _ in range(openings)]
    tell("loading" if not ready(address) else "loading (it ended in between)", paints)
    while not ready(address):
        time.sleep(0.2)
    print(f"model ready: {time.monotonic() - started:.1f} s after the command")
    tell("ready", [first_paint(chromium, address) for _ in range(openings)])


def first_paint(chromium: Any, address: str) -> float:
    """Milliseconds from the start of navigation."""
    tab = chromium.new_page()
    tab.goto(address)
    while not (paints := tab.evaluate(PAINT)):
        tab.wait_for_timeout(5)
    tab.close()
    return float(paints[0])


def ready(address: str) -> bool:
    """Ask the page's server for the model."""
    with urllib.request.urlopen(f"{address}status") as answer:
        return bool(json.load(answer)["ready"])


def tell(when: str, paints: Sequence[float]) -> None:
    """Print a line."""
    middle = statistics.median(paints)
    listed = ", ".join(f"{paint:.0f}" for paint in sorted(paints))
    said = "reached" if middle <= AIM_PAINT else "missed"
    print(f"first paint, model {when}: {middle:.0f} ms of {listed}, aim {AIM_PAINT:g}: {said}")


if __name__ == "__main__":
    main()
