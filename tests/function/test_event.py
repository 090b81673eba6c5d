import hashlib
import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.errors import InvalidBody, InvalidSignature
from lib.event import MAX_KEY, AiGenerated, read
from lib.jsontext import Json
from lib.signature import STALE, SignedDocument
from tests.support import json_values

DOCUMENTED: dict[str, Json] = {
    "type": "task.ai_generated",
    "event": "new_movie_suggestion",
    "channel_id": "c-1",
    "ai_response": {"data": {"title": "Inception"}},
    "callback_url": "https://api.modelriver.com/v1/callback/c-1",
    "customer_data": {"category": "movies"},
    "meta": {"provider": "openai", "model": "gpt-4o"},
    "timestamp": "2026-01-05T12:34:56.789Z",
}
BESIDE = ("channel_id", "callback_url", "timestamp")
NESTED: dict[str, Json] = {
    **{name: DOCUMENTED[name] for name in BESIDE},
    "data": {name: value for name, value in DOCUMENTED.items() if name not in BESIDE},
}
BARE: dict[str, Json] = {
    "status": "success",
    "channel_id": "c-1",
    "callback_url": "https://api.modelriver.com/v1/callback/c-1",
    "meta": {"model": "gpt-4o"},
    "customer_data": {"category": "movies"},
    "data": {"title": "Inception"},
}


def whole(document: Json, headers: Mapping[str, str] | None = None) -> AiGenerated | None:
    """As read where the whole body is signed."""
    return read(SignedDocument(json.dumps(document).encode()), headers or {})


def data_only(
    document: Mapping[str, Json], headers: Mapping[str, str] | None = None
) -> AiGenerated | None:
    """As read where only `data` is signed."""
    envelope = {**document, "data": None}
    return read(
        SignedDocument(json.dumps(document["data"]).encode(), json.dumps(envelope).encode()),
        headers or {},
    )


def seen(event: AiGenerated | None) -> AiGenerated:
    assert event is not None
    return event


def test_documented() -> None:
    assert whole(DOCUMENTED) == AiGenerated(
        channel_id="c-1",
        event="new_movie_suggestion",
        ai_result={"title": "Inception"},
        ai_failed=False,
        customer_data={"category": "movies"},
        meta={"provider": "openai", "model": "gpt-4o"},
        callback_url="https://api.modelriver.com/v1/callback/c-1",
        timestamp=1767616496.789,
    )


def test_nested_is_the_same() -> None:
    assert whole(NESTED) == whole(DOCUMENTED)


def test_nested_with_only_data_signed_lacks_what_is_beside_it() -> None:
    event = seen(data_only(NESTED))
    assert event.timestamp is None
    assert event.ai_result == {"title": "Inception"}
    assert event.channel_id == "c-1"


def test_nested_with_all_inside() -> None:
    assert data_only({"data": DOCUMENTED}) == whole(DOCUMENTED)


def test_what_is_signed_goes_before_what_is_beside() -> None:
    event = data_only({"data": DOCUMENTED, "channel_id": "x", "callback_url": "https://x.test/"})
    assert event == whole(DOCUMENTED)


def test_bare() -> None:
    event = seen(whole(BARE))
    assert event.event is None
    assert event.ai_result == {"title": "Inception"}
    assert event.customer_data == {"category": "movies"}
    assert event.meta == {"model": "gpt-4o"}


def test_bare_with_only_data_signed_believes_nothing_beside_it() -> None:
    event = seen(data_only({**BARE, "type": "task.completed", "event": "e"}))
    assert event.event is None
    assert event.ai_result == {"title": "Inception"}
    assert event.customer_data is None
    assert event.meta == {}
    assert event.channel_id == "c-1"


def test_bare_content_is_not_taken_for_an_envelope() -> None:
    result: Json = {"type": "recipe", "callback_url": "https://x.test/", "channel_id": "mine"}
    for event in (whole({**BARE, "data": result}), data_only({**BARE, "data": result})):
        assert seen(event).ai_result == result
        assert seen(event).channel_id == "c-1"
        assert seen(event).callback_url == BARE["callback_url"]


def test_bare_without_data_is_stored_too() -> None:
    assert seen(whole({"channel_id": "c", "callback_url": "https://x.test/"})).ai_result is None


