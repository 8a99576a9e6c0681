import pytest

from espnet_otreg.errors import UserError
from espnet_otreg.measure.variance_picture import variance_figure


def results(*variances):
    parts = [
        {"level": level, "variance": variance, "draws": 3}
        for level, variance in zip(("speakers", "arm seeds"), variances, strict=False)
    ]
    systems = {"Base": {"components": []}, "OTReg": {"components": parts}}
    total = {"parts": {"total": {"results": systems}}, "name": "a_test", "domain": "in-domain"}
    return {"test_sets": [total]}


def test_a_bar_is_as_long_as_the_standard_error_and_split_by_shares_of_the_variance():
    figure = variance_figure(results(0.03**2, 0.04**2))
    bars = [patch for patch in figure.axes[0].patches if patch.get_width() > 0]
    assert [bar.get_width() for bar in bars] == pytest.approx([5 * 9 / 25, 5 * 16 / 25])
    assert bars[1].get_x() == pytest.approx(5 * 9 / 25)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["OTReg"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["speakers", "arm seeds"]


def test_results_of_before_there_were_components_are_refused_in_words():
    old = results()
    for result in old["test_sets"][0]["parts"]["total"]["results"].values():
        del result["components"]
    with pytest.raises(UserError, match="made before tables did"):
        variance_figure(old)
