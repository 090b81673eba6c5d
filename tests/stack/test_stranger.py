"""Somebody who knows a captured delivery, but no secret, gains nothing."""

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from lib.jsontext import Json
from lib.local.standins.modelriver import Callback, Delivery, ModelRiver
from lib.local.standins.stack import Stack
from tests.support import new_channel

MOVIE: Json = {"title": "Inception", "description": "Dreams."}


@pytest.fixture
def captured(stack: Stack) -> Delivery:
    """A delivery whose signature covers `data` alone, the weaker of the two; delivered already."""
    river = stack.modelriver
    delivery = river.sign(river.nested(river.event(MOVIE, channel_id=new_channel())), "timestamped")
    assert river.deliver(stack.vercel.url, delivery).status == 200
    return delivery


@pytest.fixture
def elsewhere() -> Iterator[ModelRiver]:
    """A host of the stranger's."""
    with ModelRiver() as host:
        yield host
        assert host.connections == 0


@pytest.fixture(autouse=True)
def _nothing_gained(stack: Stack, captured: Delivery, elsewhere: ModelRiver) -> Iterator[None]:
    """Whatever the test sends: no row more, none changed, no callback, no other host asked."""

    def state() -> tuple[list[dict[str, object]], int]:
        query = (
            "SELECT id, title, body, ai_data, metadata, callback_url FROM ai_content ORDER BY id"
        )
        return stack.connection.execute(query).fetchall(), len(stack.modelriver.callbacks)

    before = state()
    yield
    assert state() == before


def envelope(delivery: Delivery) -> dict[str, Json]:
    document: dict[str, Json] = json.loads(delivery.body)
    return document


def send(stack: Stack, delivery: Delivery, document: Json | bytes) -> int:
    """The captured headers around another body."""
    body = document if isinstance(document, bytes) else compact(document)
    return stack.modelriver.deliver(stack.vercel.url, replace(delivery, body=body)).status


def compact(document: Json) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def test_replayed(stack: Stack, captured: Delivery) -> None:
    for _ in range(3):
        assert send(stack, captured, captured.body) == 200


def test_replayed_with_another_callback_url(
    stack: Stack, captured: Delivery, elsewhere: ModelRiver
) -> None:
    for url in (elsewhere.callback_url("x"), stack.modelriver.callback_url("x"), 7, None):
        assert send(stack, captured, {**envelope(captured), "callback_url": url}) == 200


def test_replayed_with_members_around_the_signed_data(stack: Stack, captured: Delivery) -> None:
    forged: dict[str, Json] = {
        "event": "forged",
        "ai_response": {"data": {"title": "forged"}},
        "customer_data": {"category": "forged"},
        "meta": {"model": "forged"},
    }
    for kind in ("task.ai_generated", "task.completed", None):
        assert send(stack, captured, {**forged, **envelope(captured), "type": kind}) == 200


def test_data_given_twice(stack: Stack, captured: Delivery) -> None:
    inner = {
        "type": "task.ai_generated",
        "event": "e",
        "ai_response": {"data": {"title": "forged"}},
    }
    forged = b'"data":' + compact(inner)  # type: ignore[arg-type]
    assert send(stack, captured, captured.body[:-1] + b"," + forged + b"}") == 401
    assert send(stack, captured, b"{" + forged + b"," + captured.body[1:]) == 401
    assert (
        send(
            stack,
            captured,
            b"{" + forged.replace(b"data", b"d\\u0061ta") + b"," + captured.body[1:],
        )
        == 401
    )


def test_data_altered(stack: Stack, captured: Delivery) -> None:
    assert send(stack, captured, captured.body.replace(b"Inception", b"inception")) == 401
    assert send(stack, captured, captured.body.replace(b'"data":{', b'"data": {', 1)) == 200
    assert send(stack, captured, captured.body.replace(b'"data":{"', b'"data":{ "', 1)) == 401


def test_signatures_in_each_others_headers(stack: Stack, captured: Delivery) -> None:
    """The timestamped signature is none of the documented scheme, and the other way round."""
    signature = captured.headers["X-ModelRiver-Signature"]
    other = {"mr-signature": signature, "mr-timestamp": captured.headers["X-ModelRiver-Timestamp"]}
    assert send(stack, replace(captured, headers=other), captured.body) == 401
    documented = stack.modelriver.sign(envelope(captured))
    swapped = {
        "X-ModelRiver-Signature": documented.headers["mr-signature"],
        "X-ModelRiver-Timestamp": documented.headers["mr-timestamp"],
    }
    assert send(stack, replace(captured, headers=swapped), captured.body) == 401


def test_the_prefix_of_the_timestamped_scheme_is_no_way_around(
    stack: Stack, captured: Delivery
) -> None:
    """What was signed is "<timestamp>.<data>"; sent as a body, the documented scheme covers it."""
    data = captured.body[
        captured.body.index(b'"data":') + 7 : captured.body.rindex(b',"callback_url"')
    ]
    text = captured.headers["X-ModelRiver-Timestamp"].encode() + b"." + data
    headers = {"mr-signature": captured.headers["X-ModelRiver-Signature"]}
    assert send(stack, replace(captured, headers=headers), text) == 400


def test_with_a_fresh_timestamp_of_the_strangers(stack: Stack, captured: Delivery) -> None:
    later = str(int(captured.headers["X-ModelRiver-Timestamp"]) + 1)
    headers = {**captured.headers, "X-ModelRiver-Timestamp": later}
    assert send(stack, replace(captured, headers=headers), captured.body) == 401


def test_a_callback_sent_back_to_us(stack: Stack, captured: Delivery) -> None:
    """Our own callback, reflected: it carries no signature, and the key is none."""
    (callback,) = stack.modelriver.callbacks_for(str(envelope(captured)["channel_id"]))
    reflected = Delivery(dict(_without_host(callback)), compact(dict(callback.content)))
    assert stack.modelriver.deliver(stack.vercel.url, reflected).status == 401


def _without_host(callback: Callback) -> dict[str, str]:
    unwanted = {"host", "content-length", "connection"}
    return {name: value for name, value in callback.headers.items() if name not in unwanted}