@pytest.mark.parametrize(
    ("ai_response", "ai_result"),
    [
        ({"data": {"a": 1}}, {"a": 1}),
        ({"data": None}, None),
        ({"data": "text"}, "text"),
        ({"data": {"data": 1}}, {"data": 1}),
        ({"choices": []}, {"choices": []}),
        ("text", "text"),
        ([1], [1]),
        (7, 7),
        (None, None),
    ],
)
def test_ai_result_of_any_shape(ai_response: Json, ai_result: Json) -> None:
    assert seen(whole({**DOCUMENTED, "ai_response": ai_response})).ai_result == ai_result


def test_an_envelope_without_a_type_is_not_lost() -> None:
    untyped = {name: value for name, value in DOCUMENTED.items() if name != "type"}
    assert whole(untyped) == whole(DOCUMENTED)
    assert seen(whole({**BARE, "data": {"type": "task.todo"}})).ai_result == {"type": "task.todo"}


def test_an_ai_result_that_is_elsewhere_is_not_lost() -> None:
    document = {**BARE, "type": "task.ai_generated"}
    assert seen(whole(document)).ai_result == {"title": "Inception"}


@pytest.mark.parametrize(
    "document",
    [
        {**DOCUMENTED, "type": "task.completed"},
        {**DOCUMENTED, "type": 7},
        {**NESTED, "type": "task.completed"},
        {**NESTED, "data": {"type": "task.completed"}},
        {**DOCUMENTED, "callback_url": None},
        {**DOCUMENTED, "callback_url": ""},
        {"type": "task.completed", "data": {"summary": "…"}},
        {"data": {"title": "Inception"}},
        {},
    ],
)
def test_nothing_to_store(document: dict[str, Json]) -> None:
    assert whole(document) is None


def test_nothing_to_store_where_data_says_so() -> None:
    assert data_only({**NESTED, "data": {"type": "task.completed"}}) is None
    assert data_only({"data": {"title": "Inception"}}) is None


@pytest.mark.parametrize("document", [None, [], [DOCUMENTED], "text", 7, True])
def test_a_body_that_is_no_object_is_invalid(document: Json) -> None:
    with pytest.raises(InvalidBody):
        whole(document)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [("c", "c"), (7, "7"), (1.5, "1.5"), (None, "h"), ("", "h"), (True, "h"), ([], "h"), ({}, "h")],
)
def test_channel_id(sent: Json, kept: str) -> None:
    assert (
        seen(whole({**DOCUMENTED, "channel_id": sent}, {"mr-channel-id": "h"})).channel_id == kept
    )


def test_without_any_channel_a_redelivery_still_has_the_same_id() -> None:
    document = {**DOCUMENTED, "channel_id": None}
    first, again = seen(whole(document)), seen(whole(document))
    other = seen(whole({**document, "event": "other"}))
    assert first.channel_id == again.channel_id != other.channel_id
    assert first.channel_id.startswith("sha256:")


def test_a_header_cannot_bring_what_postgres_does_not_store() -> None:
    document = {**DOCUMENTED, "channel_id": None}
    assert seen(whole(document, {"mr-channel-id": "a\0b"})).channel_id == "a\ufffdb"


@pytest.mark.parametrize(
    ("sent", "kept"), [("u", "u"), (7, "7"), (False, "false"), ({"a": 1}, '{"a":1}'), ([], "[]")]
)
def test_callback_url_of_any_shape_says_that_somebody_waits(sent: Json, kept: str) -> None:
    assert seen(whole({**DOCUMENTED, "callback_url": sent})).callback_url == kept


@pytest.mark.parametrize("sent", [None, ""])
def test_callback_url_from_the_header(sent: Json) -> None:
    headers = {"x-modelriver-callback-url": "https://h.test/"}
    assert (
        seen(whole({**DOCUMENTED, "callback_url": sent}, headers)).callback_url == "https://h.test/"
    )


@pytest.mark.parametrize(("sent", "kept"), [("e", "e"), (None, None), (7, "7"), (["e"], '["e"]')])
def test_event_name(sent: Json, kept: str | None) -> None:
    assert seen(whole({**DOCUMENTED, "event": sent})).event == kept


