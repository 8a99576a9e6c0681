"""Picture a report in a headless Chromium: its head, its utterances, and a phone's view.

With --gap, the panel of measures and the system's first plan are put beside them.
"""

import argparse
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from espnet_otreg.errors import UserError
from espnet_otreg.stages.command import run

DESK, PHONE = {"width": 1240, "height": 900}, {"width": 390, "height": 820}
_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
# root, as in containers, has no sandbox; and nothing is to be asked of a network
_FLAGS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync")
_QUIET = ("--disable-background-networking", "--disable-component-update")


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(
        prog="python -m espnet_otreg.stages.screenshots",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("report", type=Path, help="page of stages/report")
    parser.add_argument("--system", required=True, help="name of the one whose plan is shown")
    parser.add_argument("--gap", type=Path, help="output of stages/gap, for panel.png and plan.png")
    parser.add_argument("--output", type=Path, required=True, help="folder for the PNGs")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Open the page and write what it looks like."""
    args = get_parser().parse_args(cmd)
    run(lambda: _picture_all(args))


def _picture_all(args: argparse.Namespace) -> None:
    pictures = _picture(args.report, args.system, args.output)
    if args.gap is not None:
        pictures += _copy_drawn(args.gap, args.system, args.output)
    for path in pictures:
        shrink(path)
        print(path)


def shrink(path: Path) -> None:
    """Write a PNG again with at most 256 colours, a third of its size: git keeps every version."""
    from PIL import Image

    with Image.open(path) as picture:
        whole = picture.convert("RGBA")
    flat = Image.new("RGBA", whole.size, "white")
    flat.alpha_composite(whole)
    few = flat.convert("RGB").quantize(
        256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE
    )
    few.save(path, optimize=True)


def _copy_drawn(gap: Path, system: str, output: Path) -> list[Path]:
    """Take what stages/gap drew for a paper as it is."""
    from espnet_otreg.report.media import read_index

    drawn = [entry for entry in read_index(gap)["pictures"] if entry["kind"] == "plan"]
    plans = [entry["file"] for entry in drawn if entry["system"] == system]
    if not plans:
        names = ", ".join(sorted({entry["system"] for entry in drawn})) or "none"
        raise UserError(f"{gap} has no plan of '{system}'; it has plans of: {names}")
    sources = {"panel.png": gap / "panel.png", "plan.png": (gap / plans[0]).with_suffix(".png")}
    for name, source in sources.items():
        shutil.copyfile(source, output / name)
    return [output / name for name in sources]


def _picture(report: Path, system: str, output: Path) -> list[Path]:
    if not report.is_file():
        raise UserError(f"{report} does not exist: make it by python -m espnet_otreg.stages.report")
    output.mkdir(parents=True, exist_ok=True)
    with launch_chromium() as chromium:
        page = chromium.new_page(viewport=DESK)
        page.goto(report.resolve().as_uri())
        page.screenshot(path=output / "report.png")
        page.set_viewport_size({**DESK, "height": 1190})  # the plans whole
        _show_utterances(page, system)
        page.screenshot(path=output / "utterances.png")
        page = chromium.new_page(viewport=PHONE, device_scale_factor=2)
        page.goto(report.resolve().as_uri())
        _show_utterances(page, system)
        page.locator("#list article").first.scroll_into_view_if_needed()
        page.screenshot(path=output / "phone.png")
    return [output / f"{name}.png" for name in ("report", "utterances", "phone")]


def _show_utterances(page: Any, system: str) -> None:
    """Go to the utterances, one with its alignment open where there is one."""
    names = page.locator("#by-system option").all_inner_texts()
    if system not in names:
        raise UserError(f"the report has no system '{system}'; it has: {', '.join(names)}")
    page.select_option("#by-system", label=system)
    if page.locator("#by-error option[value=picture]").count():
        page.select_option("#by-error", "picture")
        page.locator("button.show").first.click()
    page.evaluate("document.getElementById('utterances').scrollIntoView()")
    page.wait_for_timeout(300)


def find_chromium() -> str | None:
    """Return the program's path, None if there is none."""
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


@contextmanager
def launch_chromium(*further: str) -> Iterator[Any]:
    """Yield a browser of Playwright's that runs the system's Chromium, with further flags."""
    path = find_chromium()
    if path is None:
        raise UserError(f"no browser: none of {', '.join(_NAMES)} is in PATH; try make browser")
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError as error:
        raise UserError(
            "pictures of pages need playwright: pip install 'espnet_otreg[browser]'"
        ) from error
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=[*_FLAGS, *_QUIET, *further]
        )
        try:
            yield browser
        finally:
            browser.close()


if __name__ == "__main__":
    main()
