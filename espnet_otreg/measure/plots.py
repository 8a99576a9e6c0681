"""Pictures of one utterance over time: the transport plan, and distances to the transcript.

Both have the waveform on top, time in seconds below and one row per token, so that they can stand
side by side. Every function returns a matplotlib Figure of its own and leaves no global state.
"""

from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle

from espnet_otreg.errors import UserError
from espnet_otreg.files import writing

COLUMN, PAGE = 3.5, 7.1  # inches: a column and the width of a paper's page
DPI = 200
TIMES = "#D55E00"  # outline of word times; with the blues it can be told apart by everybody
_ROW = 0.125  # inches per token
_SCRIPTS = ("Noto Sans CJK SC", "Noto Sans CJK JP", "WenQuanYi Zen Hei", "Noto Sans Devanagari",
            "Noto Sans Thai", "Noto Sans Arabic", "Noto Sans")  # fmt: skip
STYLE: Any = {
    "font.size": 7,
    "axes.titlesize": 7.5,
    "axes.labelsize": 7,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "legend.fontsize": 7,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "svg.hashsalt": "espnet_otreg",
}
Parameters = ParamSpec("Parameters")


class Utterance(NamedTuple):
    """What a picture shows beside the matrix."""

    waveform: np.ndarray  # (samples,)
    rate: int  # samples per second
    hop: float  # seconds per row of the matrix
    labels: Sequence[str]  # (U,) of the matrix' columns, the silence anchor's last
    spans: Sequence[tuple[int, float, float]]  # column, start and end in seconds: word times
    times: str  # where the word times come from, such as `true word times`
    title: str


def styled(draw: Callable[Parameters, Figure]) -> Callable[Parameters, Figure]:
    """Draw with this package's fonts and sizes, whatever the caller's settings are."""

    @wraps(draw)
    def inside(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Figure:
        there = set(font_manager.get_font_names())
        families = ["DejaVu Sans", *(name for name in _SCRIPTS if name in there)]
        settings: Any = {**STYLE, "font.family": families}
        with matplotlib.rc_context(settings):
            return draw(*args, **kwargs)

    return inside


def save(figure: Figure, path: Path) -> list[Path]:
    """Write `path` as .svg and as .png, with either suffix; equal figures give equal files."""
    made = []
    whole = path.with_suffix("") if path.suffix in (".svg", ".png") else path
    for kind, metadata in (("svg", {"Date": None, "Creator": None}), ("png", {"Software": None})):
        made.append(whole.with_name(f"{whole.name}.{kind}"))
        with writing(made[-1], "wb") as stream, matplotlib.rc_context(STYLE):
            figure.savefig(stream, format=kind, dpi=DPI, metadata=metadata)
    return made


@styled
def plan_figure(
    coupling: np.ndarray, utterance: Utterance, *, highest: float | None = None
) -> Figure:
    """Draw a plan (T, U): which share of each frame goes to which token.

    `highest` share on the scale makes pictures of several systems comparable. At the side stands
    each token's share of all mass; below, that of each frame where they do not all weigh the same.
    """
    _check(coupling, utterance)
    shares, mass = frame_shares(coupling), coupling.sum(1)
    whole = coupling.sum() or 1.0
    relative = mass * len(mass) / whole
    highest = float(shares.max()) if highest is None else highest
    uneven = bool(np.abs(relative - 1).max(initial=0) > 0.05)
    axes, figure = _layout(utterance, with_mass=True, with_frames=uneven)
    image = _matrix(axes["matrix"], shares, utterance, "Blues", (0.0, highest or 1.0))
    bar = axes["mass"]
    bar.barh(np.arange(shares.shape[1]), coupling.sum(0) / whole, height=0.8, color="0.55")
    bar.set_ylim(axes["matrix"].get_ylim())
    bar.tick_params(labelleft=False, left=False)
    bar.set_xticks([round(float((coupling.sum(0) / whole).max()), 2)])
    bar.set_xlabel("mass")
    bar.spines[["top", "right"]].set_visible(False)
    if uneven:
        seconds = (np.arange(len(relative)) + 0.5) * utterance.hop
        axes["frames"].bar(seconds, relative, width=utterance.hop, color="0.55")
        axes["frames"].set_ylabel("frame\nmass", rotation=0, ha="right", va="center")
        axes["frames"].set_yticks([])
    figure.colorbar(image, cax=axes["scale"], label="share of the frame's mass")
    return figure


@styled
def distance_figure(
    distances: np.ndarray, utterance: Utterance, *, limits: tuple[float, float] | None = None
) -> Figure:
    """Draw cosine distances (T, U) of frames to tokens, dark where they are near.

    `limits` of the scale make pictures of several systems comparable.
    """
    _check(distances, utterance)
    axes, figure = _layout(utterance, with_mass=False, with_frames=False)
    low, high = limits or (float(distances.min()), float(distances.max()))
    image = _matrix(axes["matrix"], distances, utterance, "Blues_r", (low, high))
    figure.colorbar(image, cax=axes["scale"], label="cosine distance")
    return figure


def frame_shares(coupling: np.ndarray) -> np.ndarray:
    """Return which share of a frame's mass goes to each token; 0 for a frame without mass."""
    mass = coupling.sum(1, keepdims=True)  # (T, 1)
    return np.divide(coupling, mass, out=np.zeros_like(coupling), where=mass > 0)


def _check(matrix: np.ndarray, utterance: Utterance) -> None:
    if matrix.ndim != 2 or matrix.shape[1] != len(utterance.labels) or not len(matrix):
        raise UserError(
            f"a picture needs frames and one label per token: got a matrix {matrix.shape} and "
            f"{len(utterance.labels)} labels"
        )


def _layout(
    utterance: Utterance, *, with_mass: bool, with_frames: bool
) -> tuple[dict[str, Any], Figure]:
    """Arrange waveform, matrix, side and scale; draw the waveform."""
    rows = len(utterance.labels)
    heights = [0.32, rows * _ROW, *([0.25] if with_frames else [])]
    engine = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, wspace=0.02, hspace=0.02)
    lines = utterance.title.count("\n") + (2 if utterance.spans else 1)
    around = 0.62 + 0.12 * lines + (0.15 if with_frames else 0)  # title, labels and paddings
    figure = Figure(figsize=(COLUMN, sum(heights) + around), layout=engine)
    widths = [1.0, *([0.12] if with_mass else []), 0.03]
    grid = figure.add_gridspec(
        len(heights), len(widths), width_ratios=widths, height_ratios=heights
    )
    axes: dict[str, Any] = {"matrix": figure.add_subplot(grid[1, 0])}
    axes["wave"] = figure.add_subplot(grid[0, 0], sharex=axes["matrix"])
    axes["scale"] = figure.add_subplot(grid[1, -1])
    if with_mass:
        axes["mass"] = figure.add_subplot(grid[1, 1])
    lowest = axes["matrix"]
    if with_frames:
        lowest = axes["frames"] = figure.add_subplot(grid[2, 0], sharex=axes["matrix"])
        axes["matrix"].tick_params(labelbottom=False)
    outlined = f"\noutlined: {utterance.times}" if utterance.spans else ""
    lowest.set_xlabel(f"time in seconds{outlined}")
    _wave(axes["wave"], utterance)
    axes["wave"].set_title(utterance.title, loc="left")
    return axes, figure


