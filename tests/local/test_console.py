"""The console over HTTP: what it shows, what it does, whom it refuses."""

import base64
import contextlib
import hashlib
import hmac
import http.client
import json
import os
import re
import shutil
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from lib.local.console import desk as desk_module
from lib.local.console.archive import Archive
from lib.local.console.server import FAULTS, FILES, MAX_REQUEST, POLICY, Console
from lib.local.project import ROOT
from lib.local.standins.deliveries import ENVELOPES, PRESETS
from lib.local.standins.postgres import Postgres
from lib.local.standins.process import free_port, listens
from lib.local.standins.redelivery import SCHEDULE, Endpoint
from lib.local.until import until
from tests.support import ConsoleStack, make_dev, open_console

FORM: dict[str, Any] = {
    "ai_result": '{"title": "Inception", "year": 2010}',
    "preset": "structured",
    "envelope": "documented",
    "event": "new_movie_suggestion",
    "channel": "",
    "scheme": "documented",
    "secret": "right",
    "url": "",
    "times": 1,
    "same": False,
}


ENVELOPE = {
    "documented": "documented",
    "timestamped": "nested",
    "timestamped whole body": "documented",
}
"""As ModelRiver sends each scheme."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@pytest.fixture(scope="module")
def console(postgres: Postgres) -> Iterator[ConsoleStack]:
    with open_console(postgres) as opened:
        yield opened


@pytest.fixture(autouse=True)
def without_faults(console: ConsoleStack) -> Iterator[None]:
    yield
    console.modelriver.treatment = FAULTS["none"]


@dataclass(frozen=True)
class Elsewhere:
    """A console in a process of its own."""

    url: str


def ask(
    console: ConsoleStack | Elsewhere,
    method: str,
    path: str,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """As the page itself asks, but for `headers`; None leaves one out."""
    host = urlsplit(console.url).netloc
    own = {"Host": host, "Origin": console.url, "Content-Type": "application/json"}
    connection = http.client.HTTPConnection(host, timeout=60)
    connection.putrequest(method, path, skip_host=True)
    for name, value in {**own, "Content-Length": str(len(body)), **(headers or {})}.items():
        if value is not None:
            connection.putheader(name, value)
    connection.endheaders(body)
    response = connection.getresponse()
    answer = Answer(response.status, dict(response.headers), response.read())
    connection.close()
    return answer


def send(console: ConsoleStack | Elsewhere, **changes: object) -> list[int]:
    answer = ask(console, "POST", "/deliveries", json.dumps({**FORM, **changes}).encode())
    assert answer.status == 202, answer.body
    numbers: list[int] = answer.json["numbers"]
    return numbers


def detail(console: ConsoleStack | Elsewhere, number: int) -> Any:
    return ask(console, "GET", f"/deliveries/{number}").json


def settled(
    console: ConsoleStack | Elsewhere, number: int, condition: Callable[[Any], object]
) -> Any:
    """The delivery's detail once `condition` holds of it."""
    give_up_at = time.monotonic() + 60
    while not condition(seen := detail(console, number)):
        assert time.monotonic() < give_up_at, seen
        time.sleep(0.02)
    return seen


def is_noted(seen: Any) -> bool:
    """The function's log line comes when all is done, the note on the row included.

    On a busy machine it may be here before the answer has been looked at.
    """
    return bool(
        seen["exchanges"] and seen["exchanges"][-1]["log"] and seen["exchanges"][-1]["answer"]
    )


def is_due(seen: Any, made: int) -> bool:
    """Whether so many attempts are over, if not more by themselves, and another is to come."""
    return len(seen["exchanges"]) >= made and seen["queue"] == "waiting" and seen["due_at"]


def update(console: ConsoleStack) -> Any:
    return console.desk.updates(0, 0)[1]


def numbers_of(console: ConsoleStack) -> list[int]:
    """Of all deliveries; their version would count the redeliveries of earlier tests, too."""
    return [each["number"] for each in update(console)["deliveries"]]


@contextlib.contextmanager
def callbacks_held(console: ConsoleStack) -> Iterator[None]:
    """No callback is answered meanwhile, so that what is under way stays so."""
    take, released = console.modelriver.on_callback, threading.Event()

    def hold(channel: str) -> None:
        take(channel)
        released.wait(60)

    console.modelriver.on_callback = hold
    try:
        yield
    finally:
        console.modelriver.on_callback = take
        released.set()


def count(console: ConsoleStack) -> int:
    row = console.connection.execute("SELECT count(*) AS all FROM ai_content").fetchone()
    return int(row["all"]) if row else 0


