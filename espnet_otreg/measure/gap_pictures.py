"""Pictures of chosen utterances for every system, their figures beside them, and the index."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from espnet_otreg.files import write_json
from espnet_otreg.measure.curves import DIAGNOSTICS, panel_figure, training_figure
from espnet_otreg.measure.gap_measures import MEASURES
from espnet_otreg.measure.gap_page import panel_values
from espnet_otreg.measure.plots import Utterance, distance_figure, frame_shares, plan_figure, save
from espnet_otreg.measure.training_log import read_epochs, series

_LONGEST_TITLE = 52  # characters that fit a column
Span = tuple[int, float, float]  # column, start and end in seconds


class Kept(NamedTuple):
    """What is drawn of an utterance and a system."""

    set: str
    utterance: str
    system: str
    waveform: np.ndarray
    rate: int
    hop: float
    coupling: np.ndarray  # (T, U')
    targets: list[str]  # labels of its columns
    target_spans: list[Span]
    distances: np.ndarray  # (T, U + 1)
    tokens: list[str]
    token_spans: list[Span]
    times: str


def spans_of_targets(
    spans: Sequence[Span], ids: Sequence[int], targets: Sequence[int]
) -> list[Span]:
    """Move spans from a transcript's tokens to the distinct targets of a plan.

    A token that is merged with another one's embedding has no column of its own.
    """
    column = {target: place for place, target in enumerate(targets)}
    return [(column[ids[u]], start, end) for u, start, end in spans if ids[u] in column]


def draw_all(
    folder: Path,
    kept: Sequence[Kept],
    rows: Sequence[Mapping[str, Any]],
    logs: Mapping[str, Sequence[Path]],
) -> None:
    """Draw everything and write `pictures.json`; `logs` are the experiment folders by system."""
    write_json(
        folder / "pictures.json",
        {"pictures": _draw_utterances(folder, kept), "figures": _draw_figures(folder, rows, logs)},
    )


def _draw_utterances(folder: Path, kept: Sequence[Kept]) -> list[dict[str, str]]:
    """Systems share an utterance's scales, or their pictures could not be compared."""
    pictures = []
    for one in kept:
        same = [k for k in kept if (k.set, k.utterance) == (one.set, one.utterance)]
        low = float(min(k.distances.min() for k in same))
        limits = low, float(max(k.distances.max() for k in same))
        highest = float(max(frame_shares(k.coupling).max() for k in same))
        title = f"{one.system}\n{_shortened(one.utterance)}"
        shown = Utterance(
            one.waveform, one.rate, one.hop, one.targets, one.target_spans, one.times, title
        )
        whole = shown._replace(labels=one.tokens, spans=one.token_spans)
        for kind, figure in (
            ("plan", plan_figure(one.coupling, shown, highest=highest)),
            ("distance", distance_figure(one.distances, whole, limits=limits)),
        ):
            suffix = "" if kind == "plan" else ".distance"
            name = f"{_fit(one.utterance)}.{_fit(one.system)}{suffix}"
            file = Path("plans") / _fit(one.set) / f"{name}.svg"
            save(figure, folder / file)
            pictures.append(
                {
                    "set": one.set,
                    "utterance": one.utterance,
                    "system": one.system,
                    "file": str(file),
                    "kind": kind,
                }
            )
    return pictures


def _draw_figures(
    folder: Path, rows: Sequence[Mapping[str, Any]], logs: Mapping[str, Sequence[Path]]
) -> list[dict[str, str]]:
    values, levels = panel_values(rows)
    drawn = [m for m in MEASURES if any(_known(values[m.name]))]
    save(panel_figure(drawn, values, levels), folder / "panel.svg")
    figures = [
        {
            "file": "panel.svg",
            "title": "The gap between speech and text",
            "caption": "One small axis per measure, a point per training seed and a bar at their "
            "mean. Arrows say which way the gap is smaller; the measures may disagree.",
        }
    ]
    curves: dict[str, dict[str, list[tuple[list[int], list[float]]]]] = {}
    for system, folders in logs.items():
        for path in folders:
            epochs = read_epochs(path / "train.log") if (path / "train.log").is_file() else {}
            for statistic in DIAGNOSTICS:
                curve = series(epochs, statistic.name, "valid")
                if curve[0]:
                    curves.setdefault(statistic.name, {}).setdefault(system, []).append(curve)
    if not curves:
        (folder / "training.svg").unlink(missing_ok=True)
        return figures
    save(training_figure(curves, everybody=list(logs)), folder / "training.svg")
    lacking = [name for name in logs if not any(name in by for by in curves.values())]
    caption = (
        "On the validation set after every epoch; a thin line is a seed, a strong one the mean."
    )
    if lacking:
        caption += f" Not in the training log of {', '.join(lacking)}, which has no transport term."
    title = "Optimal transport during training"
    return [*figures, {"file": "training.svg", "title": title, "caption": caption}]


def _known(values: Mapping[str, Mapping[str, Sequence[float]]]) -> list[bool]:
    return [v == v for by in values.values() for seeds in by.values() for v in seeds]


def _fit(name: str) -> str:
    """Make a name fit for a file."""
    return re.sub(r"[^\w.+-]+", "_", name)


def _shortened(name: str) -> str:
    half = _LONGEST_TITLE // 2
    return name if len(name) <= _LONGEST_TITLE else f"{name[:half]}…{name[-half:]}"
