"""A headless Chromium of the system, to test a page and to picture it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from espnet_otreg.errors import UserError

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
# root, as in containers, has no sandbox; and nothing is to be asked of a network
_FLAGS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync")
_QUIET = ("--disable-background-networking", "--disable-component-update")


def find_chromium() -> str | None:
    """Return the program's path, None if there is none."""
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


@contextmanager
def launch_chromium() -> Iterator[Any]:
    """Yield a browser of Playwright's that runs the system's Chromium."""
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
        browser = playwright.chromium.launch(executable_path=path, args=[*_FLAGS, *_QUIET])
        try:
            yield browser
        finally:
            browser.close()
