"""The README's pictures of the console, taken in a real browser from real deliveries."""

import argparse
import time

from playwright.sync_api import Browser, Page

from lib.local.commands.dev import attach_console
from lib.local.console.desk import Desk
from lib.local.console.server import FAULTS
from lib.local.problem import Problem
from lib.local.project import ROOT
from lib.local.standins.browser import chromium
from lib.local.standins.modelriver import ModelRiver
from lib.local.standins.redelivery import SCHEDULE
from lib.local.standins.stack import Stack
from lib.local.standins.vercel import PATH
from lib.local.until import until

FOLDER = ROOT / ".github"
SIZE = (1280, 872)
WITHIN = 30_000
"""Milliseconds for whatever the page is waited for."""


def add_arguments(_: argparse.ArgumentParser) -> None:
    """Takes none."""


def run(_: argparse.Namespace) -> int:
    """Write .github/console-light.png and console-dark.png. Raises PartMissing."""
    with Stack() as stack:
        vercel = stack.serve()
        desk = attach_console(stack, stack.modelriver, vercel, stack.direct_url).desk
        vercel.on_message = desk.take
        desk.tell(
            url=f"http://127.0.0.1:3000{PATH}",
            database="Postgres in .local/postgres, through PgBouncer",
            function="running",
            started_at=time.time(),
            schema="",
        )
        browser = stack.enter_context(chromium())
        _fill(browser, stack.modelriver, desk)
        for scheme in ("light", "dark"):
            _take(browser, stack.modelriver.origin, scheme)
    return 0


def _fill(browser: Browser, modelriver: ModelRiver, desk: Desk) -> None:
    """A delivery of each kind, as a developer would send them."""
    with browser.new_page() as page:
        page.goto(modelriver.origin)
        page.get_by_label("Chat", exact=True).wait_for(timeout=WITHIN)
        page.select_option("#fault", "500")
        _send(page, "Text", event="summary")
        for made in range(1, len(SCHEDULE)):
            _see_attempts(desk, made)
            desk.redeliver(1)
        _see_attempts(desk, len(SCHEDULE))
        page.select_option("#fault", "none")
        if not until(lambda: modelriver.treatment == FAULTS["none"], WITHIN / 1000):
            raise Problem("the console did not set the callbacks right again")
        _send(page, "Hostile", event="comment")
        _send(page, "Anthropic", event="chat")
        page.fill("#times", "100")
        _send(page, "Structured", event="new_movie_suggestion")
        page.fill("#times", "1")
        page.click("#options-line")
        page.select_option("#envelope", "AI failed")
        _send(page, "Structured", event="new_movie_suggestion")
        page.select_option("#envelope", "documented")
        page.select_option("#secret", "wrong")
        _send(page, "Text", event="summary")
        page.select_option("#secret", "right")
        page.select_option("#scheme", "timestamped")
        _send(page, "Structured", event="new_movie_suggestion")


def _send(page: Page, preset: str, event: str) -> None:
    page.get_by_label(preset, exact=True).check(force=True)
    page.fill("#event", event)
    page.click("#form button.main")
    page.get_by_text("Sent as deliver").wait_for(timeout=WITHIN)
    page.locator("#list .sending").first.wait_for(state="detached", timeout=WITHIN)
    page.locator("#said").evaluate("node => { node.textContent = ''; }")


def _take(browser: Browser, url: str, scheme: str) -> None:
    size = {"width": SIZE[0], "height": SIZE[1]}
    page = browser.new_page(viewport=size, color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(url)
    page.get_by_text("called_back_at").wait_for(timeout=WITHIN)
    path = FOLDER / f"console-{scheme}.png"
    page.screenshot(path=path)
    page.close()
    print(f"{path.relative_to(ROOT)}  {path.stat().st_size / 1000:.0f} kB")


def _see_attempts(desk: Desk, count: int) -> None:
    """Wait until so many attempts of the first delivery have ended."""

    def ended() -> int:
        exchanges = (desk.detail(1) or {}).get("exchanges")
        each = exchanges if isinstance(exchanges, list) else []
        return sum(1 for one in each if isinstance(one, dict) and one["answer"])

    if not until(lambda: ended() == count, WITHIN / 1000):
        raise Problem(f"of the first delivery not {count} attempts ended, but {ended()}")