@pytest.mark.parametrize(
    ("sent", "seconds"),
    [
        (1767616496, 1767616496.0),
        (1767616496.5, 1767616496.5),
        ("2026-01-05T12:34:56Z", 1767616496.0),
        ("2026-01-05T13:34:56+01:00", 1767616496.0),
        ("2026-01-05T12:34:56", 1767616496.0),
        ("1767616496", None),
        ("yesterday", None),
        (True, None),
        (None, None),
        ([], None),
        (10**400, None),
        (1767616496789, 1767616496.789),
        (1767616496789.5, 1767616496.7895),
        (100_000_000_000, None),
        (978307199, None),
        (978307200, 978307200.0),
        (4133980799, 4133980799.0),
        (4133980800, None),
        (4133980800_000, None),
        (0, None),
        (-1767616496, None),
        ("0001-01-01T00:00:00+23:59", None),
        ("9999-12-31T23:59:59-23:59", None),
        ("2000-12-31T23:59:59Z", None),
    ],
)
def test_timestamp(sent: Json, seconds: float | None) -> None:
    event = seen(whole({**DOCUMENTED, "timestamp": sent}))
    assert event.timestamp == seconds
    assert event.age(1767616500.0) == (None if seconds is None else 1767616500.0 - seconds)


FAILED: dict[str, Json] = {"data": None, "error": {"message": "Provider request failed"}}
FAILED_INSIDE: dict[str, Json] = {"event": "e", "ai_response": FAILED}
ENVELOPES = {"documented": DOCUMENTED, "nested": NESTED, "bare": BARE}


@pytest.mark.parametrize(
    "document",
    [
        {**DOCUMENTED, "ai_response": FAILED},
        {**DOCUMENTED, "ai_response": {"error": "no answer"}},
        {**DOCUMENTED, "ai_response": {"data": None, "error": {}}},
        {**DOCUMENTED, "ai_response": None, "error": "no answer"},
        {**BARE, **FAILED},
        {**NESTED, "data": FAILED_INSIDE},
        {**NESTED, "data": {"type": "task.ai_generated", "data": None, "error": {"code": 504}}},
        {"callback_url": "https://x.test/", "error": "no answer"},
    ],
)
def test_where_the_ai_failed_there_is_no_result(document: dict[str, Json]) -> None:
    event = seen(whole(document))
    assert event.ai_failed
    assert event.ai_result is None


def test_where_the_ai_failed_the_error_may_stand_beside_a_signed_null() -> None:
    assert seen(data_only({**BARE, **FAILED})).ai_failed


@pytest.mark.parametrize(
    "ai_response",
    [
        {"data": {"error": "a member of the result"}},
        {"data": None},
        {"data": None, "error": None},
        {"data": "", "error": "beside a result"},
        {"data": 0, "error": "beside a result"},
        None,
    ],
)
def test_a_result_that_is_there_and_a_null_without_an_error_are_no_failure(
    ai_response: Json,
) -> None:
    assert not seen(whole({**DOCUMENTED, "ai_response": ai_response})).ai_failed


@pytest.mark.parametrize("name", ["callback_url", "channel_id"])
@pytest.mark.parametrize("envelope", ENVELOPES.values(), ids=ENVELOPES)
def test_channel_and_callback_url_are_found_wherever_they_stand(
    envelope: Mapping[str, Json], name: str
) -> None:
    without: dict[str, Json] = {n: value for n, value in envelope.items() if n != name}
    inner = without.get("data", {})
    assert isinstance(inner, dict)
    data: dict[str, Json] = {**inner, name: "inside"}
    inside: dict[str, Json] = {**without, "data": data}
    header = {"mr-channel-id": "header", "x-modelriver-callback-url": "header"}
    assert getattr(seen(whole({**inside, name: "beside"}, header)), name) == (
        "inside" if envelope is NESTED else "beside"
    )
    assert getattr(seen(whole(inside, header)), name) == "inside"
    assert getattr(seen(whole(without, header)), name) == "header"


@pytest.mark.parametrize("name", ["customer_data", "cached_data"])
def test_customer_data_by_either_name(name: str) -> None:
    document = {each: value for each, value in DOCUMENTED.items() if each != "customer_data"}
    assert seen(whole({**document, name: {"a": 1}})).customer_data == {"a": 1}


