from pathlib import Path

import pytest

from espnet_otreg.report.experiments import group_experiments
from espnet_otreg.report.figures import differences_figure, rates_figure
from espnet_otreg.scoring.comparison import SetName
from espnet_otreg.scoring.results import compare


@pytest.fixture
def comparison(experiments):
    sets = [SetName("near_test", "in-domain"), SetName("far_test", "cross-domain")]
    return compare(group_experiments(experiments, None), sets, "decode_x", samples=50)


def test_points_stand_at_the_rates_of_the_comparison(comparison):
    figure = rates_figure(comparison)
    for axis, tested in zip(figure.axes, comparison.sets, strict=True):
        drawn = [line.get_xdata()[0] for line in axis.lines if line.get_marker() in "os"]
        wanted = [100 * r.interval.value for part in tested.parts.values() for r in part.results]
        assert drawn == pytest.approx(wanted)
        assert axis.get_title() == f"{tested.name} ({tested.domain})"


def test_differences_leave_the_baseline_out(comparison):
    figure = differences_figure(comparison)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["ot"]
    (point,) = {line.get_xdata()[0] for line in figure.axes[0].lines if line.get_marker() == "s"}
    difference = comparison.sets[0].parts["total"].results[1].difference
    assert point == pytest.approx(100 * difference.absolute.value)


LONG = [
    "the baseline " * 4,
    "the phase before, by the table ",
    "the phase before, by the table " * 2,
]


@pytest.mark.parametrize("names", [None, LONG])
def test_a_drawing_has_no_text_over_its_edge(experiments, names):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    sets = [SetName("near_test", "in-domain"), SetName("far_test", "cross-domain")]
    figure = rates_figure(
        compare(group_experiments(experiments, names), sets, "decode_x", samples=50)
    )
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    box = figure.get_tightbbox(canvas.get_renderer())
    width, height = figure.get_size_inches()
    assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height
    assert not Path("report_figures").exists()
