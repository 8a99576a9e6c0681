"""The page in a real browser; skipped where there is no Chromium (`make browser` installs one)."""

import json

import pytest

from espnet_otreg.scoring.score_file import save_score
from espnet_otreg.scoring.wer import score
from espnet_otreg.stages.report import main
from espnet_otreg.stages.screenshots import find_chromium, launch_chromium

pytestmark = pytest.mark.skipif(find_chromium() is None, reason="no Chromium: make browser")
pytest.importorskip("playwright")

PHONE, DESK = {"width": 390, "height": 844}, {"width": 1200, "height": 900}


@pytest.fixture(scope="module")
def chromium():
    with launch_chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def report(make_experiments, tmp_path_factory):
    """A report with audio and one picture."""
    home = tmp_path_factory.mktemp("report")
    folders = [str(home / folder) for folder in make_experiments(home)]
    gap = home / "gap"
    gap.mkdir()
    (gap / "plan.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>")
    entry = {"set": "far_test", "utterance": "far_test-0", "system": "ot", "kind": "plan"}
    index = {"pictures": [{**entry, "file": "plan.svg"}], "figures": []}
    (gap / "pictures.json").write_text(json.dumps(index))
    given = ["--samples", "50", "--nj", "1", "--data", str(home / "data"), "--gap", str(gap)]
    main([*folders, *given, "--output", str(home / "report.html")])
    return home / "report.html"


@pytest.fixture
def page(report, chromium):
    """The report open in a browser that has no network; any complaint of its fails the test."""
    opened = chromium.new_page(viewport=DESK, offline=True)
    complaints = []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", lambda request: complaints.append(request.url[:80]))
    opened.goto(report.as_uri())
    yield opened
    own = ("file:", "data:", "blob:")
    assert [text for text in complaints if not text.startswith(own)] == []
    opened.close()


def shown(page):
    return page.locator("#list article code").all_inner_texts()


def test_a_hypothesis_that_holds_markup_is_shown_as_text(page):
    assert "compared" in page.title()
    page.fill("#by-text", "far_test-0")
    assert "</script><script>" in page.inner_text("#list article")


def test_filters_combine_and_the_line_above_says_what_is_left(page):
    assert page.inner_text("#summary").startswith("12 of 12 utterances")
    page.select_option("#by-set", "1")
    page.fill("#by-text", "speaker1")
    assert shown(page) == ["near_test-1", "near_test-4"]
    rates = page.inner_text("#summary")
    assert rates == "2 of 12 utterances; error rate among them: base 50.0 %, ot 25.0 %"
    page.select_option("#by-seed", label="2")
    assert "ot 0.0 %" in page.inner_text("#summary")
    page.select_option("#by-error", "wrong")
    assert shown(page) == []


def test_filters_by_language_and_by_error_follow_the_chosen_system(page):
    page.select_option("#by-language", "es")
    page.select_option("#by-error", "better")
    assert len(shown(page)) == 6
    page.select_option("#by-system", "0")
    assert shown(page) == []


def test_worst_first_puts_the_worst_first(page):
    page.select_option("#by-system", "0")
    page.select_option("#by-order", "worst")
    assert set(shown(page)[:2]) == {"far_test-0", "near_test-0"}


def test_a_click_on_a_head_sorts_by_value_and_a_second_one_turns_it_round(page):
    table = page.locator("section#errors table")
    head = table.locator("th", has_text="rate").first
    column = [cell.inner_text() for cell in table.locator("th").all()].index("rate")

    def values():
        cells = table.locator(f"tbody td:nth-child({column + 1})").all_inner_texts()
        return [float(cell.split()[0]) for cell in cells]

    head.locator("button").click()
    assert values() == sorted(values()) and len(set(values())) > 1
    assert head.get_attribute("aria-sort") == "ascending"
    head.locator("button").click()
    assert values() == sorted(values(), reverse=True)


def test_audio_plays_when_asked_for_and_is_not_touched_before(page):
    assert page.locator("audio").count() == 0
    page.locator("button.play").first.click()
    for _ in range(100):  # the page's own policy forbids the browser to wait for a condition
        if page.evaluate("document.querySelector('audio').currentTime") > 0.05:
            break
        page.wait_for_timeout(50)
    assert page.evaluate("document.querySelector('audio').currentTime") > 0.05
    assert page.evaluate("document.querySelector('audio').error") is None
    assert page.evaluate("document.querySelector('audio').duration") == pytest.approx(0.2, abs=0.15)


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_nothing_sticks_out_at_the_side(page, size):
    page.set_viewport_size(size)
    wider = page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    assert wider == 0


def test_print_drops_what_cannot_be_used_on_paper(page):
    page.emulate_media(media="print")
    for selector in ("nav", ".filters", "button.play"):
        assert not page.locator(selector).first.is_visible()
    assert page.locator("section#results table").is_visible()
    assert page.locator("#list article").first.is_visible()


def test_pictures_appear_when_asked_for(page):
    page.select_option("#by-error", "picture")
    assert shown(page) == ["far_test-0"]
    assert page.locator("#list img").count() == 0
    page.click("button.show")
    assert page.evaluate("document.querySelector('#list img').naturalWidth") == 9


def test_languages_without_spaces_are_shown_and_found_without_them(chromium, tmp_path):
    tables = {"normaliser": "basic", "languages": {"u": "zh"}}
    save_score(
        tmp_path / "one/far/score.json",
        score({"u": "今天天气很好"}, {"u": "今天天气真好"}, **tables),
        "basic",
        {},
    )
    given = ["--external", f"one={tmp_path / 'one'}", "--audio", "none", "--samples", "50"]
    main([*given, "--output", str(tmp_path / "report.html")])
    opened = chromium.new_page(offline=True)
    opened.goto((tmp_path / "report.html").as_uri())
    assert opened.locator("#list .said").last.inner_text() == "今天天气很真好"
    opened.fill("#by-text", "天气真好")  # across the mark
    assert len(shown(opened)) == 1
    opened.close()
