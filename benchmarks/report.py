"""How long a report over many utterances takes, and how soon a browser shows it.

    python benchmarks/report.py [--utterances 2000]

Two systems of two seeds, five seconds of noise per utterance. Aims: made in 60 s, first paint
within 1 s, the median of five openings in a fresh tab.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from espnet_otreg.files import write_lines
from espnet_otreg.scoring.score_file import save_score
from espnet_otreg.scoring.wer import score
from espnet_otreg.stages.report import main as make_report
from espnet_otreg.stages.screenshots import find_chromium, launch_chromium

RATE, SECONDS, WORDS = 16000, 5, 10
AIM_MADE, AIM_PAINT = 60.0, 1000.0


def main() -> None:
    """Make a report of generated experiments and open it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--utterances", type=int, default=2000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        experiments = prepare(home, args.utterances)
        page = home / "report.html"
        start = time.perf_counter()
        make_report([*experiments, "--output", str(page)])
        made = time.perf_counter() - start
        print(f"made: {made:.1f} s, aim {AIM_MADE:g}: {reached(made <= AIM_MADE)}")
        print(f"size: {page.stat().st_size / 1e6:.1f} MB")
        if find_chromium() is None:
            print("first paint: not measured, there is no Chromium")
            return
        paints = [first_paint(page) for _ in range(5)]
        middle = statistics.median(paints)
        listed = ", ".join(f"{paint:.0f}" for paint in sorted(paints))
        print(f"first paint: {middle:.0f} ms of {listed}, aim {AIM_PAINT:g}: ", end="")
        print(reached(middle <= AIM_PAINT))


def prepare(home: Path, utterances: int) -> list[str]:
    """Write recordings, a data directory and scored experiments."""
    draw = np.random.default_rng(0)
    names = [f"utt{number:05d}" for number in range(utterances)]
    for name in names:
        path = home / "audio" / f"{name}.flac"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, 0.1 * draw.standard_normal(RATE * SECONDS), RATE)
    write_lines(home / "data/wav.scp", [f"{name} {home}/audio/{name}.flac" for name in names])
    words = [f"word{number}" for number in range(500)]
    references = {name: " ".join(draw.choice(words, WORDS)) for name in names}
    speakers = {name: f"speaker{number % 50}" for number, name in enumerate(names)}
    folders = []
    for system, rate in (("base", 0.2), ("other", 0.15)):
        for seed in (1, 2):
            folder = home / f"exp/asr_{system}_seed{seed}_0000000{seed}"
            hypotheses = {name: spoiled(text, rate, draw) for name, text in references.items()}
            scored = score(references, hypotheses, normaliser="none", speakers=speakers)
            facts = {"reference": str(home / "data")}
            save_score(folder / "decode_x/test/score.json", scored, "none", facts)
            folders.append(str(folder))
    return folders


def spoiled(text: str, rate: float, draw: np.random.Generator) -> str:
    """Put errors into a text."""
    return " ".join("wrong" if draw.random() < rate else word for word in text.split())


def first_paint(page: Path) -> float:
    """Milliseconds from the start of navigation."""
    with launch_chromium() as chromium:
        tab = chromium.new_page()
        tab.goto(page.as_uri())
        (paint,) = tab.evaluate(
            "performance.getEntriesByName('first-contentful-paint').map((e) => e.startTime)"
        )
        return float(paint)


def reached(yes: bool) -> str:
    """Say it in a word."""
    return "reached" if yes else "missed"


if __name__ == "__main__":
    main()