def test_the_page_allows_its_own_script_and_nothing_else(console: ConsoleStack) -> None:
    assert "default-src 'none'; script-src 'self'; style-src 'self';" in POLICY
    assert "unsafe" not in POLICY
    assert "require-trusted-types-for 'script'" in POLICY
    text = ""
    for path, (file, content_type) in FILES.items():
        answer = ask(console, "GET", path)
        content = file.read_bytes()
        assert (answer.status, answer.body) == (200, content)
        assert answer.headers["Content-Type"] == f"{content_type}; charset=utf-8"
        assert answer.headers["Content-Security-Policy"] == POLICY
        assert "Access-Control-Allow-Origin" not in answer.headers
        text += content.decode()
    assert "innerHTML" not in text
    assert set(re.findall(r"\w+://[^'\"]+", text)) == {"http://www.w3.org/2000/svg"}


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/", {"Host": "rebound.example:3001"}, 403),
        ("GET", "/events", {"Host": "rebound.example"}, 403),
        ("GET", "/deliveries/1", {"Host": None}, 403),
        ("POST", "/deliveries", {"Origin": "https://evil.example"}, 403),
        ("POST", "/deliveries", {"Origin": None}, 403),
        ("POST", "/deliveries", {"Origin": "null"}, 403),
        ("POST", "/faults", {"Origin": "https://evil.example"}, 403),
        ("POST", "/dead-letters/replay", {"Origin": "https://evil.example"}, 403),
        ("POST", "/deliveries", {"Content-Type": "text/plain"}, 415),
        ("POST", "/deliveries", {"Content-Length": None}, 411),
        ("POST", "/deliveries", {"Content-Length": "-1"}, 411),
        ("POST", "/deliveries", {"Content-Length": str(MAX_REQUEST + 1)}, 413),
        ("GET", "/nowhere", {}, 404),
        ("POST", "/nowhere", {}, 404),
        ("GET", "/deliveries/999999", {}, 404),
        ("POST", "/deliveries/999999/redeliver", {}, 404),
    ],
)
def test_whoever_is_not_the_page_is_refused(
    console: ConsoleStack, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    before = count(console)
    fault = console.modelriver.treatment
    body = json.dumps({**FORM, "fault": "500"}).encode() if method == "POST" else b""
    answer = ask(console, method, path, body, headers)
    assert answer.status == status
    assert answer.json["error"]
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert (count(console), console.modelriver.treatment) == (before, fault)


def test_a_preflight_of_another_site_is_not_granted(console: ConsoleStack) -> None:
    answer = ask(console, "OPTIONS", "/deliveries", headers={"Origin": "https://evil.example"})
    assert answer.status == 501
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize(
    ("text", "place", "position"),
    [
        ('{\n  "title": oops\n}', "Line 2, column 12", 13),
        ('{"🎬": oops}', "Line 1, column 7", 7),
        ("", "Line 1, column 1", 0),
        ('["NaN", NaN]', "Line 1, column 9", 8),
        ("[" * 100_000, "Line 1, column 1", 0),
        ("1" * 5000, "Line 1, column 1", 0),
    ],
)
def test_malformed_json_is_not_sent(
    console: ConsoleStack, text: str, place: str, position: int
) -> None:
    before = numbers_of(console)
    answer = ask(console, "POST", "/deliveries", json.dumps({**FORM, "ai_result": text}).encode())
    assert answer.status == 400
    assert place in answer.json["error"]
    assert "Nothing was sent" in answer.json["error"]
    assert answer.json["position"] == position
    assert numbers_of(console) == before


@pytest.mark.parametrize(
    "body",
    [
        b"nonsense",
        b"[]",
        json.dumps({**FORM, "times": 0}).encode(),
        json.dumps({**FORM, "times": 101}).encode(),
        json.dumps({**FORM, "scheme": "another"}).encode(),
        json.dumps({**FORM, "ai_result": "1e999"}).encode(),
    ],
)
def test_what_the_form_would_not_send_is_not_sent(console: ConsoleStack, body: bytes) -> None:
    before = numbers_of(console)
    assert ask(console, "POST", "/deliveries", body).status == 400
    assert numbers_of(console) == before


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("scheme", ["documented", "timestamped", "timestamped whole body"])
def test_each_preset_makes_the_whole_round_trip(
    console: ConsoleStack, preset: str, scheme: str
) -> None:
    texts = ask(console, "GET", "/presets").json["presets"]
    (number,) = send(
        console, ai_result=texts[preset], preset=preset, scheme=scheme, envelope=ENVELOPE[scheme]
    )
    seen = settled(console, number, is_noted)
    (exchange,) = seen["exchanges"]
    assert (seen["queue"], seen["person"], exchange["answer"]["status"]) == (
        "delivered",
        "shown",
        200,
    )
    columns = {each["name"]: each["value"] for each in seen["row"]["columns"]}
    assert columns["id"]["text"] == console.row_id(seen["channel"])
    assert columns["called_back_at"]
    (callback,) = seen["callbacks"]
    assert (callback["problems"], callback["answered"]) == ([], 200)
    assert console.modelriver.api_key not in json.dumps(seen)
    assert console.modelriver.secret not in json.dumps(seen)
    assert exchange["body"]["cut"] is (preset == "large")
    assert len(json.dumps(seen)) < 200_000


@pytest.mark.parametrize(
    ("scheme", "header", "over"),
    [
        ("documented", "mr-signature", "body"),
        ("timestamped", "X-ModelRiver-Signature", "data"),
        ("timestamped whole body", "X-ModelRiver-Signature", "body"),
    ],
)
def test_the_signature_is_explained(
    console: ConsoleStack, scheme: str, header: str, over: str
) -> None:
    """What is said to be signed, with what is said to stand before it, gives the signature."""
    text = '{"title": "盗梦空间 🎬", "cut": "\\ud83d"}'
    (number,) = send(console, scheme=scheme, envelope=ENVELOPE[scheme], ai_result=text)
    (exchange,) = settled(console, number, is_noted)["exchanges"]
    signature = exchange["signature"]
    assert (signature["header"], signature["over"], signature["right"]) == (header, over, True)
    units = exchange["body"]["text"].encode("utf-16-le")
    signed = units[2 * signature["start"] : 2 * signature["end"]].decode("utf-16-le").encode()
    assert len(signed) == signature["bytes"]
    message = signature["prefix"].encode() + signed
    made = hmac.new(console.modelriver.secret.encode(), message, hashlib.sha256).hexdigest()
    assert dict(exchange["headers"])[header] == made


def test_the_timeline_is_that_of_the_functions_log(console: ConsoleStack) -> None:
    (number,) = send(console)
    (exchange,) = settled(console, number, is_noted)["exchanges"]
    steps = {each["name"]: each for each in exchange["steps"]}
    assert list(steps) == ["attempt", "verify", "read", "save", "callback", "note"]
    logged = exchange["log"]["ms"]
    assert steps["save"]["ms"] == logged["save"]
    assert steps["note"]["ms"] == logged["note"]
    assert steps["note"]["start"] == steps["attempt"]["ms"] == exchange["answer"]["ms"]
    ends = steps["callback"]["start"] + steps["callback"]["ms"]
    assert ends == pytest.approx(steps["attempt"]["ms"], abs=0.1)


def test_a_wrong_secret_is_answered_401_and_waits_for_redelivery(console: ConsoleStack) -> None:
    (number,) = send(console, secret="wrong")
    seen = settled(console, number, lambda seen: is_noted(seen) and seen["due_at"])
    (exchange,) = seen["exchanges"]
    assert exchange["answer"]["status"] == 401
    assert exchange["signature"]["right"] is False
    assert exchange["log"]["outcome"] == "invalid_signature"
    assert (seen["queue"], seen["row"]["columns"]) == ("waiting", [])


def test_many_at_once(console: ConsoleStack) -> None:
    before = count(console)
    numbers = send(console, times=20)
    for number in numbers:
        settled(console, number, is_noted)
    assert count(console) == before + 20

    numbers = send(console, times=20, same=True)
    outcomes = [
        settled(console, each, is_noted)["exchanges"][0]["log"]["outcome"] for each in numbers
    ]
    assert count(console) == before + 21
    assert set(outcomes) <= {"called_back", "known"}
    assert {detail(console, each)["person"] for each in numbers} == {"shown"}


@pytest.mark.parametrize(
    ("fault", "state"),
    [
        ("500", "waiting"),
        ("429", "waiting"),
        ("401", "waiting"),
        ("404", "delivered"),
        ("reset", "waiting"),
        ("lost answer", "waiting"),
    ],
)
def test_callback_faults(console: ConsoleStack, fault: str, state: str) -> None:
    on = ask(console, "POST", "/faults", json.dumps({"fault": fault}).encode())
    assert on.status == 202
    assert console.desk.updates(0, 0)[1]["state"]["fault"] == fault  # type: ignore[index,call-overload]
    (number,) = send(console)

    def has_come_to(state: str, seen: Any) -> bool:
        return is_noted(seen) and seen["queue"] == state and (seen["due_at"] or state != "waiting")

    seen = settled(console, number, partial(has_come_to, state))
    assert seen["person"] == {"lost answer": "shown", "404": "never"}.get(fault, "waiting")

    ask(console, "POST", "/faults", b'{"fault": "none"}')
    assert ask(console, "POST", f"/deliveries/{number}/redeliver", b"{}").status == 202
    seen = settled(
        console,
        number,
        lambda seen: len(seen["exchanges"]) > 1 and has_come_to("delivered", seen),
    )
    console.row_id(seen["channel"])
    if state == "waiting":
        assert seen["person"] == "shown"


def test_no_such_fault(console: ConsoleStack) -> None:
    assert ask(console, "POST", "/faults", b'{"fault": "fire"}').status == 400


def test_the_dead_letter_queue(postgres: Postgres) -> None:
    with open_console(postgres, speed=20_000) as console:
        ask(console, "POST", "/faults", b'{"fault": "401"}')
        first, second = send(console, times=2)
        for number in (first, second):
            seen = settled(
                console,
                number,
                lambda seen: seen["queue"] == "dead" and seen["exchanges"][-1]["answer"],
            )
            assert [each["answer"]["status"] for each in seen["exchanges"]] == [503] * len(SCHEDULE)
        ask(console, "POST", "/faults", b'{"fault": "none"}')
        assert ask(console, "POST", f"/deliveries/{first}/redeliver", b"{}").status == 202
        assert (
            settled(console, first, lambda seen: seen["queue"] == "delivered")["person"] == "late"
        )
        assert ask(console, "POST", "/dead-letters/replay", b"{}").json == {"replayed": 1}
        settled(console, second, lambda seen: seen["queue"] == "delivered")


def test_a_redelivery_before_its_time_takes_the_place_of_the_one_that_was_due(
    console: ConsoleStack,
) -> None:
    (number,) = send(console, secret="wrong")
    for made in (1, 2, 3):
        channel = settled(console, number, partial(is_due, made=made))["channel"]
        queue = console.desk._redelivery._due  # noqa: SLF001
        assert [task.channel_id for *_, task in queue].count(channel) == 1
        ask(console, "POST", f"/deliveries/{number}/redeliver", b"{}")


def events(console: ConsoleStack | Elsewhere) -> Iterator[Any]:
    host = urlsplit(console.url).netloc
    connection = http.client.HTTPConnection(host, timeout=60)
    connection.request("GET", "/events")
    response = connection.getresponse()
    assert response.headers["Content-Type"] == "text/event-stream"
    give_up_at = time.monotonic() + 60
    try:
        while line := response.readline():
            assert time.monotonic() < give_up_at
            if line.startswith(b"data: "):
                yield json.loads(line.removeprefix(b"data: "))
    finally:
        response.close()
        connection.close()


def test_what_happens_is_told_as_it_happens(console: ConsoleStack) -> None:
    news = events(console)
    assert next(news)["all"] is True

    def told(number: int) -> str:
        """The state of the delivery, once one is told."""
        for each in news:
            assert each["all"] is False
            for delivery in each["deliveries"]:
                if delivery["number"] == number:
                    return str(delivery["queue"])
        raise AssertionError("the stream has ended")

    with callbacks_held(console):  # what follows at once is told as one
        (number,) = send(console)
        assert told(number) == "sending"
    while (state := told(number)) != "delivered":
        assert state == "sending"
    news.close()  # type: ignore[attr-defined]


def test_what_is_printed_while_a_delivery_is_served_is_shown_with_it(console: ConsoleStack) -> None:
    """As a developer's own print() in to_row would be."""
    (number,) = send(console)
    settled(console, number, is_noted)
    (invocation,) = [
        name
        for name, (entry, _) in console.desk._by_invocation.items()  # noqa: SLF001
        if entry.number == number
    ]
    for text in ("<b>here</b>", '{"no": "outcome"}'):
        payload = {
            "context": {"invocationId": invocation},
            "message": base64.b64encode(text.encode()).decode(),
        }
        console.desk.take({"type": "log", "payload": payload})
    console.desk.take({"type": "log", "payload": {**payload, "context": {"invocationId": "?"}}})
    (exchange,) = detail(console, number)["exchanges"]
    assert exchange["lines"][1:] == ["<b>here</b>", '{"no": "outcome"}']
    assert exchange["log"]["outcome"] == "called_back"


def test_a_delivery_from_elsewhere_is_shown_like_any_other(console: ConsoleStack) -> None:
    """As `make send` makes one, or ModelRiver itself through a tunnel."""
    river = console.modelriver
    payload = river.event({"title": "elsewhere"}, event="from elsewhere")
    forged = river.sign(payload, secret="another")
    assert river.deliver(console.forward.url, forged).status == 401
    assert river.deliver(console.forward.url, river.sign(payload)).status == 200
    (found,) = [
        each for each in update(console)["deliveries"] if each["channel"] == payload["channel_id"]
    ]
    assert (found["event"], found["title"]) == ("from elsewhere", "elsewhere")
    seen = settled(console, found["number"], is_noted)
    assert (seen["is_ours"], seen["queue"], seen["person"]) == (False, "delivered", "shown")
    (row_id,) = [each["value"] for each in seen["row"]["columns"] if each["name"] == "id"]
    assert row_id["text"] == seen["record"] == console.row_id(str(payload["channel_id"]))
    refused, taken = seen["exchanges"]
    assert (refused["answer"]["status"], refused["signature"]["right"]) == (401, False)
    assert (taken["answer"]["status"], taken["signature"]["right"]) == (200, True)
    assert [each["name"] for each in taken["steps"]][-1] == "note"
    assert len(seen["callbacks"]) == 1

    path = f"/deliveries/{found['number']}/redeliver"
    assert ask(console, "POST", path, b"{}").status == 202
    seen = settled(
        console, found["number"], lambda seen: len(seen["exchanges"]) == 3 and is_noted(seen)
    )
    assert seen["exchanges"][2]["log"]["outcome"] == "known"
    assert seen["exchanges"][2]["body"] == taken["body"]
    assert ask(console, "POST", "/dead-letters/replay", b"{}").json == {"replayed": 0}


@pytest.mark.parametrize("path", ["/webhook", "/webhook/modelriver", "/webhooks/modelriver"])
@pytest.mark.parametrize("is_chunked", [False, True])
def test_what_a_tunnel_hands_on_is_shown(
    console: ConsoleStack, path: str, *, is_chunked: bool
) -> None:
    """Paths as vercel.json rewrites them; bodies in chunks, as some forwarders send them."""
    payload = console.modelriver.event({"title": "tunnel"})
    delivery = console.modelriver.sign(payload)
    connection = http.client.HTTPConnection("127.0.0.1", console.forward.port, timeout=60)
    body = [delivery.body[:9], delivery.body[9:]] if is_chunked else delivery.body
    connection.request("POST", path, body, dict(delivery.headers))
    assert json.loads(connection.getresponse().read()) == {"received": True}
    connection.request("GET", "/api/modelriver?why=health")
    assert json.loads(connection.getresponse().read()) == {"status": "ok"}
    connection.close()
    (found,) = [
        each for each in update(console)["deliveries"] if each["channel"] == payload["channel_id"]
    ]
    seen = settled(console, found["number"], is_noted)
    assert seen["exchanges"][0]["body"]["text"].encode() == delivery.body


def test_a_database_that_is_not_there_is_said_in_one_line(postgres: Postgres) -> None:
    with open_console(postgres) as console:
        (number,) = send(console)
        seen = settled(console, number, is_noted)
        console.connection.execute("ALTER TABLE ai_content RENAME TO away")
        problem = detail(console, number)["row"]["problem"]
        assert 'relation "ai_content" does not exist' in problem
        assert "\n" not in problem
        assert seen["row"]["problem"] == ""


def test_what_is_kept_is_bounded(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_module, "KEPT", 5)
    with open_console(postgres) as console:
        numbers = send(console, times=8)
        for number in numbers[3:]:
            settled(console, number, is_noted)
        assert until(lambda: update(console)["oldest"] == numbers[3], 60)  # none is under way
        assert count(console) == 8
        assert ask(console, "GET", f"/deliveries/{numbers[2]}").status == 404
        monkeypatch.setattr(desk_module, "KEPT_BYTES", 1000)
        (number,) = send(console)
        assert update(console)["oldest"] > numbers[3]
        settled(console, number, is_noted)
        assert console.modelriver.callbacks == []
        kept = vars(console.desk)
        assert len(kept["_by_task"]) == len(kept["_by_channel"]) == len(kept["_entries"])
        assert len(kept["_by_invocation"]) == len(kept["_entries"])


def streams(console: ConsoleStack) -> int:
    """How many threads are serving a page's events."""
    serving = Console._events.__code__  # noqa: SLF001
    stacks = [traceback.walk_stack(each) for each in sys._current_frames().values()]  # noqa: SLF001
    return sum(
        frame.f_code is serving and frame.f_locals["self"]._desk is console.desk  # noqa: SLF001
        for stack in stacks
        for frame, _ in stack
    )


def all_streams_end(console: ConsoleStack) -> bool:
    def have_ended() -> bool:
        console.desk.tell(speed=1)  # something to write is what shows that nobody reads
        return streams(console) == 0

    return until(have_ended, 60, every=0.1)


def test_a_page_that_is_closed_ends_its_stream(console: ConsoleStack) -> None:
    assert all_streams_end(console)  # those of other tests
    opened = [events(console) for _ in range(3)]
    for news in opened:
        next(news)
    assert streams(console) == 3
    for news in opened:
        news.close()  # type: ignore[attr-defined]
    assert all_streams_end(console)


YEAR = {
    "lib/content.py": [
        ("    callback_url: str\n", "    callback_url: str\n    vintage: int | None\n"),
        (
            "        callback_url=event.callback_url,\n",
            "        callback_url=event.callback_url,\n"
            '        vintage=y if isinstance(y := result.get("year"), int) else None,\n',
        ),
    ],
    "sql/schema.sql": [
        (
            "IF NOT EXISTS ai_data ",
            "IF NOT EXISTS vintage INT, ADD COLUMN IF NOT EXISTS ai_data ",
        )
    ],
}


@pytest.fixture
def project() -> Iterator[Path]:
    """A copy of the project to change, where Postgres too may go when we are root."""
    folder = Path(tempfile.mkdtemp(prefix="project-", dir="/tmp"))
    folder.chmod(0o755)
    ignored = shutil.ignore_patterns(".*", "tests", "__pycache__")
    shutil.copytree(ROOT, folder, dirs_exist_ok=True, ignore=ignored)
    yield folder
    shutil.rmtree(folder)


def change(project: Path, name: str) -> None:
    path = project / name
    text = path.read_text()
    for old, new in YEAR[name]:
        assert old in text
        text = text.replace(old, new, 1)
    path.write_text(text)


def test_a_changed_mapping_is_seen_at_once(postgres: Postgres, project: Path) -> None:
    port, modelriver_port = free_port(), free_port()
    options = ["--port", str(port), "--modelriver-port", str(modelriver_port), "--speed", "20"]
    console = Elsewhere(f"http://127.0.0.1:{modelriver_port}")
    environment = {name: value for name, value in os.environ.items() if "DATABASE" not in name}
    with make_dev(*options, directory=project, environment=environment) as server:

        def state(condition: Callable[[Any], object]) -> Any:
            give_up_at = time.monotonic() + 60
            told: Any = {}
            while time.monotonic() < give_up_at:
                with contextlib.suppress(OSError):
                    told = next(events(console))["state"]
                    if condition(told):
                        return told
                time.sleep(0.1)
            pytest.fail(f"the console still says {told}")

        def year(number: int) -> Any:
            seen = settled(console, number, lambda seen: seen["queue"] == "delivered")
            columns = {each["name"]: each["value"] for each in seen["row"]["columns"]}
            return columns.get("vintage", "no such column")

        running = state(lambda told: told.get("function") == "running" and told.get("schema") == "")
        assert str(project / ".local" / "postgres") in running["database"]
        (before,) = send(console)
        assert year(before) == "no such column"

        change(project, "lib/content.py")
        told = state(lambda told: told.get("schema"))
        assert "lib/content.py has vintage, and sql/schema.sql has no such column" in told["schema"]
        (early,) = send(console)
        settled(console, early, lambda seen: seen["queue"] == "waiting" and seen["exchanges"])
        change(project, "sql/schema.sql")
        state(lambda told: told["schema"] == "" and told["function"] == "running")
        (after,) = send(console)
        assert year(before) is None
        assert year(after)["text"] == year(early)["text"] == "2010"

        content = project / "lib" / "content.py"
        text = content.read_text()
        content.write_text(f"{text}\n)")
        assert "SyntaxError" in state(lambda told: told.get("function") == "down")["reason"]
        (meanwhile,) = send(console)
        content.write_text(text)
        assert year(meanwhile)["text"] == "2010"
    assert server.returncode == 0
    assert not listens(port)
    assert not listens(modelriver_port)


def test_deliveries_outlive_a_restart(postgres: Postgres, tmp_path: Path) -> None:
    """Those that wait are delivered by the next run; a file that is none is begun anew."""
    file = tmp_path / "deliveries.sqlite"
    file.write_bytes(b"no database at all")
    with open_console(postgres, speed=0.1) as first:  # so that the second attempt stays away
        with Archive(file, first.desk):
            payload = first.modelriver.event({"title": "elsewhere"})
            first.modelriver.deliver(first.forward.url, first.modelriver.sign(payload))
            (taken, forged) = send(first)[0], send(first, secret="wrong")[0]
            settled(first, taken, is_noted)
            before = settled(first, forged, lambda seen: is_noted(seen) and seen["due_at"])
            (gone,) = send(first)
            settled(first, gone, is_noted)
        kept = detail(first, taken)
        with Archive(file, first.desk):  # what is shown already is not brought back twice
            assert len(update(first)["deliveries"]) == 4
    assert first.modelriver.secret.encode() not in file.read_bytes()
    assert file.stat().st_mode & 0o077 == 0
    with open_console(postgres) as second, Archive(file, second.desk):
        again = {each["number"]: each for each in update(second)["deliveries"]}
        assert set(again) == {1, taken, forged, gone}
        assert (again[1]["is_ours"], again[1]["title"]) == (False, "elsewhere")
        assert detail(second, taken)["exchanges"] == kept["exchanges"]
        assert detail(second, taken)["callbacks"] == kept["callbacks"]
        seen = settled(second, forged, lambda seen: len(seen["exchanges"]) == 2)
        assert seen["exchanges"][0] == before["exchanges"][0]
        assert seen["exchanges"][1]["signature"]["right"] is False
        assert ask(second, "POST", "/deliveries/1/redeliver", b"{}").status == 202
        settled(second, 1, lambda seen: len(seen["exchanges"]) == 2 and is_noted(seen))
        assert send(second) == [gone + 1]


def test_what_was_under_way_has_no_answer_after_a_restart(
    postgres: Postgres, tmp_path: Path
) -> None:
    with (
        open_console(postgres) as first,
        callbacks_held(first),
        Archive(tmp_path / "file", first.desk),
    ):
        (number,) = send(first)
        settled(first, number, lambda seen: seen["exchanges"])
    with open_console(postgres) as second, Archive(tmp_path / "file", second.desk):
        (interrupted, *_) = detail(second, number)["exchanges"]
        assert interrupted["diagnosis"] == "No answer: make dev ended meanwhile."
        settled(second, number, lambda seen: seen["queue"] == "delivered")


def test_all_can_be_put_away(console: ConsoleStack) -> None:
    (number,) = send(console)
    settled(console, number, is_noted)
    version, told = console.desk.updates(0, 0)

    def cleared() -> bool:
        """What another test left waiting may be under way just now, and stays."""
        nonlocal version, told
        since = console.desk.updates(0, 0)[0]
        assert ask(console, "POST", "/deliveries/clear", b"{}").status == 202
        version, told = console.desk.updates(since, 0)
        assert told["all"] is True
        return told["deliveries"] == []

    assert until(cleared, 60, every=0.1)
    assert console.desk.updates(version, 0)[1]["all"] is False
    for path in ("", "/body", "/curl?url=x", "/file", "/form"):
        assert ask(console, "GET", f"/deliveries/{number}{path}").status == 404


@pytest.mark.parametrize("envelope", ENVELOPES)
def test_each_envelope_is_what_it_says(console: ConsoleStack, envelope: str) -> None:
    scheme = "timestamped" if envelope in {"nested", "bare", "completed"} else "documented"
    (number,) = send(console, envelope=envelope, scheme=scheme)
    seen = settled(console, number, is_noted)
    columns = {each["name"]: each["value"] for each in seen["row"]["columns"]}
    if envelope in {"AI failed", "completed"}:
        assert columns == {}
        assert seen["person"] == ("nobody" if envelope == "completed" else "told")
    else:
        assert columns["title"]["text"] == "Inception"
        assert seen["person"] == "shown"
        assert ("test_mode" in columns["metadata"]["text"]) is (envelope == "test mode")


def test_a_delivery_is_edited_and_sent_again(console: ConsoleStack) -> None:
    (number,) = send(console, secret="wrong", envelope="nested", scheme="timestamped")
    seen = settled(console, number, is_noted)
    filled = ask(console, "GET", f"/deliveries/{number}/form").json
    assert filled["channel"] == seen["channel"]
    assert {**FORM, **filled, "channel": "", "secret": "right"} == {
        **FORM,
        "envelope": "nested",
        "scheme": "timestamped",
    }
    (again,) = send(console, **{**filled, "secret": "right", "ai_result": '{"title": "Mended"}'})
    mended = settled(console, again, is_noted)
    assert (mended["channel"], mended["title"]) == (seen["channel"], "Mended")
    assert console.row_id(seen["channel"]) == mended["record"]


def test_a_whole_body_is_sent_as_it_was_typed(console: ConsoleStack) -> None:
    body = {"channel_id": "typed", "timestamp": 5, "data": {"title": "As typed"}}
    body["callback_url"] = console.modelriver.callback_url("typed")
    form = {"envelope": "whole body", "ai_result": json.dumps(body), "scheme": "timestamped"}
    (number,) = send(console, **form)
    seen = settled(console, number, is_noted)
    assert json.loads(seen["exchanges"][0]["body"]["text"]) == body
    assert seen["person"] == "shown"
    file = ask(console, "GET", f"/deliveries/{number}/file")
    assert "attachment" in file.headers["Content-Disposition"]
    read = ask(console, "POST", "/files", json.dumps({"text": file.body.decode()}).encode()).json
    assert json.loads(read["ai_result"]) == body
    assert (read["envelope"], read["scheme"]) == ("whole body", "timestamped")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"envelope": "whole body", "ai_result": "[]"}, "is to be a JSON object"),
        ({"url": "nowhere"}, "no http or https URL"),
        ({"url": "http://user@host/"}, "no http or https URL"),
        ({"times": 101}, "from 1 to 100"),
        ({"envelope": "another"}, "not what the form sends"),
        ({"unknown": 1}, "not what the form sends"),
        ({"scheme": "another"}, "no such scheme"),
    ],
)
def test_a_form_that_is_not_right_is_refused_in_one_sentence(
    console: ConsoleStack, changes: dict[str, Any], words: str
) -> None:
    answer = ask(console, "POST", "/deliveries", json.dumps({**FORM, **changes}).encode())
    assert answer.status == 400
    assert words in answer.json["error"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"scheme": "x", "delivery": {}}', '{"title": 1}'])
