"""The console in a real browser, as a developer uses it."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Locator,
    Page,
    Request,
    Route,
    ViewportSize,
    expect,
)

from lib.jsontext import Json
from lib.local.console.server import FAULTS
from lib.local.standins.browser import chromium, chromium_binary
from lib.local.standins.postgres import Postgres
from lib.local.standins.process import PartMissing, free_port
from tests.support import ConsoleStack, make_dev, missing, open_console

WITHIN = 30_000
"""Milliseconds for whatever a page is waited for: a busy machine is no failure."""

expect.set_options(timeout=WITHIN)

NEXT = re.compile(r"attempt \d in \d+:\d\d")
"""What is said of a delivery that waits: on a busy machine, not for the second attempt any more."""


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

    def __init__(
        self,
        browser: Browser,
        console: ConsoleStack,
        width: int = 1280,
        scheme: Literal["light", "dark"] = "light",
    ) -> None:
        size: ViewportSize = {"width": width, "height": 800}
        context = browser.new_context(viewport=size, color_scheme=scheme)
        self.page = context.new_page()
        self.page.set_default_timeout(WITHIN)
        self.troubles: list[str] = []
        self.may_be_refused = False
        """Whether the page asks for what it is refused: Chromium notes that as an error."""
        self._host = urlsplit(console.url).netloc
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self._note("error", str(error)))
        self.page.on("dialog", lambda dialog: self._note("error", f"dialog: {dialog.message}"))
        self.page.on("request", self._see)
        self.page.goto(console.url)
        expect(self.page.get_by_label("Structured", exact=True)).to_be_checked()
        expect(self.page.get_by_text("running since")).to_be_visible()  # the list is there too

    def _hear(self, message: ConsoleMessage) -> None:
        # A delivery may be put away while the page asks for it.
        is_gone = "404" in message.text and re.search(r"/deliveries/\d+$", message.location["url"])
        if not is_gone:
            self._note(message.type, message.text)

    def _note(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"} and not (self.may_be_refused and "400" in text):
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
    return page.get_by_role("tree", name="Deliveries").get_by_role("treeitem")


def listing(console: ConsoleStack) -> list[Json]:
    """All deliveries that the console keeps."""
    deliveries = console.desk.updates(0, 0)[1]["deliveries"]
    assert isinstance(deliveries, list)
    return deliveries


def newest(page: Page) -> Locator:
    return listed(page).first


def send(page: Page, preset: str, event: str) -> None:
    page.get_by_label(preset, exact=True).check(force=True)
    page.get_by_label("Event", exact=True).fill(event)
    page.get_by_role("button", name="Send", exact=True).click()
    expect(newest(page)).to_contain_text(event)


def more_options(page: Page) -> None:
    """Unfold what is folded away: envelope, signature, secret, channel, URL."""
    page.locator("#options-line").click()


def row_cell(page: Page, column: str) -> Locator:
    return page.locator(f'tr[data-column="{column}"] td')


def diagnosis(page: Page) -> Locator:
    return page.locator("#diagnosis")


def unfold(page: Page) -> None:
    """On a phone the form is folded away at first."""
    if not page.locator("#compose").evaluate("node => node.open"):
        page.get_by_text("Send an AI result").first.click()


def has_no_sideways_scroll(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))


def test_a_sent_delivery_appears_by_itself_with_the_row_that_postgres_has(
    page: Page, console: ConsoleStack
) -> None:
    page.evaluate("window.notReloaded = true")
    send(page, "Structured", "appears")
    expect(newest(page)).to_contain_text("shown to the person · delivered")
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
    more_options(page)
    page.get_by_label("Secret").select_option("wrong")
    send(page, "Structured", "forged")
    expect(diagnosis(page)).to_have_text(
        "Invalid signature: signed with another secret than this function has."
    )
    expect(page.get_by_text("✕ 401 after")).to_be_visible()
    expect(page.get_by_text("Signed with a wrong secret")).to_be_visible()
    expect(page.get_by_text("There is none for this channel and event.")).to_be_visible()
    expect(newest(page)).to_contain_text(NEXT)


def test_a_failing_callback_shows_the_countdown_and_then_recovery(page: Page) -> None:
    page.get_by_label("Callbacks are answered").select_option("500")
    send(page, "Structured", "recovers")
    expect(newest(page)).to_contain_text(NEXT)
    expect(page.get_by_text("✕ 503 after")).to_be_visible()
    page.get_by_label("Callbacks are answered").select_option("none")
    # The third comes half a minute later, where the second was quicker than we.
    delivered = re.compile(r"shown to the person · delivered at attempt [23]")
    expect(newest(page)).to_contain_text(delivered, timeout=2 * WITHIN)
    expect(page.get_by_text("✓ 200 after")).to_be_visible()
    page.get_by_role("tab", name="1 ✕ 503").click()
    expect(page.get_by_text("✕ 503 after")).to_be_visible()


def test_what_others_send_is_listed_too(page: Page, console: ConsoleStack) -> None:
    river = console.modelriver
    payload = river.event({"title": "<i>sent by make send</i>"}, event="smoke_test")
    river.deliver(console.forward.url, river.sign(payload))
    expect(newest(page)).to_contain_text("<i>sent by make send</i>")
    expect(newest(page)).to_contain_text("shown to the person · delivered · from elsewhere")
    newest(page).click()
    expect(row_cell(page, "title")).to_have_text("<i>sent by make send</i>")
    page.get_by_role("button", name="Redeliver").click()
    expect(diagnosis(page)).to_have_text("Delivered again: row and callback were there already.")
    expect(newest(page)).to_contain_text("delivered at attempt 2")


def test_a_dead_letter_is_replayed(browser: Browser, postgres: Postgres) -> None:
    with open_console(postgres, speed=20_000) as fast:
        watched = Watched(browser, fast)
        page = watched.page
        page.get_by_label("Callbacks are answered").select_option("401")
        send(page, "Structured", "dies")
        expect(newest(page)).to_contain_text("never will be told · dead letter after 8 attempts")
        page.get_by_label("Callbacks are answered").select_option("none")
        page.get_by_role("button", name="Replay 1 dead letter").click()
        expect(newest(page)).to_contain_text("came too late · delivered at attempt 9")
        expect(page.get_by_role("button", name="dead letter")).to_be_hidden()
        watched.page.context.close()
        assert watched.troubles == []


@pytest.mark.parametrize("width", [1280, 390])
def test_hostile_content_runs_nothing_and_moves_nothing(
    browser: Browser, console: ConsoleStack, width: int
) -> None:
    watched = Watched(browser, console, width)
    page = watched.page
    unfold(page)
    event = "<img src=x onerror=alert(3)>" + "\u202e" + "W" * 300
    hostile = {
        "title": "<script>alert(1)</script>",
        "description": "</textarea></pre><svg onload=alert(2)> \0 \u202egnp.exe " + "x" * 3000,
        "</script><script>alert(4)</script>": "javascript:alert(5)",
    }
    page.get_by_label("AI result, as JSON").fill(json.dumps(hostile))
    page.get_by_label("Event", exact=True).fill(event)
    page.get_by_role("button", name="Send", exact=True).click()
    expect(newest(page)).to_contain_text("<script>alert(1)</script>")
    if width < 500:
        newest(page).click()
    expect(page.locator("#detail h2")).to_contain_text("<img src=x onerror=alert(3)>⟨U+202E⟩")
    expect(row_cell(page, "title")).to_have_text("<script>alert(1)</script>")
    expect(row_cell(page, "body")).to_contain_text("⟨U+202E⟩gnp.exe")
    assert page.locator("#detail script, #detail img, #list img").count() == 0
    assert has_no_sideways_scroll(page)
    page.context.close()
    assert watched.troubles == []


def test_malformed_json_is_marked_and_not_sent(watched: Watched) -> None:
    page = watched.page
    watched.may_be_refused = True
    before = listed(page).count()
    box = page.get_by_label("AI result, as JSON")
    box.fill('{"emoji": "🎬",\n  oops}')
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.get_by_text("Line 2, column 3")).to_be_visible()
    expect(box).to_have_attribute("aria-invalid", "true")
    expect(box).to_be_focused()
    assert box.evaluate("box => box.value.slice(box.selectionStart)") == "oops}"
    assert listed(page).count() == before
    box.fill('{"title": "mended"}')
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.get_by_text("Sent as delivery")).to_be_visible()
    expect(box).to_have_attribute("aria-invalid", "false")


def test_large_and_chinese(page: Page) -> None:
    send(page, "4 MB", "large")
    expect(page.get_by_text("The beginning of 4.0 MB").first).to_be_visible()
    send(page, "Chinese, emoji", "chinese")
    expect(row_cell(page, "title")).to_have_text("盗梦空间 🎬")


def test_the_keyboard_alone_can_do_it_all(page: Page) -> None:
    keys = page.keyboard
    send(page, "Structured", "an earlier one")

    def tab_to(target: Locator, key: str = "Tab") -> None:
        for _ in range(120):
            if target.evaluate("node => node === document.activeElement"):
                return
            keys.press(key)
        pytest.fail(f"{key} does not come to {target}")

    tab_to(page.get_by_label("Callbacks are answered"))
    keys.press("ArrowDown")
    expect(page.get_by_label("Callbacks are answered")).to_have_value("500")
    tab_to(page.get_by_label("Structured", exact=True))
    keys.press("ArrowRight")
    expect(page.get_by_label("Text", exact=True)).to_be_checked()
    tab_to(page.get_by_label("AI result, as JSON"))
    keys.press("Control+a")
    keys.type('"typed"')
    tab_to(page.get_by_label("Event", exact=True))
    keys.press("Control+a")
    keys.type("by keyboard")
    tab_to(page.get_by_role("button", name="Send", exact=True))
    keys.press("Enter")
    expect(newest(page)).to_contain_text("by keyboard")
    expect(newest(page)).to_contain_text(NEXT)

    listbox = page.get_by_role("tree", name="Deliveries")
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
    expect(listed(page).nth(20)).to_be_attached()
    expect(newest(page)).to_contain_text("20 sent")
    expect(newest(page)).to_contain_text("20 \u00d7 200, slowest")
    expect(listed(page).nth(1)).to_have_attribute("aria-selected", "true")
    box = page.get_by_role("tree", name="Deliveries")
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
    unfold(page)
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
    browser: Browser, postgres: Postgres, database: str, console_port: int
) -> None:
    port, modelriver_port = free_port(), console_port
    options = ["--port", str(port), "--modelriver-port", str(modelriver_port)]

    environment = {**os.environ, "DATABASE_URL": postgres.url(database)}
    page = browser.new_page()
    with make_dev(*options, environment=environment):
        page.goto(f"http://127.0.0.1:{modelriver_port}")
        send(page, "Structured", "before")
        expect(row_cell(page, "called_back_at")).to_contain_text("+00:00")  # all is done
    expect(page.get_by_text("make dev has ended")).to_be_visible()
    with make_dev(*options, environment=environment):
        expect(page.get_by_text("make dev has ended")).to_be_hidden()
        expect(listed(page)).to_have_count(1)
        expect(newest(page)).to_contain_text("before")
        newest(page).click()
        expect(row_cell(page, "called_back_at")).to_contain_text("+00:00")
        send(page, "Structured", "after")
    page.close()


def test_a_make_dev_that_answers_404_while_it_starts_is_asked_again(
    browser: Browser, console: ConsoleStack
) -> None:
    answered: list[int] = []

    def too_early(route: Route) -> None:
        answered.append(404)
        route.fulfill(status=404)

    page = browser.new_page()
    page.route("**/events", too_early, times=1)
    page.goto(console.url)
    expect(page.locator("footer")).to_contain_text("Function")
    assert answered == [404]
    page.close()


def test_what_is_wrong_with_function_and_schema_is_shown(page: Page, console: ConsoleStack) -> None:
    console.desk.tell(function="down", reason="SyntaxError: <b>", schema="the table lacks year")
    expect(page.get_by_text("SyntaxError: <b>")).to_be_visible()
    expect(page.get_by_text("the table lacks year")).to_be_hidden()  # one thing after the other
    console.desk.tell(function="running", reason="")
    expect(page.get_by_text("the table lacks year")).to_be_visible()
    console.desk.tell(schema="")
    expect(page.get_by_text("the table lacks year")).to_be_hidden()


def test_a_batch_is_one_line_and_its_failures_are_found(page: Page, console: ConsoleStack) -> None:
    """One of a hundred: why it failed, mended, and sent again."""
    send(page, "Structured", "an earlier one")
    expect(newest(page)).to_contain_text("delivered")
    page.get_by_role("button", name="Clear all").click()
    expect(listed(page)).to_have_count(0)
    page.get_by_label("Times", exact=True).fill("99")
    send(page, "Structured", "batch")
    expect(newest(page)).to_contain_text("99 \u00d7 200, slowest")
    page.get_by_label("Times", exact=True).fill("1")
    more_options(page)
    page.get_by_label("Secret").select_option("wrong")
    send(page, "Text", "batch")

    page.get_by_label("In which state").select_option("waiting")
    expect(page.get_by_label("How many")).to_have_text("1 of 100")
    expect(listed(page)).to_have_count(1)
    newest(page).click()
    expect(diagnosis(page)).to_contain_text("signed with another secret")
    page.get_by_role("button", name="Edit and resend").click()
    expect(page.get_by_label("AI result, as JSON")).to_have_value('"Bare text."')
    expect(page.get_by_label("Secret")).to_have_value("wrong")
    expect(page.get_by_label("Channel", exact=True)).to_have_value(re.compile("-"))
    page.get_by_label("Secret").select_option("right")
    page.get_by_label("AI result, as JSON").fill('{"title": "Mended"}')
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.get_by_role("heading", name="Mended")).to_be_visible()  # the filter gave way
    expect(diagnosis(page)).to_have_text("Stored and called back.")
    expect(row_cell(page, "title")).to_have_text("Mended")

    batch = page.get_by_role("treeitem", name="99 sent")
    batch.click()
    expect(listed(page)).to_have_count(3)
    batch.click()
    expect(listed(page)).to_have_count(100)  # as many lines as are drawn at once
    page.get_by_role("button", name="2 more").click()
    expect(listed(page)).to_have_count(102)


def test_what_is_looked_for_is_found(page: Page, console: ConsoleStack) -> None:
    send(page, "Structured", "haystack")
    page.get_by_label("Callbacks are answered").select_option("reset")  # so that no id is told
    page.get_by_label("AI result, as JSON").fill('{"title": "A needle"}')
    page.get_by_label("Event", exact=True).fill("hay")
    page.get_by_role("button", name="Send", exact=True).click()
    expect(newest(page)).to_contain_text("A needle")
    expect(newest(page)).to_contain_text(NEXT)
    query = "SELECT id::text, channel_id FROM ai_content WHERE title = 'A needle'"
    (row,) = console.connection.execute(query).fetchall()
    box = page.get_by_label("Title, channel or row id")
    for text in ("needle", row["channel_id"], row["channel_id"][:13].upper(), row["id"]):
        box.fill(text)
        expect(page.get_by_label("How many")).to_contain_text("1 of ")
        expect(newest(page)).to_contain_text("A needle")
    box.fill("no such thing")
    expect(page.get_by_text("No delivery matches this filter.")).to_be_visible()
    page.get_by_role("button", name="Clear filter").click()
    expect(box).to_be_focused()
    page.get_by_label("Of which event").select_option(label="haystack")
    expect(listed(page)).to_have_count(1)
    box.press("Escape")
    expect(page.get_by_label("How many")).to_have_text(re.compile(r"^\d+$"))


@pytest.mark.parametrize(
    ("fault", "words", "line", "colour"),
    [
        ("none", "shown to the person", "Stored and called back.", "good"),
        (
            "404",
            "never will be told",
            "Callback refused: HTTP 404, will not be tried again.",
            "bad",
        ),
        ("500", "the person waits", "Stored, but the callback was not taken: HTTP 500.", "wait"),
        ("401", "the person waits", "HTTP 401, the API key is not ModelRiver's.", "wait"),
        ("lost answer", "shown to the person", "no answer came.", "good"),
        ("silence", "the person waits", "callback was not taken: no answer came.", "wait"),
    ],
)
def test_each_state_has_its_words_and_its_colour(
    page: Page, fault: str, words: str, line: str, colour: str
) -> None:
    page.get_by_label("Callbacks are answered").select_option(fault)
    send(page, "Structured", f"state {fault}")
    expect(diagnosis(page)).to_contain_text(line, timeout=2 * WITHIN)  # silence takes its time
    expect(page.locator("#badge")).to_contain_text(words)
    expect(page.locator("#badge")).to_have_class(f"badge {colour}")
    expect(newest(page)).to_contain_text(words)
    # In sight, whatever comes below it; and the timeline is no taller than what it shows.
    assert diagnosis(page).evaluate("node => node.getBoundingClientRect().bottom") < 300
    height, rows = page.locator(".timeline").evaluate(
        "node => [node.clientHeight, node.querySelectorAll('.track').length]"
    )
    assert height < 110 + 30 * rows


def test_copies_are_ready_to_paste(
    browser: Browser, console: ConsoleStack, watched: Watched
) -> None:
    page = watched.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_label("AI result, as JSON").fill('{"title": "It\'s 盗梦"}')
    page.get_by_role("button", name="Send", exact=True).click()
    expect(diagnosis(page)).to_have_text("Stored and called back.")
    channel = page.locator(".channel").inner_text()

    def copied(name: str) -> str:
        page.locator(".menu > summary").click()
        page.get_by_role("button", name=name, exact=True).click()
        expect(page.locator("#done")).to_have_text(f"Copied: {name}.")
        return str(page.evaluate("navigator.clipboard.readText()"))

    assert copied("channel id") == channel
    assert json.loads(copied("body"))["ai_response"]["data"]["title"] == "It's 盗梦"
    select = copied("SELECT of the row")
    assert channel in select
    (row,) = console.connection.execute(select.encode()).fetchall()
    assert row["title"] == "It's 盗梦"
    page.locator(".menu > summary").click()
    page.get_by_label("URL for curl").fill(console.forward.url)
    page.locator(".menu > summary").click()
    done = subprocess.run(
        copied("curl, signed"), shell=True, capture_output=True, text=True, check=True
    )
    assert '{"received":true}' in done.stdout
    assert console.modelriver.secret not in page.content()
    expect(page.get_by_role("tab")).to_have_count(1)  # it came from elsewhere
    expect(newest(page)).to_contain_text("from elsewhere")


def test_a_delivery_is_saved_and_loaded_again(watched: Watched, tmp_path: Path) -> None:
    page = watched.page
    watched.may_be_refused = True
    more_options(page)
    page.get_by_label("Envelope").select_option("nested")
    page.get_by_label("Signature").select_option("timestamped")
    send(page, "Anthropic", "to be saved")
    expect(diagnosis(page)).to_have_text("Stored and called back.")
    channel = page.locator(".channel").inner_text()
    with page.expect_download() as download:
        page.get_by_role("link", name="Save").click()
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    page.locator("#file").set_input_files(file)
    expect(page.get_by_text("The file is loaded: change it, and send.")).to_be_visible()
    assert channel in page.get_by_label("Whole body, as JSON").input_value()
    expect(page.get_by_label("Signature")).to_have_value("timestamped")
    page.get_by_role("button", name="Send", exact=True).click()
    expect(diagnosis(page)).to_have_text("Delivered again: row and callback were there already.")

    for text in ("no JSON", '{"title": "an AI result"}', "[]"):
        (tmp_path / "other.json").write_text(text)
        page.locator("#file").set_input_files(tmp_path / "other.json")
        expect(page.locator("#said")).to_contain_text("That file is no delivery")


def test_a_receiver_that_is_not_there_is_named_where_the_person_looks(watched: Watched) -> None:
    page = watched.page
    watched.may_be_refused = True
    more_options(page)
    page.get_by_label("To", exact=True).fill("http://127.0.0.1:9/")
    send(page, "Structured", "nowhere")
    expect(diagnosis(page)).to_have_text("No answer: Connection refused.")
    page.get_by_label("To", exact=True).fill("nowhere")
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.get_by_text("To: that is no http or https URL. Nothing was sent.")).to_be_visible()


def test_two_attempts_are_compared_where_they_differ(page: Page) -> None:
    page.get_by_label("Callbacks are answered").select_option("500")
    send(page, "Structured", "compared")
    expect(diagnosis(page)).to_contain_text("HTTP 500")
    page.get_by_label("Callbacks are answered").select_option("none")
    # "Redeliver" where the second attempt has come by itself meanwhile
    page.get_by_role("button", name=re.compile("Deliver now|Redeliver")).click()
    well = re.compile("Stored and called back|Delivered again")
    expect(diagnosis(page)).to_have_text(well)
    page.get_by_label("Compare with").select_option("attempt 1")
    table = page.locator(".compare")
    row = table.get_by_role("row", name="answer 503 200")
    expect(row).to_be_visible()
    expect(table.get_by_role("row", name="log: outcome")).to_contain_text("callback_unavailable")
    expect(table).not_to_contain_text("body: event")  # what is the same stays out


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280, 1920])
def test_many_and_long_ones_break_nothing(
    browser: Browser, console: ConsoleStack, width: int, scheme: Literal["light", "dark"]
) -> None:
    watched = Watched(browser, console, width, scheme)
    page = watched.page
    unfold(page)
    page.get_by_label("Times", exact=True).fill("100")
    send(page, "Hostile", "an_event_" * 30)
    expect(newest(page)).to_contain_text("100 \u00d7 200")
    while len(listing(console)) < 300:
        page.get_by_role("button", name="Send", exact=True).click()
        expect(page.get_by_text("Sent as deliveries")).to_be_visible()
    expect(newest(page)).to_contain_text("100 \u00d7 200")
    assert has_no_sideways_scroll(page)
    assert page.evaluate("document.documentElement.scrollHeight") < 4000
    form = page.locator("#form").bounding_box()
    lines = page.locator("#list").bounding_box()
    assert form
    assert lines
    if width == 1920:
        assert lines["x"] >= form["x"] + form["width"]  # beside each other: the width is used
    else:
        assert lines["y"] >= form["y"] + form["height"]
    page.context.close()
    assert watched.troubles == []


def test_back_leads_to_the_list(browser: Browser, console: ConsoleStack) -> None:
    watched = Watched(browser, console, 390)
    page = watched.page
    unfold(page)
    send(page, "Structured", "back")
    newest(page).click()
    expect(page.get_by_role("heading", name="Inception")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="Inception")).to_be_visible()
    page.go_back()
    expect(newest(page)).to_be_visible()
    expect(page.get_by_role("heading", name="Inception")).to_be_hidden()
    page.goto(f"{console.url}/#{listed(page).first.get_attribute('id').removeprefix('d')}")  # type: ignore[union-attr]
    page.go_back()
    expect(newest(page)).to_be_visible()
    page.context.close()
    assert watched.troubles == []
