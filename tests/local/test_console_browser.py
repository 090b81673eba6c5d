"""The console in a real browser, as a developer uses it."""

import json
import os
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, Request, expect

from lib.local.console.server import FAULTS
from lib.local.standins.browser import chromium, chromium_binary
from lib.local.standins.postgres import Postgres
from lib.local.standins.process import PartMissing, free_port
from tests.support import ConsoleStack, make_dev, missing, open_console

WITHIN = 30_000
"""Milliseconds for whatever a page is waited for: a busy machine is no failure."""

expect.set_options(timeout=WITHIN)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    try:
        chromium_binary()
    except PartMissing as reason:
        missing(reason)
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def console(postgres: Postgres) -> Iterator[ConsoleStack]:
    with open_console(postgres) as opened:
        yield opened


class Watched:
    """A page of the console, and all that should not happen on it."""

    def __init__(self, browser: Browser, console: ConsoleStack, width: int = 1280) -> None:
        context = browser.new_context(viewport={"width": width, "height": 860})
        self.page = context.new_page()
        self.page.set_default_timeout(WITHIN)
        self.troubles: list[str] = []
        self._host = urlsplit(console.url).netloc
        self.page.on("console", lambda message: self._note(message.type, message.text))
        self.page.on("pageerror", lambda error: self._note("error", str(error)))
        self.page.on("dialog", lambda dialog: self._note("error", f"dialog: {dialog.message}"))
        self.page.on("request", self._see)
        self.page.goto(console.url)
        expect(self.page.get_by_label("Structured", exact=True)).to_be_checked()
        expect(self.page.get_by_text("running since")).to_be_visible()  # the list is there too

    def _note(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"}:
            self.troubles.append(text)

    def _see(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme != "data" and parts.netloc != self._host:
            self.troubles.append(f"a request to {request.url}")


@pytest.fixture
def watched(browser: Browser, console: ConsoleStack) -> Iterator[Watched]:
    opened = Watched(browser, console)
    yield opened
    opened.page.context.close()
    assert opened.troubles == []


@pytest.fixture
def page(watched: Watched) -> Page:
    return watched.page


@pytest.fixture(autouse=True)
def without_faults(console: ConsoleStack) -> None:
    console.modelriver.treatment = FAULTS["none"]
    console.desk.tell(fault="none")


def listed(page: Page) -> Locator:
    return page.get_by_role("listbox", name="Deliveries").get_by_role("option")


def newest(page: Page) -> Locator:
    return listed(page).first


def send(page: Page, preset: str, event: str) -> None:
    page.get_by_label(preset, exact=True).check(force=True)
    page.get_by_label("Event").fill(event)
    page.get_by_role("button", name="Send").click()
    expect(newest(page)).to_contain_text(event)


def row_cell(page: Page, column: str) -> Locator:
    return page.locator(f'tr[data-column="{column}"] td')


def has_no_sideways_scroll(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))


def test_a_sent_delivery_appears_by_itself_with_the_row_that_postgres_has(
    page: Page, console: ConsoleStack
) -> None:
    page.evaluate("window.notReloaded = true")
    send(page, "Structured", "appears")
    expect(newest(page)).to_contain_text("delivered")
    expect(newest(page)).to_contain_text("callback in time")
    expect(page.get_by_role("heading", name="appears")).to_be_visible()
    expect(row_cell(page, "called_back_at")).to_contain_text("+00:00")
    query = "SELECT id::text FROM ai_content WHERE event_name = 'appears'"
    (row,) = console.connection.execute(query).fetchall()
    expect(row_cell(page, "id")).to_have_text(row["id"])
    expect(page.get_by_text(f"neon_{row['id']}")).to_be_visible()
    assert page.evaluate("window.notReloaded")


def test_a_second_page_sees_what_the_first_one_sends(
    page: Page, browser: Browser, console: ConsoleStack
) -> None:
    other = Watched(browser, console)
    send(page, "Chat", "seen elsewhere")
    expect(newest(other.page)).to_contain_text("seen elsewhere")
    other.page.context.close()
    assert other.troubles == []


def test_a_wrong_secret_shows_401(page: Page) -> None:
    page.get_by_label("Secret").select_option("wrong")
    send(page, "Structured", "forged")
    expect(page.get_by_text("✕ 401 after")).to_be_visible()
    expect(page.get_by_text("Signed with a wrong secret")).to_be_visible()
    expect(page.get_by_text("There is none for this channel and event.")).to_be_visible()
    expect(newest(page)).to_contain_text("no callback yet")


def test_a_failing_callback_shows_the_countdown_and_then_recovery(page: Page) -> None:
    page.get_by_label("Callbacks are answered").select_option("500")
    send(page, "Structured", "recovers")
    expect(newest(page)).to_contain_text(re.compile(r"attempt 2 in 0:0\d"))
    expect(page.get_by_text("✕ 503 after")).to_be_visible()
    page.get_by_label("Callbacks are answered").select_option("none")
    expect(newest(page)).to_contain_text("delivered · 2 of 8 · callback in time")
    expect(page.get_by_text("✓ 200 after")).to_be_visible()
    page.get_by_role("tab", name="1 ✕ 503").click()
    expect(page.get_by_text("✕ 503 after")).to_be_visible()


def test_what_others_send_is_listed_too(page: Page, console: ConsoleStack) -> None:
    river = console.modelriver
    payload = river.event({"title": "<i>sent by make send</i>"}, event="smoke_test")
    river.deliver(console.vercel.url, river.sign(payload))
    expect(newest(page)).to_contain_text("delivered · elsewhere · callback in time")
    newest(page).click()
    expect(row_cell(page, "title")).to_have_text("<i>sent by make send</i>")
    expect(page.get_by_role("button", name="Redeliver")).to_be_disabled()


def test_a_dead_letter_is_replayed(browser: Browser, postgres: Postgres) -> None:
    with open_console(postgres, speed=20_000) as fast:
        watched = Watched(browser, fast)
        page = watched.page
        page.get_by_label("Callbacks are answered").select_option("401")
        send(page, "Structured", "dies")
        expect(newest(page)).to_contain_text("dead letter · 8 of 8")
        page.get_by_label("Callbacks are answered").select_option("none")
        page.get_by_role("button", name="Replay 1 dead letter").click()
        expect(newest(page)).to_contain_text("delivered · 9 of 8")
        expect(page.get_by_role("button", name="Replay dead letters")).to_be_disabled()
        watched.page.context.close()
        assert watched.troubles == []


@pytest.mark.parametrize("width", [1280, 390])
def test_hostile_content_runs_nothing_and_moves_nothing(
    browser: Browser, console: ConsoleStack, width: int
) -> None:
    watched = Watched(browser, console, width)
    page = watched.page
    event = "<img src=x onerror=alert(3)>" + "\u202e" + "W" * 300
    hostile = {
        "title": "<script>alert(1)</script>",
        "description": "</textarea></pre><svg onload=alert(2)> \0 \u202egnp.exe " + "x" * 3000,
        "</script><script>alert(4)</script>": "javascript:alert(5)",
    }
    page.get_by_label("AI result, as JSON").fill(json.dumps(hostile))
    page.get_by_label("Event").fill(event)
    page.get_by_role("button", name="Send").click()
    expect(newest(page)).to_contain_text("<img src=x onerror=alert(3)>⟨U+202E⟩")
    if width < 500:
        newest(page).click()
    expect(row_cell(page, "title")).to_have_text("<script>alert(1)</script>")
    expect(row_cell(page, "body")).to_contain_text("⟨U+202E⟩gnp.exe")
    assert page.locator("#detail script, #detail img, #list img").count() == 0
    assert has_no_sideways_scroll(page)
    page.context.close()
    assert watched.troubles == []


def test_malformed_json_is_marked_and_not_sent(watched: Watched) -> None:
    page = watched.page
    before = listed(page).count()
    box = page.get_by_label("AI result, as JSON")
    box.fill('{"emoji": "🎬",\n  oops}')
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_text("Line 2, column 3")).to_be_visible()
    expect(box).to_have_attribute("aria-invalid", "true")
    expect(box).to_be_focused()
    assert box.evaluate("box => box.value.slice(box.selectionStart)") == "oops}"
    assert listed(page).count() == before
    box.fill('{"title": "mended"}')
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_text("Sent as delivery")).to_be_visible()
    expect(box).to_have_attribute("aria-invalid", "false")
    (refused,) = watched.troubles  # Chromium's own word on the 400
    assert "400" in refused
    watched.troubles.clear()


