"""The table of answers, row by row: the status, and beside it the rows and the callbacks.

Everything is real but ModelRiver: the Vercel runtime, PgBouncer, Postgres, the sockets.
"""

import hashlib
import json
import socket
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.jsontext import Json
from lib.local.standins.modelriver import ModelRiver, Reply, Treatment
from lib.local.standins.pgbouncer import PgBouncer
from lib.local.standins.postgres import Postgres
from lib.local.standins.process import free_port
from lib.local.standins.stack import Stack
from lib.local.standins.vercel import PATH, Vercel
from lib.local.until import until
from lib.signature import MAX_AGE, MAX_AHEAD
from tests.support import HOSTILE, json_values, new_channel

RECEIVED = {"received": True}
MOVIE: Json = {"title": "Inception", "description": "Dreams.", "year": 2010}


def deliver(stack: Stack, payload: Json | bytes) -> Reply:
    return stack.modelriver.deliver(stack.vercel.url, stack.modelriver.sign(payload))


@pytest.mark.parametrize("scheme", ["documented", "timestamped", "timestamped whole body"])
@pytest.mark.parametrize("envelope", ["documented", "nested"])
def test_stored_and_called_back(stack: Stack, scheme: str, envelope: str) -> None:
    c, river = new_channel(), stack.modelriver
    payload = river.event(MOVIE, channel_id=c)
    if envelope == "nested":
        payload = river.nested(payload)
    reply = river.deliver(stack.vercel.url, river.sign(payload, scheme))  # type: ignore[arg-type]
    assert (reply.status, reply.json) == (200, RECEIVED)
    (callback,) = river.callbacks_for(c)
    assert callback.problems == ()
    assert until(lambda: stack.rows(c)[0]["called_back_at"] is not None)
    (row,) = stack.rows(c)
    assert row["ai_data"] == MOVIE
    assert row["event_name"] == "new_movie_suggestion"
    saved_at = row["created_at"].isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert callback.content == {
        "data": {**MOVIE, "id": str(row["id"]), "saved_at": saved_at},  # type: ignore[dict-item]
        "task_id": f"neon_{row['id']}",
        "metadata": {"database": "neon", "table": "ai_content", "record_id": str(row["id"])},
    }


def test_delivered_again(stack: Stack) -> None:
    c = new_channel()
    delivery = stack.modelriver.sign(stack.modelriver.event(MOVIE, channel_id=c))
    for _ in range(3):
        reply = stack.modelriver.deliver(stack.vercel.url, delivery)
        assert (reply.status, reply.json) == (200, RECEIVED)
        assert until(lambda: stack.rows(c)[0]["called_back_at"])
    assert len(stack.rows(c)) == 1
    assert len(stack.modelriver.callbacks_for(c)) == 1


def test_delivered_twenty_times_at_once(stack: Stack) -> None:
    c = new_channel()
    delivery = stack.modelriver.sign(stack.modelriver.event(MOVIE, channel_id=c))
    with ThreadPoolExecutor(20) as threads:
        replies = list(
            threads.map(lambda _: stack.modelriver.deliver(stack.vercel.url, delivery), range(20))
        )
    assert [reply.status for reply in replies] == [200] * 20
    (row,) = stack.rows(c)
    callbacks = stack.modelriver.callbacks_for(c)
    assert {each.content["task_id"] for each in callbacks} == {f"neon_{row['id']}"}


@pytest.mark.parametrize("change", [{"type": "task.completed"}, {"callback_url": None}])
def test_nothing_to_store(stack: Stack, change: dict[str, Json]) -> None:
    c = new_channel()
    reply = deliver(stack, stack.modelriver.event(MOVIE, channel_id=c, **change))
    assert (reply.status, reply.json) == (200, RECEIVED)
    assert stack.rows(c) == []
    assert stack.modelriver.callbacks_for(c) == []


