import hashlib
import hmac
import json
from pathlib import Path
from typing import TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.errors import InvalidSignature
from lib.signature import MAX_AGE, MAX_AHEAD, SignedDocument, verify

NOW = 1_767_616_500


class Vector(TypedDict):
    name: str
    secrets: list[str]
    headers: dict[str, str]
    body: str
    now: int
    valid: bool


VECTORS: list[Vector] = json.loads(
    Path(__file__).with_name("signature_vectors.json").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_known_answers(vector: Vector) -> None:
    body = vector["body"].encode()
    headers = {name.lower(): value for name, value in vector["headers"].items()}
    secrets = [secret.encode() for secret in vector["secrets"]]
    if vector["valid"]:
        signed = verify(body, headers, secrets, vector["now"])
        assert signed.text in body
    else:
        with pytest.raises(InvalidSignature):
            verify(body, headers, secrets, vector["now"])


def sign(message: bytes, secret: bytes = b"secret") -> str:
    return hmac.new(secret, message, hashlib.sha256).hexdigest()


def timestamped(message: bytes, at: int = NOW) -> dict[str, str]:
    return {
        "x-modelriver-timestamp": str(at),
        "x-modelriver-signature": sign(f"{at}.".encode() + message),
    }


def test_the_documented_scheme_covers_the_whole_body() -> None:
    signed = verify(b'{"data": 1}', {"mr-signature": sign(b'{"data": 1}')}, [b"secret"], NOW)
    assert signed == SignedDocument(b'{"data": 1}', envelope=None, is_stale=False)


def test_a_signature_over_data_covers_data_alone() -> None:
    body = b'{"channel_id": "c", "data" : {"a": 1.0} , "callback_url": "u"}'
    signed = verify(body, timestamped(b'{"a": 1.0}'), [b"secret"], NOW)
    assert signed.text == b'{"a": 1.0}'
    assert signed.envelope == b'{"channel_id": "c", "data" : null , "callback_url": "u"}'


def test_data_given_twice_is_refused() -> None:
    for body in (b'{"data": 1, "data": 2}', b'{"d\\u0061ta": 2, "data": 1}'):
        for message in (b"1", b"2"):
            with pytest.raises(InvalidSignature):
                verify(body, timestamped(message), [b"secret"], NOW)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"\xff", b'{"data"1', b'{"data":' + b"[" * 100_000, b"[" * 100_000]
)
def test_a_body_that_is_no_object_is_refused_and_no_error(body: bytes) -> None:
    with pytest.raises(InvalidSignature):
        verify(body, timestamped(b"1"), [b"secret"], NOW)


def test_thousands_of_members_around_data_are_not_looked_at() -> None:
    body = b"{" + b'"":0,' * 5000 + b'"data":1}'
    with pytest.raises(InvalidSignature):
        verify(body, timestamped(b"1"), [b"secret"], NOW)
    assert verify(body, timestamped(body), [b"secret"], NOW).envelope is None


@pytest.mark.parametrize("age", [-MAX_AHEAD, MAX_AGE])
def test_a_signature_over_data_is_taken_as_long_as_redeliveries_come(age: int) -> None:
    assert verify(b'{"data":1}', timestamped(b"1", NOW - age), [b"secret"], NOW).text == b"1"


@pytest.mark.parametrize("age", [-MAX_AHEAD - 1, MAX_AGE + 1])
def test_a_signature_over_data_is_not_taken_for_ever(age: int) -> None:
    with pytest.raises(InvalidSignature):
        verify(b'{"data":1}', timestamped(b"1", NOW - age), [b"secret"], NOW)


@pytest.mark.parametrize("age", [-10 * MAX_AHEAD, 100 * MAX_AGE])
def test_a_signature_over_the_whole_body_is_taken_at_any_age(age: int) -> None:
    body = b'{"data":1}'
    signed = verify(body, timestamped(body, NOW - age), [b"secret"], NOW)
    assert signed == SignedDocument(body, is_stale=True)


@pytest.mark.parametrize(
    "timestamp", ["", " 1767616500", "+1767616500", "1e9", "\uff19", "1" * 5000]
)
def test_a_timestamp_that_is_no_number_is_refused(timestamp: str) -> None:
    headers = {
        "x-modelriver-timestamp": timestamp,
        "x-modelriver-signature": sign(f"{timestamp}.".encode() + b"{}"),
    }
    with pytest.raises(InvalidSignature):
        verify(b"{}", headers, [b"secret"], NOW)


def test_an_upper_case_signature_is_refused() -> None:
    with pytest.raises(InvalidSignature):
        verify(b"{}", {"mr-signature": sign(b"{}").upper()}, [b"secret"], NOW)


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, "no signature matches, and there is no timestamp"),
        ({"x-modelriver-timestamp": str(NOW)}, "no signature matches"),
        (timestamped(b"1", NOW - MAX_AGE - 1), "signed too long ago, or ahead of our clock"),
    ],
)
def test_the_reason_tells_what_is_wrong(headers: dict[str, str], reason: str) -> None:
    with pytest.raises(InvalidSignature) as caught:
        verify(b'{"data":1}', headers, [b"secret"], NOW)
    assert caught.value.reason == reason


def test_a_signature_that_is_no_text_is_refused() -> None:
    with pytest.raises(InvalidSignature):
        verify(b"{}", {"mr-signature": "\udcff"}, [b"secret"], NOW)


def test_a_signature_by_no_secret_at_all_is_refused() -> None:
    with pytest.raises(InvalidSignature):
        verify(b"{}", {"mr-signature": sign(b"{}", b"")}, [], NOW)


@given(
    st.binary(),
    st.dictionaries(
        st.sampled_from(["mr-signature", "x-modelriver-signature", "x-modelriver-timestamp"]),
        st.text() | st.just(str(NOW)),
    ),
)
def test_whatever_comes_unsigned_is_refused(body: bytes, headers: dict[str, str]) -> None:
    with pytest.raises(InvalidSignature):
        verify(body, headers, [b"secret"], NOW)