def test_large_and_chinese(page: Page) -> None:
    send(page, "4 MB", "large")
    expect(page.get_by_text("The beginning of 4.0 MB").first).to_be_visible()
    send(page, "中文 🎬", "chinese")
    expect(row_cell(page, "title")).to_have_text("盗梦空间 🎬")


def test_the_keyboard_alone_can_do_it_all(page: Page) -> None:
    keys = page.keyboard
    send(page, "Structured", "an earlier one")

    def tab_to(target: Locator, key: str = "Tab") -> None:
        for _ in range(40):
            if target.evaluate("node => node === document.activeElement"):
                return
            keys.press(key)
        pytest.fail(f"{key} does not come to {target}")

    tab_to(page.get_by_label("Callbacks are answered"))
    keys.press("ArrowDown")
    expect(page.get_by_label("Callbacks are answered")).to_have_value("500")
    tab_to(page.get_by_label("Structured", exact=True))
    keys.press("ArrowRight")
    expect(page.get_by_label("Chat", exact=True)).to_be_checked()
    tab_to(page.get_by_label("AI result, as JSON"))
    keys.press("Control+a")
    keys.type('"typed"')
    tab_to(page.get_by_label("Event"))
    keys.press("Control+a")
    keys.type("by keyboard")
    tab_to(page.get_by_role("button", name="Send"))
    keys.press("Enter")
    expect(newest(page)).to_contain_text("by keyboard")
    expect(newest(page)).to_contain_text("attempt 2 in")

    listbox = page.get_by_role("listbox", name="Deliveries")
    tab_to(listbox)
    keys.press("ArrowDown")
    expect(listed(page).nth(1)).to_have_attribute("aria-selected", "true")
    keys.press("Home")
    expect(newest(page)).to_have_attribute("aria-selected", "true")
    keys.press("Enter")
    expect(page.get_by_role("heading", name="by keyboard")).to_be_focused()

    tab_to(page.get_by_label("Callbacks are answered"), "Shift+Tab")
    keys.press("ArrowUp")
    expect(page.get_by_label("Callbacks are answered")).to_have_value("none")
    # "Deliver now", or "Redeliver" where the second attempt has come by itself meanwhile
    tab_to(page.get_by_role("button", name=re.compile("Deliver now|Redeliver")))
    keys.press("Enter")
    expect(page.get_by_role("tab", name="✓ 200", selected=True)).to_be_visible()
    tab_to(page.get_by_role("tab", selected=True))
    keys.press("ArrowLeft")
    expect(page.get_by_role("tab", selected=True)).to_be_focused()
    keys.press("Escape")
    expect(listbox).to_be_focused()