@pytest.mark.parametrize(
    "signature",
    ["", "0" * 63, "0" * 64, "ü" * 32, "nonsense", None, "upper"],
)
def test_a_wrong_signature(stack: Stack, signature: str | None) -> None:
    c = new_channel()
    delivery = stack.modelriver.sign(stack.modelriver.event(MOVIE, channel_id=c))
    headers = dict(delivery.headers)
    right = headers.pop("mr-signature")
    if signature is not None:
        headers["mr-signature"] = right.upper() if signature == "upper" else signature
    reply = stack.modelriver.deliver(stack.vercel.url, replace(delivery, headers=headers))
    assert (reply.status, reply.json) == (401, {"error": "Invalid signature"})
    assert stack.rows(c) == []
    assert stack.modelriver.callbacks_for(c) == []


@pytest.mark.parametrize("age", [MAX_AGE + 60, -MAX_AHEAD - 10])
def test_a_stale_signature(stack: Stack, age: float) -> None:
    c, river = new_channel(), stack.modelriver
    payload = river.nested(river.event(MOVIE, channel_id=c))
    delivery = river.sign(payload, "timestamped", at=time.time() - age)
    assert river.deliver(stack.vercel.url, delivery).status == 401
    assert stack.rows(c) == []


INVALID = {
    "empty": b"",
    "not JSON": b"{nonsense",
    "a list": b"[]",
    "null": b"null",
    "a byte-order mark": b"\xef\xbb\xbf{}",
    "bad UTF-8": b'{"type": "\xff"}',
    "NaN": b'{"type": NaN}',
    "nested 100,000 deep": b'{"type":' * 100_000 + b"1" + b"}" * 100_000,
    "an integer of 10,000 digits": b'{"type":' + b"1" * 10_000 + b"}",
}


@pytest.mark.parametrize("body", INVALID.values(), ids=INVALID)
def test_a_body_that_is_no_json_object(stack: Stack, body: bytes) -> None:
    before = stack.count(), len(stack.modelriver.callbacks)
    reply = deliver(stack, body)
    assert (reply.status, reply.json) == (400, {"error": "Invalid body"})
    assert (stack.count(), len(stack.modelriver.callbacks)) == before


def test_a_member_given_twice(stack: Stack) -> None:
    """The last one counts, as everywhere; with a signature over `data` alone none does."""
    c, river = new_channel(), stack.modelriver
    text = json.dumps(river.event(MOVIE, channel_id=c))
    body = text.replace('{"type"', '{"event": "first", "type"', 1).encode()
    assert deliver(stack, body).status == 200
    assert stack.rows(c)[0]["event_name"] == "new_movie_suggestion"

    c = new_channel()
    payload = river.nested(river.event(MOVIE, channel_id=c))
    delivery = river.sign(payload, "timestamped")
    forged = delivery.body[:-1] + b',"data":{"type":"task.ai_generated","ai_response":"forged"}}'
    assert river.deliver(stack.vercel.url, replace(delivery, body=forged)).status == 401
    assert stack.rows(c) == []


@pytest.mark.parametrize("customer_data", [None, ["a", "b"], "text", 7])
def test_customer_data_of_any_shape(stack: Stack, customer_data: Json) -> None:
    c = new_channel()
    payload = stack.modelriver.event(MOVIE, channel_id=c, customer_data=customer_data)
    assert deliver(stack, payload).status == 200
    (row,) = stack.rows(c)
    assert row["category"] == "general"
    assert row["metadata"].get("customer_data") == customer_data


@pytest.mark.parametrize("value", ["text", ["a", 1], 42, None, True, {"a": {"b": [None]}}])
def test_ai_results_of_any_shape(stack: Stack, value: Json) -> None:
    c = new_channel()
    assert deliver(stack, stack.modelriver.event(value, channel_id=c)).status == 200
    (row,) = stack.rows(c)
    assert row["ai_data"] == value
    data = stack.modelriver.callbacks_for(c)[0].content["data"]
    assert isinstance(data, dict)
    assert value is None or value in (data.get("content"), {"a": data.get("a")})


def test_hostile_text_is_stored(stack: Stack) -> None:
    c = new_channel()
    text = json.dumps(stack.modelriver.event({"title": "TITLE", "k\0": "\0"}, channel_id=c))
    body = text.replace(
        "TITLE", "cut \\ud83d <script>'; DROP TABLE ai_content; -- %s 盗梦"
    ).encode()
    assert deliver(stack, body).status == 200
    (row,) = stack.rows(c)
    assert row["title"] == "cut \ufffd <script>'; DROP TABLE ai_content; -- %s 盗梦"
    assert row["ai_data"]["k\ufffd"] == "\ufffd"
    assert stack.modelriver.callbacks_for(c)[0].problems == ()


