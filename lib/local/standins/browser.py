"""A real browser without a screen: Chromium, driven by Playwright."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from lib.local.standins.process import PartMissing

_OPTIONS = ("--disable-gpu", "--disable-quic", "--disable-sync")


def chromium_binary() -> str:
    """The system's Chromium, or else Playwright's own. Raises PartMissing."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    if not Path(own).exists():
        raise PartMissing("No Chromium: make parts")
    return own


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser for as long as the `with` block. Raises PartMissing."""
    binary = chromium_binary()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=binary, args=_OPTIONS)
        try:
            yield browser
        finally:
            browser.close()