def test_meta_inside_the_response() -> None:
    document: dict[str, Json] = {
        **DOCUMENTED,
        "ai_response": {"data": {}, "meta": {"used_model": "m"}},
    }
    assert seen(whole(document)).meta == DOCUMENTED["meta"]
    assert seen(whole({**document, "meta": {}})).meta == {"used_model": "m"}
    del document["meta"]
    assert seen(whole(document)).meta == {"used_model": "m"}
    raw: dict[str, Json] = {"choices": [], "meta": {"used_model": "m"}}
    assert seen(whole({**document, "ai_response": raw})).meta == {"used_model": "m"}


def test_an_envelope_is_known_by_its_ai_response() -> None:
    data: Json = {"event": "e", "ai_response": {"data": {"a": 1}}}
    for event in (whole({**NESTED, "data": data}), data_only({**NESTED, "data": data})):
        assert (seen(event).event, seen(event).ai_result) == ("e", {"a": 1})


def test_a_type_on_top_with_the_result_in_data() -> None:
    event = seen(whole({**BARE, "type": "task.ai_generated", "event": "e"}))
    assert (event.event, event.ai_result) == ("e", {"title": "Inception"})


def test_an_old_signature_counts_only_where_it_covers_a_channel() -> None:
    """The text of a captured `data`, sent as a body of its own, verifies at any age."""
    without = {name: value for name, value in DOCUMENTED.items() if name != "channel_id"}
    headers = {"mr-channel-id": "another"}
    for document in (DOCUMENTED, {**without, "data": {"channel_id": "c-1"}}):
        stale = SignedDocument(json.dumps(document).encode(), is_stale=True)
        assert seen(read(stale, headers)).channel_id == "c-1"
    with pytest.raises(InvalidSignature):
        read(SignedDocument(json.dumps(without).encode(), is_stale=True), headers)


def test_without_any_channel_where_to_call_back_tells_equal_results_apart() -> None:
    body = {"data": "yes", "callback_url": "https://x.test/1"}
    one, other = (
        seen(data_only(body)),
        seen(data_only({**body, "callback_url": "https://x.test/2"})),
    )
    assert one.channel_id != other.channel_id
    assert one.channel_id == seen(data_only(body)).channel_id


@pytest.mark.parametrize("name", ["channel_id", "event"])
def test_a_key_that_no_index_holds_is_kept_as_its_digest(name: str) -> None:
    longest, longer = "é" * (MAX_KEY // 2), "é" * (MAX_KEY // 2) + "e"
    assert getattr(seen(whole({**DOCUMENTED, name: longest})), name) == longest
    digest = getattr(seen(whole({**DOCUMENTED, name: longer})), name)
    assert digest == f"sha256:{hashlib.sha256(longer.encode()).hexdigest()}"


@given(st.dictionaries(st.sampled_from([*DOCUMENTED, "data", "status"]), json_values))
def test_no_document_is_too_odd(document: dict[str, Json]) -> None:
    whole({"callback_url": "https://x.test/", **document})
    data_only({"callback_url": "https://x.test/", "data": None, **document})


@pytest.mark.parametrize("nothing", ["", False, None])
@pytest.mark.parametrize("inside", [True, False])
def test_an_error_that_says_nothing_is_none(nothing: Json, inside: bool) -> None:
    response: dict[str, Json] = {"data": None}
    document = {**DOCUMENTED, "ai_response": response}
    (response if inside else document)["error"] = nothing
    assert not seen(whole(document)).ai_failed


def test_a_meta_that_is_no_object_hides_no_other() -> None:
    response: Json = {"data": {"title": "Inception"}, "meta": {"model": "gpt-4o"}}
    document = {**DOCUMENTED, "ai_response": response, "meta": "gpt"}
    assert seen(whole(document)).meta == {"model": "gpt-4o"}


@pytest.mark.parametrize("channel_id", ["", {"of": 1}, True, None])
def test_an_old_signature_counts_only_over_a_channel(channel_id: Json) -> None:
    document = {**DOCUMENTED, "channel_id": channel_id}
    signed = SignedDocument(json.dumps(document).encode(), is_stale=True)
    with pytest.raises(InvalidSignature) as caught:
        read(signed, {"mr-channel-id": "c-1"})
    assert caught.value.reason == STALE


def test_the_reason_of_a_body_that_is_no_object() -> None:
    with pytest.raises(InvalidBody) as caught:
        whole([])
    assert caught.value.reason == "not an object"