def test_channel_id_a_number(stack: Stack) -> None:
    number = uuid.uuid4().int
    payload = stack.modelriver.event(MOVIE, channel_id=number)
    assert deliver(stack, payload).status == 200
    assert deliver(stack, payload).status == 200
    assert len(stack.rows(str(number))) == 1


@pytest.mark.parametrize("sent", ["", None])
def test_channel_id_from_the_header(stack: Stack, sent: Json) -> None:
    c, river = new_channel(), stack.modelriver
    url = river.callback_url(c)
    delivery = river.sign(river.event(MOVIE, channel_id=sent, callback_url=url))
    delivery = replace(delivery, headers={**delivery.headers, "mr-channel-id": c})
    assert river.deliver(stack.vercel.url, delivery).status == 200
    assert len(stack.rows(c)) == 1


def test_channel_id_nowhere(stack: Stack) -> None:
    c, river, before = new_channel(), stack.modelriver, stack.count()
    payload = river.event(MOVIE, channel_id=None, callback_url=river.callback_url(c))
    delivery = river.sign(payload)
    headers = {n: v for n, v in delivery.headers.items() if n != "mr-channel-id"}
    told_apart_by = delivery.body + river.callback_url(c).encode()
    digest = f"sha256:{hashlib.sha256(told_apart_by).hexdigest()}"
    for _ in range(2):
        assert river.deliver(stack.vercel.url, replace(delivery, headers=headers)).status == 200
        assert until(lambda: stack.rows(digest)[0]["called_back_at"])
    assert stack.count() == before + 1
    assert len(river.callbacks_for(c)) == 1


def test_callback_url_from_the_header(stack: Stack) -> None:
    c, river = new_channel(), stack.modelriver
    delivery = river.sign(river.event(MOVIE, channel_id=c, callback_url=None))
    headers = {**delivery.headers, "X-ModelRiver-Callback-Url": river.callback_url(c)}
    assert river.deliver(stack.vercel.url, replace(delivery, headers=headers)).status == 200
    assert len(stack.rows(c)) == len(river.callbacks_for(c)) == 1


@pytest.mark.parametrize("url", [7, {"a": 1}, *(url for url in HOSTILE if url)])
def test_callback_url_elsewhere(stack: Stack, url: Json) -> None:
    c, before = new_channel(), len(stack.modelriver.callbacks)
    payload = stack.modelriver.event(MOVIE, channel_id=c, callback_url=url)
    for _ in range(2):
        reply = deliver(stack, payload)
        assert (reply.status, reply.json) == (200, RECEIVED)
    assert until(lambda: stack.rows(c)[0]["callback_error"] is not None)
    (row,) = stack.rows(c)
    assert row["callback_error"].startswith("callback_refused: callback_url is not at")
    assert row["called_back_at"] is None
    assert len(stack.modelriver.callbacks) == before


@pytest.fixture
def particular(stack: Stack) -> Iterator[Stack]:
    """The table with a constraint of its owner's, which other tests' titles do not meet."""
    constraint = "CHECK (title <> 'unwanted')"
    stack.connection.execute(f"ALTER TABLE ai_content ADD CONSTRAINT wanted {constraint}".encode())
    yield stack
    stack.connection.execute("ALTER TABLE ai_content DROP CONSTRAINT wanted")


def test_a_record_that_postgres_refuses(particular: Stack) -> None:
    c = new_channel()
    payload = particular.modelriver.event({"title": "unwanted"}, channel_id=c)
    reply = deliver(particular, payload)
    assert (reply.status, reply.json) == (200, RECEIVED)
    assert particular.rows(c) == []
    (callback,) = particular.modelriver.callbacks_for(c)
    assert callback.problems == ()
    assert callback.content["error"] == "processing_failed"