def test_a_file_that_is_no_delivery_is_refused_in_one_sentence(
    console: ConsoleStack, text: str
) -> None:
    answer = ask(console, "POST", "/files", json.dumps({"text": text}).encode())
    assert answer.status == 400
    assert answer.json["error"].startswith("That file is no delivery: ")
    assert ask(console, "POST", "/files", b'{"text": 1}').status == 400


def test_what_is_too_large_for_a_command_or_a_form_says_so(console: ConsoleStack) -> None:
    (number,) = send(console, ai_result=None, preset="large")
    settled(console, number, is_noted)
    refused = ask(console, "GET", f"/deliveries/{number}/curl?url=http://x/")
    assert (refused.status, "too many for a command" in refused.json["error"]) == (413, True)
    assert ask(console, "GET", f"/deliveries/{number}/form").json["ai_result"] is None
    body = ask(console, "GET", f"/deliveries/{number}/body").body
    assert len(body) > 4_000_000
    river = console.modelriver
    huge = river.event({"title": "elsewhere", "text": "x" * 200_000})
    river.deliver(console.forward.url, river.sign(huge))
    river.deliver(console.forward.url, river.sign(b"no JSON"))
    large, not_json = [each["number"] for each in update(console)["deliveries"]][-2:]
    assert "too large" in ask(console, "GET", f"/deliveries/{large}/form").json["error"]
    assert "no JSON object" in ask(console, "GET", f"/deliveries/{not_json}/form").json["error"]


