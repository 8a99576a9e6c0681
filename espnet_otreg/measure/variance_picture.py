"""A picture of what the variance of differences comes from: speakers, seeds, checkpoints, models.

Drawn from what espnet_otreg.stages.compare writes as results.json (its --picture), one panel per
test set and one bar per system: its length is how far the difference may lie off by chance, in
points, and its parts are the levels' shares of the variance.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from espnet_otreg.errors import UserError
from espnet_otreg.measure.plots import PAGE, styled

_GREY = "0.8"  # of what is no level of training
_COLOURS = ("0.55", _GREY, "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_ROW = 0.22  # inches per system
_AROUND = 0.95


@styled
def variance_figure(results: Mapping[str, Any]) -> Figure:
    """Draw the parts of every system's difference from the baseline, of the whole test sets."""
    panels = [(tested, _bars(tested)) for tested in results["test_sets"]]
    levels = list(
        dict.fromkeys(level for _, bars in panels for bar in bars.values() for level in bar)
    )
    if not levels:
        raise UserError(
            "the results say nothing of what their differences' variance comes from: they were "
            "made before tables did, or with too few speakers; make them again by stage 13"
        )
    rows = max(len(bars) for _, bars in panels)
    height = _AROUND + _ROW * rows
    figure = Figure(figsize=(PAGE, height), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axis, (tested, bars) in zip(axes, panels, strict=True):
        for row, parts in enumerate(bars.values()):
            _draw(axis, row, parts, levels)
        axis.set_yticks(range(len(bars)), list(bars))
        axis.set_ylim(rows - 0.5, -0.5)
        axis.set_xlim(left=0)
        axis.set_title(f"{tested['domain']} ({tested['name']})", loc="left")
        axis.set_xlabel("standard error of the difference, points")
        axis.spines[["top", "right"]].set_visible(False)
    handles = [axes[0].barh([0], [0], color=_colour(levels, level)) for level in levels]
    figure.legend(handles, levels, loc="outside lower center", ncols=3, frameon=False)
    return figure


def _bars(tested: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Take each system's variances by level, those of the baseline left out."""
    found: dict[str, dict[str, float]] = {}
    for name, result in tested["parts"]["total"]["results"].items():
        parts = {part["level"]: part["variance"] for part in result.get("components") or []}
        if sum(parts.values()) > 0:
            found[name] = parts
    return found


def _draw(axis: Any, row: int, parts: Mapping[str, float], levels: Sequence[str]) -> None:
    whole = sum(parts.values())
    left = 0.0
    for level, variance in parts.items():
        width = 100 * whole**0.5 * variance / whole
        axis.barh([row], [width], left=left, height=0.7, color=_colour(levels, level))
        left += width


def _colour(levels: Sequence[str], level: str) -> str:
    return _COLOURS[list(levels).index(level) % len(_COLOURS)]