@pytest.mark.parametrize("name", ["channel_id", "event"])
def test_a_key_that_no_index_holds_loses_nothing(stack: Stack, name: str) -> None:
    """An index entry has a limit; this is longer, however Postgres packs it."""
    c, river = new_channel(), stack.modelriver
    long = c + "".join(map(chr, range(0x4E00, 0x4E00 + 6000)))
    payload = river.event(MOVIE, **{"channel_id": c, name: long})
    payload["callback_url"] = river.callback_url(c)
    delivery = river.sign(payload)
    delivery = replace(
        delivery, headers={n: v for n, v in delivery.headers.items() if "id" not in n}
    )
    digest = f"sha256:{hashlib.sha256(long.encode()).hexdigest()}"
    key = digest if name == "channel_id" else c
    for _ in range(2):
        reply = river.deliver(stack.vercel.url, delivery)
        assert (reply.status, reply.json) == (200, RECEIVED)
        assert until(lambda: stack.rows(key)[0]["called_back_at"])
    assert len(river.callbacks_for(c)) == 1
    (row,) = stack.rows(key)
    assert row["channel_id" if name == "channel_id" else "event_name"] == digest
    assert row["ai_data"] == MOVIE


@pytest.mark.parametrize("text", ["X", "канал", "频道-à", "Å", "a b"])
def test_a_channel_that_comes_as_a_header_in_utf_8(stack: Stack, text: str) -> None:
    c, river = f"{new_channel()} {text}", stack.modelriver
    url = river.callback_url(new_channel())
    delivery = river.sign(river.event(MOVIE, channel_id=None, callback_url=url))
    lines = [f"{name}: {value}" for name, value in delivery.headers.items() if "id" not in name]
    length = f"Content-Length: {len(delivery.body)}"
    head = "\r\n".join([f"POST {PATH} HTTP/1.0", *lines, f"mr-channel-id: {c}", length, "", ""])
    with socket.create_connection(("127.0.0.1", stack.vercel.port), timeout=20) as client:
        client.sendall(head.encode() + delivery.body)
        assert b" 200 " in client.makefile("rb").readline()
    (row,) = stack.rows(c)
    assert row["ai_data"] == MOVIE


def test_a_channel_that_is_no_utf_8_is_one_all_the_same(stack: Stack) -> None:
    c, river = new_channel(), stack.modelriver
    url = river.callback_url(c)
    delivery = river.sign(river.event(MOVIE, channel_id=None, callback_url=url))
    delivery = replace(delivery, headers={**delivery.headers, "mr-channel-id": f"{c} é"})
    assert river.deliver(stack.vercel.url, delivery).status == 200  # sent in Latin-1
    assert len(stack.rows(f"{c} \\xe9")) == 1


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503, 401, 403])
def test_a_callback_that_may_succeed_later(stack: Stack, status: int) -> None:
    c, river = new_channel(), stack.modelriver
    delivery = river.sign(river.event(MOVIE, channel_id=c))
    tries = 1 if status in {401, 403, 429} else 3
    river.planned[c].extend([Treatment(status=status)] * tries)
    reply = river.deliver(stack.vercel.url, delivery)
    assert (reply.status, reply.json) == (503, {"error": "Callback not taken yet"})
    assert int(reply.headers["Retry-After"]) > 0
    assert until(lambda: stack.rows(c)[0]["callback_error"] is not None)
    (row,) = stack.rows(c)
    assert row["callback_error"] == f"callback_unavailable: HTTP {status}"
    assert river.deliver(stack.vercel.url, delivery).status == 200
    assert until(lambda: stack.rows(c)[0]["called_back_at"] is not None)
    (row,) = stack.rows(c)
    assert row["callback_error"] is None
    callbacks = river.callbacks_for(c)
    assert [each.answered for each in callbacks] == [status] * tries + [200]
    assert {each.content["task_id"] for each in callbacks} == {f"neon_{row['id']}"}


