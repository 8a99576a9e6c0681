"""Figures over systems and seeds: the panel of gap measures, and the solver during training."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from espnet_otreg.errors import UserError
from espnet_otreg.measure.gap_measures import HIGHER, LOWER, Measure
from espnet_otreg.measure.plots import PAGE, styled

# Okabe and Ito's colours, in an order in which neighbours differ in lightness too
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("-", "--", "-.", ":")
ARROWS = {HIGHER: "↑ higher is better", LOWER: "↓ lower is better"}
_COLUMNS = 4


class Statistic(NamedTuple):
    """One small axis of the training figure."""

    name: str  # in ESPnet's log
    label: str
    logarithmic: bool = False


DIAGNOSTICS = (
    Statistic("ot_cost", "transport cost"),
    Statistic("ot_sparsity", "sparsity term"),
    Statistic("ot_marginal_error", "marginal error", logarithmic=True),
    Statistic("ot_entropy", "plan entropy"),
    Statistic("ot_silence_mass", "silence mass"),
)

Values = Mapping[str, Mapping[str, Sequence[float]]]  # set -> system -> one value per seed


@styled
def panel_figure(
    measures: Sequence[Measure],
    values: Mapping[str, Values],
    chance: Mapping[str, Mapping[str, float]] | None = None,
) -> Figure:
    """Draw one small axis per measure: systems side by side within each set, a point per seed.

    Args:
        measures: in reading order
        values: of each measure's name; nan is left out
        chance: of a measure's name and a set, the level that is reached by knowing nothing
    """
    if not measures or not any(values[measure.name] for measure in measures):
        raise UserError("a panel needs at least one measure of one set")
    sets = list(values[measures[0].name])
    systems = list(dict.fromkeys(name for by in values[measures[0].name].values() for name in by))
    rows = math.ceil((len(measures) + 1) / _COLUMNS)  # the last cell is the legend's
    figure = Figure(figsize=(PAGE, 1.75 * rows), layout="constrained")
    grid = figure.add_gridspec(rows, _COLUMNS)
    for place, measure in enumerate(measures):
        axis = figure.add_subplot(grid[place // _COLUMNS, place % _COLUMNS])
        axis.set_title(f"{measure.label}\n{ARROWS.get(measure.direction, '')}")
        levels = (chance or {}).get(measure.name, {})
        _groups(axis, values[measure.name], sets, systems, levels)
    legend = figure.add_subplot(grid[-1, -1])
    legend.axis("off")
    handles = [_handle(index, name) for index, name in enumerate(systems)]
    if chance:
        handles.append(Line2D([], [], color="0.4", linestyle=":", label="chance"))
    legend.legend(handles=handles, loc="center left", frameon=False, borderaxespad=0)
    return figure


def _groups(
    axis: Any,
    values: Values,
    sets: Sequence[str],
    systems: Sequence[str],
    chance: Mapping[str, float],
) -> None:
    """Draw the points of one measure, and a bar through their mean."""
    width = 0.8 / len(systems)
    for group, test in enumerate(sets):
        for index, system in enumerate(systems):
            seeds = np.array(values[test].get(system, ()), float)
            seeds = seeds[~np.isnan(seeds)]
            if not len(seeds):
                continue
            centre = group + (index - (len(systems) - 1) / 2) * width
            spread = np.linspace(-0.22, 0.22, len(seeds)) * width if len(seeds) > 1 else [0.0]
            colour, marker = COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
            axis.hlines(seeds.mean(), centre - 0.36 * width, centre + 0.36 * width, color=colour,
                        linewidth=1)  # fmt: skip
            axis.scatter(centre + np.asarray(spread), seeds, s=11, marker=marker, color=colour,
                         edgecolors="white", linewidths=0.3, zorder=3)  # fmt: skip
        level = chance.get(test, math.nan)
        if not math.isnan(level):
            axis.hlines(level, group - 0.45, group + 0.45, color="0.4", linestyle=":", linewidth=1)
    axis.set_xlim(-0.55, len(sets) - 0.45)
    axis.set_xticks(range(len(sets)), sets)
    if len(sets) > 2:
        axis.tick_params(axis="x", labelrotation=30)
        for label in axis.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")
    axis.margins(y=0.12)
    axis.yaxis.set_major_locator(MaxNLocator(5))
    axis.grid(axis="y", color="0.9", linewidth=0.5)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)


@styled
def training_figure(
    curves: Mapping[str, Mapping[str, Sequence[tuple[Sequence[int], Sequence[float]]]]],
    statistics: Sequence[Statistic] = DIAGNOSTICS,
    everybody: Sequence[str] = (),
) -> Figure:
    """Draw statistics over epochs; `curves[statistic][system]` holds (epochs, values) per seed.

    A thin line is a seed, a strong one their mean where there are several. `everybody` are the
    systems of other figures, in order, so that each keeps its colour.
    """
    shown = [statistic for statistic in statistics if curves.get(statistic.name)]
    if not shown:
        raise UserError("no training log has a statistic of the transport term to draw")
    figure = Figure(figsize=(PAGE, 2.0), layout="constrained")
    axes = figure.subplots(1, len(shown), squeeze=False)[0]
    systems = list(dict.fromkeys(name for one in shown for name in curves[one.name]))
    places = {name: i for i, name in enumerate(dict.fromkeys([*everybody, *systems]))}
    for axis, statistic in zip(axes, shown, strict=True):
        for name, seeds in curves[statistic.name].items():
            _curves(axis, places[name], seeds)
        axis.set_title(statistic.label)
        axis.set_xlabel("epoch")
        axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        if statistic.logarithmic:
            axis.set_yscale("log")
        axis.grid(axis="y", color="0.9", linewidth=0.5)
        axis.spines[["top", "right"]].set_visible(False)
    handles = [_handle(places[name], name, line=True) for name in systems]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=min(4, len(systems)), frameon=False
    )
    return figure


def _curves(axis: Any, index: int, seeds: Sequence[tuple[Sequence[int], Sequence[float]]]) -> None:
    style: dict[str, Any] = {
        "color": COLOURS[index % len(COLOURS)],
        "ls": LINES[index % len(LINES)],
    }
    alone = len(seeds) == 1
    by_epoch: dict[int, list[float]] = {}
    for epochs, values in seeds:
        marker = MARKERS[index % len(MARKERS)] if alone else None
        axis.plot(epochs, values, lw=1.2 if alone else 0.5, alpha=1 if alone else 0.6,
                  marker=marker, ms=2.5, **style)  # fmt: skip
        for epoch, value in zip(epochs, values, strict=True):
            by_epoch.setdefault(epoch, []).append(value)
    if not alone:
        order = sorted(by_epoch)
        means = [float(np.mean(by_epoch[epoch])) for epoch in order]
        axis.plot(order, means, lw=1.4, marker=MARKERS[index % len(MARKERS)], ms=2.5, **style)


def _handle(index: int, name: str, *, line: bool = False) -> Line2D:
    options: dict[str, Any] = {"ls": LINES[index % len(LINES)] if line else "none"}
    colour, marker = COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
    return Line2D([], [], color=colour, marker=marker, markersize=3.5, label=name, **options)