def test_a_long_list_scrolls_by_itself(page: Page) -> None:
    page.get_by_label("Times", exact=True).fill("20")
    send(page, "Structured", "many")
    expect(listed(page).nth(19)).to_be_attached()
    expect(newest(page)).to_contain_text("delivered")
    box = page.get_by_role("listbox", name="Deliveries")
    assert box.evaluate("box => box.scrollHeight > box.clientHeight + 100")
    box.press("End")
    assert box.evaluate("box => box.scrollTop > 100")
    end = "node => node.getBoundingClientRect().bottom"
    footer = page.locator("#footer").evaluate("node => node.getBoundingClientRect().top")
    assert listed(page).last.evaluate(end) <= footer + 1


def test_on_a_phone_the_detail_takes_the_lists_place(
    browser: Browser, console: ConsoleStack
) -> None:
    watched = Watched(browser, console, 390)
    page = watched.page
    send(page, "Structured", "on a phone")
    assert has_no_sideways_scroll(page)
    newest(page).click()
    expect(page.get_by_role("heading", name="on a phone")).to_be_visible()
    expect(newest(page)).to_be_hidden()
    expect(row_cell(page, "called_back_at")).to_contain_text("+00:00")
    assert has_no_sideways_scroll(page)
    page.go_back()
    expect(newest(page)).to_be_visible()
    newest(page).click()
    page.get_by_role("button", name="← Deliveries").click()
    expect(newest(page)).to_be_visible()
    page.context.close()
    assert watched.troubles == []


def test_make_dev_that_has_ended_is_missed_and_found_again(
    browser: Browser, postgres: Postgres, database: str
) -> None:
    port, modelriver_port = free_port(), free_port()
    options = ["--port", str(port), "--modelriver-port", str(modelriver_port)]

    environment = {**os.environ, "DATABASE_URL": postgres.url(database)}
    page = browser.new_page()
    with make_dev(*options, environment=environment):
        page.goto(f"http://127.0.0.1:{modelriver_port}")
        send(page, "Structured", "before")
    expect(page.get_by_text("make dev has ended")).to_be_visible()
    with make_dev(*options, environment=environment):
        expect(page.get_by_text("make dev has ended")).to_be_hidden()
        expect(listed(page)).to_have_count(0)
        send(page, "Structured", "after")
    page.close()


def test_what_is_wrong_with_function_and_schema_is_shown(page: Page, console: ConsoleStack) -> None:
    console.desk.tell(function="down", reason="SyntaxError: <b>", schema="the table lacks year")
    expect(page.get_by_text("SyntaxError: <b>")).to_be_visible()
    expect(page.get_by_text("the table lacks year")).to_be_visible()
    console.desk.tell(function="running", reason="", schema="")
    expect(page.get_by_text("the table lacks year")).to_be_hidden()
