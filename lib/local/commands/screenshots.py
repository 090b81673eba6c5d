"""The README's pictures of the console, taken in a real browser from real deliveries."""

import time
from collections.abc import Callable
from contextlib import ExitStack

from playwright.sync_api import Browser, Page

from lib.local.console.desk import Desk
from lib.local.console.server import FAULTS, Console
from lib.local.standins.browser import chromium
from lib.local.standins.modelriver import ModelRiver
from lib.local.standins.pgbouncer import pooled
from lib.local.standins.postgres import Postgres
from lib.local.standins.redelivery import SCHEDULE, Redelivery
from lib.local.standins.vercel import PATH, ROOT, Vercel

FOLDER = ROOT / ".github"
SIZE = (1280, 872)
WITHIN = 30_000
"""Milliseconds for whatever the page is waited for."""


def run() -> None:
    """Write .github/console-light.png and console-dark.png. Raises PartMissing."""
    with ExitStack() as parts:
        postgres = parts.enter_context(Postgres())
        postgres.apply_schema()
        modelriver = parts.enter_context(ModelRiver())
        database_url = pooled(postgres, parts)
        vercel = Vercel({**modelriver.settings, "DATABASE_URL": database_url})
        redelivery = parts.enter_context(Redelivery(modelriver, [vercel]))
        desk = Desk(modelriver, redelivery)
        vercel.on_message = desk.take
        parts.enter_context(vercel)
        desk.tell(
            url=f"http://127.0.0.1:3000{PATH}",
            database="Postgres in .local/postgres, through PgBouncer",
            function="running",
            started_at=time.time(),
            speed=1,
            schema="",
        )
        Console(modelriver, desk, postgres.url())
        browser = parts.enter_context(chromium())
        _fill(browser, modelriver, desk)
        for scheme in ("light", "dark"):
            _take(browser, modelriver.origin, scheme)


def _fill(browser: Browser, modelriver: ModelRiver, desk: Desk) -> None:
    """A delivery of each kind, as a developer would send them."""
    with browser.new_page() as page:
        page.goto(modelriver.origin)
        page.get_by_label("Chat", exact=True).wait_for(timeout=WITHIN)
        page.select_option("#fault", "500")
        _send(page, "Text", event="summary")
        for made in range(1, len(SCHEDULE)):
            _until(lambda made=made: _made(desk, 1) == made)  # type: ignore[misc]
            desk.redeliver(1)
        _until(lambda: _made(desk, 1) == len(SCHEDULE))
        page.select_option("#fault", "none")
        _until(lambda: modelriver.treatment == FAULTS["none"])
        _send(page, "Hostile", event="comment")
        _send(page, "Chat", event="")
        _send(page, "4 MB", event="transcript")
        page.select_option("#secret", "wrong")
        _send(page, "Structured", event="new_movie_suggestion")
        page.select_option("#secret", "right")
        page.select_option("#scheme", "timestamped")
        _send(page, "中文 🎬", event="new_movie_suggestion")


def _send(page: Page, preset: str, event: str) -> None:
    before = page.locator("#list li").count()
    page.get_by_label(preset, exact=True).check(force=True)
    page.fill("#event", event)
    page.click("#form button")
    page.locator("#list li").nth(before).wait_for(timeout=WITHIN)
    page.locator("#list li:first-child.sending").wait_for(state="detached", timeout=WITHIN)


def _take(browser: Browser, url: str, scheme: str) -> None:
    size = {"width": SIZE[0], "height": SIZE[1]}
    page = browser.new_page(viewport=size, color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(url)
    page.get_by_text("called_back_at").wait_for(timeout=WITHIN)
    path = FOLDER / f"console-{scheme}.png"
    page.screenshot(path=path)
    page.close()
    print(f"{path.relative_to(ROOT)}  {path.stat().st_size / 1000:.0f} kB")


def _made(desk: Desk, number: int) -> int:
    """How many attempts of a delivery have ended."""
    detail = desk.detail(number) or {}
    exchanges = detail.get("exchanges")
    return (
        sum(1 for each in exchanges if isinstance(each, dict) and each["answer"])
        if isinstance(exchanges, list)
        else 0
    )


def _until(condition: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + WITHIN / 1000
    while not condition():
        if time.monotonic() > give_up_at:
            raise RuntimeError("the console did not come to what was to be shown")
        time.sleep(0.05)