def _wave(axis: Any, utterance: Utterance) -> None:
    """Draw the loudest and lowest sample of each of some hundred pieces."""
    wave = utterance.waveform
    size = max(1, len(wave) // 600)
    pieces = wave[: len(wave) // size * size].reshape(-1, size)
    seconds = (np.arange(len(pieces)) + 0.5) * size / utterance.rate
    axis.fill_between(seconds, pieces.min(1), pieces.max(1), color="0.35", linewidth=0.2)
    for start, end in sorted({(start, end) for _, start, end in utterance.spans}):
        axis.axvspan(start, end, color=TIMES, alpha=0.12, linewidth=0)
        axis.axvline(start, color=TIMES, linewidth=0.4)
        axis.axvline(end, color=TIMES, linewidth=0.4)
    axis.tick_params(labelbottom=False, bottom=False, labelleft=False, left=False)
    axis.spines[:].set_visible(False)


def _matrix(
    axis: Any, values: np.ndarray, utterance: Utterance, colours: str, limits: tuple[float, float]
) -> Any:
    """Draw frames to the right and tokens downwards, word times as outlines."""
    frames, rows = values.shape
    seconds = frames * utterance.hop
    image = axis.imshow(
        values.T,
        aspect="auto",
        interpolation="nearest",
        cmap=colours,
        vmin=limits[0],
        vmax=limits[1],
        extent=(0, seconds, rows - 0.5, -0.5),
    )
    for column, start, end in utterance.spans:
        axis.add_patch(
            Rectangle((start, column - 0.5), end - start, 1, fill=False, edgecolor=TIMES,
                      linewidth=0.7)
        )  # fmt: skip
    axis.axhline(rows - 1.5, color="black", linewidth=0.6)  # the anchor's row is no token
    axis.set_xlim(0, max(seconds, len(utterance.waveform) / utterance.rate))
    axis.set_yticks(np.arange(rows), utterance.labels)
    axis.get_yticklabels()[-1].set_fontstyle("italic")
    axis.tick_params(left=False)
    return image