@pytest.mark.parametrize(
    "treatment",
    [
        Treatment(status=404),
        Treatment(status=422),
        Treatment(status=302, headers={"Location": "http://127.0.0.1:1/"}),
        Treatment(status=308, headers={"Location": "https://evil.test/"}),
    ],
    ids=lambda treatment: str(treatment.status),
)
def test_a_callback_that_is_refused_for_good(stack: Stack, treatment: Treatment) -> None:
    c, river = new_channel(), stack.modelriver
    delivery = river.sign(river.event(MOVIE, channel_id=c))
    river.planned[c].append(treatment)
    reply = river.deliver(stack.vercel.url, delivery)
    assert (reply.status, reply.json) == (200, RECEIVED)
    assert until(lambda: stack.rows(c)[0]["callback_error"] is not None)
    (row,) = stack.rows(c)
    assert row["callback_error"] == f"callback_refused: HTTP {treatment.status}"
    assert river.deliver(stack.vercel.url, delivery).status == 200
    assert len(river.callbacks_for(c)) == 1


def test_without_the_schema(
    modelriver: ModelRiver, postgres: Postgres, empty_database: str
) -> None:
    c = new_channel()
    with Vercel({**modelriver.settings, "DATABASE_URL": postgres.url(empty_database)}) as vercel:
        delivery = modelriver.sign(modelriver.event(MOVIE, channel_id=c))
        reply = modelriver.deliver(vercel.url, delivery)
        assert (reply.status, reply.json) == (503, {"error": "Database unavailable"})
        assert int(reply.headers["Retry-After"]) > 0
        assert modelriver.callbacks_for(c) == []

        late = modelriver.sign(
            modelriver.event(MOVIE, channel_id=c, timestamp=int(time.time()) - 160)
        )
        assert modelriver.deliver(vercel.url, late).status == 503
        assert until(lambda: '"reason":"42P01"' in "".join(vercel.log))
    (told,) = modelriver.callbacks_for(c)
    assert told.content["error"] == "processing_failed"


def test_an_unreachable_database(modelriver: ModelRiver) -> None:
    url = f"postgresql://user:dbsecret@127.0.0.1:{free_port()}/db"
    with Vercel({**modelriver.settings, "DATABASE_URL": url}) as vercel:
        reply = modelriver.deliver(vercel.url, modelriver.sign(modelriver.event(MOVIE)))
        assert reply.status == 503
        assert until(lambda: "connection refused" in "".join(vercel.log))
        assert "dbsecret" not in "".join(vercel.log)


NAMES = ("MODELRIVER_WEBHOOK_SECRET", "MODELRIVER_API_KEY", "DATABASE_URL")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, "") for name in NAMES),
        ("DATABASE_URL", "mysql://user:dbsecret@host/db"),
        ("DATABASE_URL", "postgresql://user:dbsecret@host/db?nonsense=1"),
        ("MODELRIVER_CALLBACK_ORIGINS", "dbsecret"),
    ],
)
def test_a_misconfigured_deployment(modelriver: ModelRiver, name: str, value: str) -> None:
    good = {**modelriver.settings, "DATABASE_URL": "postgresql://user@127.0.0.1:1/db"}
    with Vercel({**good, name: value}) as vercel:
        reply = modelriver.deliver(vercel.url, modelriver.sign(modelriver.event(MOVIE)))
        assert (reply.status, reply.json) == (500, {"error": "Server misconfigured"})
        assert until(lambda: len(vercel.log) >= 2)
        for line in vercel.log:
            entry = json.loads(line)
            assert entry["outcome"] == "misconfigured"
            assert entry["reason"].startswith(f"{name} ")
        assert "dbsecret" not in "".join(vercel.log)


def test_both_secrets_of_a_rotation(
    modelriver: ModelRiver, pgbouncer: PgBouncer, database: str
) -> None:
    settings = {**modelriver.settings, "DATABASE_URL": pgbouncer.url(database)}
    settings["MODELRIVER_WEBHOOK_SECRET"] = f"newer {modelriver.secret}"
    with Vercel(settings) as vercel, ModelRiver(secret="newer") as newer:
        for signer in (modelriver, newer):
            payload = modelriver.event(MOVIE)
            assert modelriver.deliver(vercel.url, signer.sign(payload)).status == 200


@settings(max_examples=75)
@given(body=st.binary(), cut=st.integers(0, 400), flip=st.integers(0, 3000))
def test_no_mangled_body_is_without_a_defined_answer(
    stack: Stack, body: bytes, cut: int, flip: int
) -> None:
    """Signed all the same, so that it reaches the parser."""
    payload = stack.modelriver.event({"title": "mangled"}, channel_id=new_channel())
    whole = json.dumps(payload).encode()
    mangled = bytearray(whole)
    mangled[flip % len(whole)] ^= 1 << (flip % 8)
    for text in (body, whole[:cut], bytes(mangled), whole[:cut] + body + whole[cut:]):
        reply = deliver(stack, text)
        assert reply.status in {200, 400}
        assert reply.json in (RECEIVED, {"error": "Invalid body"})


