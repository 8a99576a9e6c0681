"""Pictures: what they show is what was given, nothing overlaps, and equal ones are equal files."""

import sys
from itertools import combinations

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from espnet_otreg.errors import UserError
from espnet_otreg.measure.curves import COLOURS, DIAGNOSTICS, panel_figure, training_figure
from espnet_otreg.measure.gap_measures import MEASURES
from espnet_otreg.measure.plots import Utterance, distance_figure, frame_shares, plan_figure, save

LABELS = ["▁the", "▁green", "▁box", "es", "silence"]
SPANS = [(0, 0.1, 0.2), (1, 0.2, 0.5), (2, 0.7, 0.9), (3, 0.7, 0.9)]
UTTERANCE = Utterance(
    np.sin(np.arange(16000) / 9).astype(np.float32), 16000, 0.05, LABELS, SPANS,
    "true word times", "Base+OTReg\ncovost2-en-test-common_voice_en_19000000",
)  # fmt: skip


def a_plan(uneven=False):
    plan = np.random.default_rng(0).random((20, 5)) ** 4
    plan /= plan.sum(1, keepdims=True) * 20
    return plan * np.linspace(0.2, 1.8, 20)[:, None] if uneven else plan


def some_values(sets=("covost2_test", "fleurs_test"), seeds=3):
    rng = np.random.default_rng(1)
    return {
        m.name: {t: {s: list(rng.random(seeds)) for s in ("Base", "Base+OTReg")} for t in sets}
        for m in MEASURES
    }


def some_curves():
    rng = np.random.default_rng(2)
    return {
        s.name: {n: [([1, 2, 3], list(rng.random(3))) for _ in range(2)] for n in ("Base", "OTReg")}
        for s in DIAGNOSTICS
    }


FIGURES = {
    "plan": lambda: plan_figure(a_plan(), UTTERANCE),
    "uneven plan": lambda: plan_figure(a_plan(uneven=True), UTTERANCE),
    "distance": lambda: distance_figure(1 - a_plan(), UTTERANCE),
    "panel": lambda: panel_figure(MEASURES, some_values(), {"cka": {"covost2_test": 0.3}}),
    "panel of four sets": lambda: panel_figure(
        MEASURES, some_values(("covost2_test", "fleurs_test", "mls_test", "librispeech_test_other"))
    ),
    "training": lambda: training_figure(some_curves()),
}


def texts_of(figure, monkeypatch):
    """Every text that is drawn, the box that it fills in pixels, and whether it is slanted."""
    canvas, found = FigureCanvasAgg(figure), []
    canvas.draw()  # arranges

    def draw(text, renderer):
        if text.get_visible() and text.get_text():
            slanted = text.get_rotation() % 90 > 0
            found.append((text.get_text(), text.get_window_extent(renderer), slanted))

    monkeypatch.setattr(matplotlib.text.Text, "draw", draw)
    canvas.draw()
    return found, figure.bbox


@pytest.mark.parametrize("name", FIGURES)
def test_no_text_is_cut_off_and_none_lies_on_another(name, monkeypatch):
    texts, page = texts_of(FIGURES[name](), monkeypatch)
    assert len(texts) > 10
    for text, box, _ in texts:
        inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= page.x1 and box.y1 <= page.y1
        assert inside, f"{text!r} is cut off"
    upright = [(text, box) for text, box, slanted in texts if not slanted]
    for (one, a), (other, b) in combinations(upright, 2):
        width = min(a.x1, b.x1) - max(a.x0, b.x0)
        height = min(a.y1, b.y1) - max(a.y0, b.y0)
        assert min(width, height) < 2, f"{one!r} lies on {other!r}"


@pytest.mark.parametrize("name", ["uneven plan", "panel"])
def test_equal_figures_give_equal_files_without_dates(name, tmp_path):
    for copy in "ab":
        made = save(FIGURES[name](), tmp_path / copy / "set.v1.svg")
        assert [path.name for path in made] == ["set.v1.svg", "set.v1.png"]
    for suffix in ("svg", "png"):
        first, second = ((tmp_path / c / f"set.v1.{suffix}").read_bytes() for c in "ab")
        assert first == second
    assert b"<dc:date>" not in (tmp_path / "a" / "set.v1.svg").read_bytes()


def test_drawing_leaves_the_callers_settings_alone():
    before = dict(matplotlib.rcParams)
    FIGURES["plan"]()
    assert dict(matplotlib.rcParams) == before
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        assert pyplot.get_fignums() == []


def matrix_axis(figure):
    return next(axis for axis in figure.axes if axis.images)


def test_a_plan_shows_the_share_of_each_frame_over_time_and_tokens():
    plan = a_plan(uneven=True)
    axis = matrix_axis(plan_figure(plan, UTTERANCE, highest=0.9))
    (image,) = axis.images
    np.testing.assert_allclose(image.get_array(), frame_shares(plan).T)
    np.testing.assert_allclose(frame_shares(plan).sum(1), 1)
    assert image.get_clim() == (0, 0.9)
    assert image.get_extent() == [0, 20 * 0.05, 4.5, -0.5]  # seconds; the first token on top
    assert [label.get_text() for label in axis.get_yticklabels()] == LABELS
    assert axis.get_yticklabels()[-1].get_fontstyle() == "italic"  # the anchor is no token


def test_word_times_are_outlined_where_they_are():
    axis = matrix_axis(distance_figure(1 - a_plan(), UTTERANCE, limits=(0.2, 1.4)))
    assert axis.images[0].get_clim() == (0.2, 1.4)
    found = [(p.get_y() + 0.5, p.get_x(), p.get_x() + p.get_width()) for p in axis.patches]
    np.testing.assert_allclose(found, SPANS)
    bare = matrix_axis(plan_figure(a_plan(), UTTERANCE._replace(spans=[])))
    assert not bare.patches and "outlined" not in bare.get_xlabel()


def test_a_panel_has_a_point_per_seed_and_says_which_way_is_better():
    values = some_values(("covost2_test",))
    values["cka"]["covost2_test"]["Base"][1] = float("nan")
    figure = panel_figure(MEASURES, values)
    for axis, measure in zip(figure.axes, MEASURES, strict=False):
        assert f"{measure.direction} is better" in axis.get_title()
        drawn = [c.get_offsets()[:, 1] for c in axis.collections if len(c.get_offsets()) > 1]
        for points, given in zip(drawn, values[measure.name]["covost2_test"].values(), strict=True):
            np.testing.assert_allclose(points, [v for v in given if v == v])


def test_a_system_keeps_the_colour_that_it_has_in_other_figures():
    curves = {"ot_cost": {"OTReg": [([1, 2], [0.9, 0.8])]}}
    (axis,) = training_figure(curves, everybody=["stock", "OTReg"]).axes
    assert {line.get_color() for line in axis.lines} == {COLOURS[1]}


def test_a_training_has_a_line_per_seed_and_their_mean():
    curves = {"ot_cost": {"Base": [([1, 2], [0.8, 0.6]), ([1, 2, 3], [0.6, 0.2, 0.1])]}}
    (axis,) = training_figure(curves).axes
    drawn = [line.get_ydata().tolist() for line in axis.lines]
    assert drawn[:2] == [[0.8, 0.6], [0.6, 0.2, 0.1]]
    np.testing.assert_allclose(drawn[2], [0.7, 0.4, 0.1])


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(UserError, match="one label per token"):
        plan_figure(a_plan()[:, :3], UTTERANCE)
    with pytest.raises(UserError, match="no training log"):
        training_figure({})
    with pytest.raises(UserError, match="at least one measure"):
        panel_figure([], {})
