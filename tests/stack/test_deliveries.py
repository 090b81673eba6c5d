"""Whole deliveries as ModelRiver and its sample receivers know them: their row and callback."""

import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Literal, TypedDict

import pytest

from lib.jsontext import Json
from lib.local.standins.modelriver import Delivery
from lib.local.standins.stack import Stack
from tests.support import new_channel


class Case(TypedDict):
    """Of a known answer, what is sent and what must come of it."""

    name: str
    sign: Literal["documented", "timestamped data", "timestamped body"]
    age: int
    headers: dict[str, str]
    body: dict[str, Json]
    answer: int
    row: dict[str, Json] | None
    callback: dict[str, Json] | None


CASES: list[Case] = json.loads(Path(__file__).with_name("deliveries.json").read_text("utf-8"))


def compact(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def signed(case: Case, body: str, headers: dict[str, str], secret: str) -> Delivery:
    message = compact(json.loads(body)["data"]) if case["sign"] == "timestamped data" else body
    if case["sign"] == "documented":
        name, prefix, extra = "mr-signature", "", {}
    else:
        timestamp = str(int(time.time()) - case["age"])
        name, prefix = "X-ModelRiver-Signature", f"{timestamp}."
        extra = {"X-ModelRiver-Timestamp": timestamp}
    signature = hmac.new(secret.encode(), f"{prefix}{message}".encode(), hashlib.sha256)
    return Delivery({**headers, **extra, name: signature.hexdigest()}, body.encode())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_what_comes_of_a_delivery(stack: Stack, case: Case) -> None:
    channel, river = new_channel(), stack.modelriver

    def filled(value: object) -> str:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        return text.replace("{channel}", channel).replace("{origin}", river.origin)

    delivery = signed(case, filled(case["body"]), json.loads(filled(case["headers"])), river.secret)
    for _ in range(2 if case["answer"] == 200 else 1):
        assert river.deliver(stack.vercel.url, delivery).status == case["answer"]

    rows = stack.rows(channel)
    if case["row"] is None:
        assert rows == []
    else:
        (row,) = rows
        expected = json.loads(filled(case["row"]))
        assert {name: row[name] for name in expected} == expected

    callbacks = river.callbacks_for(channel)
    if case["callback"] is None:
        assert callbacks == []
        return
    callback = callbacks[0]
    assert callback.problems == ()
    expected = json.loads(filled(case["callback"]))
    if "error" in expected:
        assert callback.content["error"] == expected["error"]
    else:
        data = callback.content["data"]
        assert isinstance(data, dict)
        assert data["id"] == str(rows[0]["id"])
        ours = {"id", "saved_at"}  # in the place of the AI result's own, should it have them
        assert {name: value for name, value in data.items() if name not in ours} == {
            name: value for name, value in expected["data"].items() if name not in ours
        }