@settings(max_examples=50)
@given(
    ai_result=json_values,
    members=st.dictionaries(
        st.sampled_from(["event", "meta", "customer_data", "timestamp"]), json_values
    ),
)
def test_no_odd_event_is_lost(stack: Stack, ai_result: Json, members: dict[str, Json]) -> None:
    c = new_channel()
    payload = stack.modelriver.event(ai_result, channel_id=c, **members)
    assert deliver(stack, json.dumps(payload).encode()).status == 200
    assert len(stack.rows(c)) == 1
    assert stack.modelriver.callbacks_for(c)[-1].problems == ()


def test_vercel_files_log_line_and_callback_under_the_request(stack: Stack) -> None:
    """The callback is made on another thread, and belongs to its invocation all the same."""
    delivery = stack.modelriver.sign(stack.modelriver.event(MOVIE, channel_id=new_channel()))
    invocation = {"x-vercel-internal-invocation-id": new_channel()}
    delivery = replace(delivery, headers={**delivery.headers, **invocation})
    assert stack.modelriver.deliver(stack.vercel.url, delivery).status == 200

    def kinds() -> set[object]:
        found = set()
        for message in list(stack.vercel.messages):
            payload = message.get("payload")
            context = payload.get("context") if isinstance(payload, dict) else None
            ours = invocation["x-vercel-internal-invocation-id"]
            if isinstance(context, dict) and context["invocationId"] == ours:
                found.add(message["type"])
        return found

    assert until(lambda: kinds() == {"handler-started", "metric", "log", "end"})


def test_one_round_trip_before_the_callback_and_one_for_the_note(
    modelriver: ModelRiver, pgbouncer: PgBouncer, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[int] = []
    monkeypatch.setattr(
        modelriver, "on_callback", lambda _: counted.append(pgbouncer.statements(database))
    )
    environment = {**modelriver.settings, "DATABASE_URL": pgbouncer.url(database)}
    with Vercel(environment) as vercel:
        delivery = modelriver.sign(modelriver.event(MOVIE))
        assert modelriver.deliver(vercel.url, delivery).status == 200
        assert until(lambda: len(vercel.log) == 1)
        assert counted == [1]
        assert pgbouncer.statements(database) == 2
        assert modelriver.deliver(vercel.url, delivery).status == 200
        assert until(lambda: len(vercel.log) == 2)
        assert pgbouncer.statements(database) == 3


def test_a_redelivery_is_called_back_with_what_is_stored(stack: Stack) -> None:
    c, river = new_channel(), stack.modelriver
    river.planned[c].append(Treatment(status=401))
    assert deliver(stack, river.event(MOVIE, channel_id=c)).status == 503
    assert until(lambda: stack.rows(c)[0]["callback_error"] is not None)
    other = river.event({"title": "other"}, channel_id=c, callback_url=river.callback_url("other"))
    assert deliver(stack, other).status == 200
    first, second = (each.content["data"] for each in river.callbacks_for(c))
    assert first == second
    assert river.callbacks_for("other") == []


def test_no_log_line_and_no_answer_tells_a_secret(stack: Stack) -> None:
    c = new_channel()
    content: Json = {"title": "SENTINEL-CONTENT", "body": "SENTINEL-CONTENT"}
    stack.modelriver.planned[c].append(Treatment(status=404))
    deliver(stack, stack.modelriver.event(content, channel_id=c))
    assert until(lambda: c in "".join(stack.vercel.log))
    lines = "".join(stack.vercel.log)
    for secret in ("SENTINEL", stack.modelriver.secret, stack.modelriver.api_key, "postgresql://"):
        assert secret not in lines
    for line in stack.vercel.log:
        assert set(json.loads(line)) <= {
            "outcome",
            "reason",
            "channel",
            "event",
            "age",
            "ms",
            "note",
            "told",
        }