def test_the_way_to_a_row_is_quoted(console: ConsoleStack) -> None:
    for place, event in enumerate(["it's", "", "null \0 and \ud83d"]):
        (number,) = send(console, event=event, channel=f"o'clock-{place}")
        seen = settled(console, number, is_noted)
        assert seen["row"]["columns"]
        (row,) = console.connection.execute(seen["select"].encode()).fetchall()
        assert str(row["id"]) == seen["record"]
        found = ask(console, "GET", f"/rows/{row['id']}/channel").json
        assert found == {"channel": row["channel_id"]}
    nobody = "00000000-0000-0000-0000-000000000000"
    assert ask(console, "GET", f"/rows/{nobody}/channel").json == {"channel": ""}


def test_a_function_that_is_away_is_said_where_it_is_missed(console: ConsoleStack) -> None:
    target, console.forward.target = console.forward.target, Endpoint("", 9)
    try:
        (number,) = send(console)
        seen = settled(console, number, partial(is_due, made=1))
        assert seen["exchanges"][0]["answer"]["status"] == 502
        expected = "The function does not answer: Connection refused."
        assert seen["exchanges"][0]["diagnosis"] == expected
        console.desk.tell(reason="lib/content.py line 31: SyntaxError: invalid syntax")
        ask(console, "POST", f"/deliveries/{number}/redeliver", b"{}")
        seen = settled(console, number, partial(is_due, made=2))
        assert seen["exchanges"][-1]["diagnosis"].startswith("lib/content.py line 31")
    finally:
        console.forward.target = target
        console.desk.tell(reason="")
