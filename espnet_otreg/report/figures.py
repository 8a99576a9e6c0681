"""Error rates and differences as figures for a paper: points with their intervals."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from espnet_otreg.measure.curves import COLOURS, MARKERS
from espnet_otreg.scoring.comparison import Comparison, TestedSet
from espnet_otreg.scoring.significance import Interval
from espnet_otreg.scoring.wer import TOTAL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ROW = 0.2  # inches per system in a row
_WIDTH = 3.6  # inches per test set


def rates_figure(comparison: Comparison) -> "Figure":
    """Error rate of every system by language, with its interval and every seed as a small mark."""
    figure, axes = _panels(comparison, len(comparison.systems))
    for axis, tested in zip(axes, comparison.sets, strict=True):
        for row, part in enumerate(tested.parts.values()):
            for index, result in enumerate(part.results):
                height = row + _offset(index, len(part.results))
                _point(axis, result.interval, height, index)
                rates = [100 * rate for rate in result.seed_rates]
                style: dict[str, Any] = {
                    "marker": "|",
                    "markersize": 5,
                    "linestyle": "",
                    "alpha": 0.6,
                }
                axis.plot(rates, [height] * len(rates), color=_colour(index), **style)
        metric = tested.parts[TOTAL].metric
        _finish(axis, tested, f"{metric} in %" if metric != "mixed" else "error rate in %")
        axis.set_xlim(left=0)
    _legend(figure, [system.name for system in comparison.systems], 0)
    return figure


def differences_figure(comparison: Comparison) -> "Figure":
    """Every system minus the baseline: left of the line is better."""
    figure, axes = _panels(comparison, len(comparison.systems) - 1)
    for axis, tested in zip(axes, comparison.sets, strict=True):
        axis.axvline(0, color="#888888", linewidth=0.8)
        for row, part in enumerate(tested.parts.values()):
            others = part.results[1:]
            for index, result in enumerate(others, start=1):
                assert result.difference is not None  # there is one for all but the baseline
                height = row + _offset(index - 1, len(others))
                _point(axis, result.difference.absolute, height, index)
        _finish(axis, tested, f"points against {comparison.systems[0].name} (negative: better)")
    _legend(figure, [system.name for system in comparison.systems[1:]], 1)
    return figure


def _panels(comparison: Comparison, systems: int) -> tuple["Figure", Sequence["Axes"]]:
    """One panel per test set, as high as its rows need."""
    from matplotlib.figure import Figure

    rows = max(len(tested.parts) for tested in comparison.sets)
    size = (_WIDTH * len(comparison.sets), 1.1 + rows * max(0.35, _ROW * systems))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(1, len(comparison.sets), squeeze=False)[0]
    return figure, list(axes)


def _offset(index: int, count: int) -> float:
    """Where a system stands within its row, the first on top."""
    return ((index + 0.5) / count - 0.5) * 0.7


def _colour(index: int) -> str:
    return COLOURS[index % len(COLOURS)]


def _point(axis: "Axes", interval: Interval, height: float, index: int) -> None:
    value, low, high = (100 * bound for bound in interval)
    if math.isnan(value):
        return
    style: dict[str, Any] = {
        "color": _colour(index),
        "marker": MARKERS[index % len(MARKERS)],
        "markersize": 4,
    }
    reach = None if math.isnan(low) else [[value - low], [high - value]]
    axis.errorbar([value], [height], xerr=reach, linewidth=1.2, capsize=2, **style)


def _finish(axis: "Axes", tested: TestedSet, label: str) -> None:
    axis.set_yticks(range(len(tested.parts)), list(tested.parts))
    axis.set_ylim(len(tested.parts) - 0.5, -0.5)
    domain = f" ({tested.domain})" if tested.domain != tested.name else ""
    axis.set_title(f"{tested.name}{domain}", fontsize=9)
    axis.set_xlabel(label, fontsize=8)
    axis.tick_params(labelsize=8)
    axis.grid(axis="x", color="#dddddd", linewidth=0.6)
    axis.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
    axis.tick_params(axis="y", length=0)


def _legend(figure: "Figure", names: Sequence[str], first: int) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=_colour(i), marker=MARKERS[i % len(MARKERS)], markersize=4, label=name)
        for i, name in enumerate(names, start=first)
    ]
    column = 0.5 + 0.065 * max(len(name) for name in names)  # inches: the sign, and 8-point letters
    width = max(int(figure.get_figwidth() / column), 1)
    figure.legend(handles=handles, loc="outside upper left", ncols=width, fontsize=8, frameon=False)
