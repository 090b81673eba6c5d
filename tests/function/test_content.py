import json
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given

from lib.callback import success
from lib.content import TABLE, to_row
from lib.errors import InvalidBody
from lib.event import AiGenerated
from lib.jsontext import Json, dump
from lib.local.standins.postgres import SCHEMA
from tests.support import json_values

EVENT = AiGenerated(
    channel_id="c-1",
    event="new_movie_suggestion",
    ai_result={"title": "Inception", "description": "Dreams.", "year": 2010},
    ai_failed=False,
    customer_data={"user_id": "user_456", "category": "movies"},
    meta={"provider": "openai", "model": "gpt-4o"},
    callback_url="https://api.modelriver.com/v1/callback/c-1",
    timestamp=None,
)


def test_the_table_is_the_schemas() -> None:
    assert f"CREATE TABLE IF NOT EXISTS public.{TABLE} (" in SCHEMA.read_text()


def test_a_row_as_the_reference_fills_it() -> None:
    row = to_row(EVENT)
    assert (row.title, row.body, row.category) == ("Inception", "Dreams.", "movies")
    assert (row.channel_id, row.event_name) == ("c-1", "new_movie_suggestion")
    assert row.callback_url == EVENT.callback_url
    assert json.loads(row.ai_data) == EVENT.ai_result
    assert json.loads(row.metadata) == {
        "user_id": "user_456",
        "category": "movies",
        "ai_model": "gpt-4o",
        "ai_provider": "openai",
    }


@pytest.mark.parametrize("member", [None, "deep"])
def test_what_nests_too_deep_for_a_callback_is_refused_before_it_is_stored(
    member: str | None,
) -> None:
    nested: list[Json] = []
    ai_results: list[Json] = []
    with suppress(InvalidBody):  # where it has a level more than can be written
        while dump(nested):
            ai_results.append({"body": "b", member: nested} if member else nested)
            nested = [nested]
    taken = 0
    for ai_result in ai_results[-5:]:
        try:
            to_row(replace(EVENT, ai_result=ai_result))
        except InvalidBody:
            continue
        dump(success("r-1", "2026-01-05T12:34:57.123Z", TABLE, ai_result))
        taken += 1
    assert 0 < taken < 5


@pytest.mark.parametrize(
    ("ai_result", "title", "body"),
    [
        ({}, "Untitled", ""),
        (None, "Untitled", ""),
        ({"title": None, "description": None}, "Untitled", ""),
        ({"title": "", "description": "", "body": "b"}, "", ""),
        ({"body": "b"}, "Untitled", "b"),
        ({"description": "d", "body": "b"}, "Untitled", "d"),
        ({"title": 7, "body": {"a": "é"}}, "7", '{"a":"é"}'),
        ({"title": ["a"], "body": False}, '["a"]', "false"),
        ("just text", "Untitled", "just text"),
        ([1, "é"], "Untitled", '[1,"é"]'),
        (42, "Untitled", "42"),
        ({"response": "text"}, "Untitled", ""),
        ({"choices": [{"message": {"content": "chat"}}], "body": "b"}, "Untitled", "b"),
        ({"choices": [{"message": {"content": None}}]}, "Untitled", ""),
        ({"choices": []}, "Untitled", ""),
        ({"choices": "none"}, "Untitled", ""),
    ],
)
def test_ai_results_of_any_shape(ai_result: Json, title: str, body: str) -> None:
    row = to_row(replace(EVENT, ai_result=ai_result))
    assert (row.title, row.body) == (title, body)
    assert json.loads(row.ai_data) == ai_result


CHAT: dict[str, Json] = {
    "choices": [{"message": {"role": "assistant", "content": "Plain words."}}, {}]
}
TOOL: Json = {"type": "tool_use", "input": {"text": "no"}}
THOUGHT: Json = {"text": "Hm.", "thought": True}
PARTS: list[Json] = [{"type": "text", "text": "Plain "}, {"type": "text", "text": "words."}]


@pytest.mark.parametrize(
    "answer",
    [
        CHAT,
        {"choices": [{"message": {"content": PARTS}}]},
        {"choices": [{"message": {"content": [*PARTS, {"type": "refusal", "refusal": "no"}]}}]},
        {
            "output": [
                {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "Hm."}]},
                {"type": "message", "content": [{"type": "output_text", "text": "Plain words."}]},
                {"type": "function_call", "arguments": "{}"},
            ]
        },
        {
            "output": [
                {"type": "message", "content": [{"type": "output_text", "text": "Plain "}]},
                {"type": "message", "content": [{"type": "output_text", "text": "words."}]},
            ]
        },
        {"type": "message", "content": [{"type": "thinking", "thinking": "Hm."}, *PARTS]},
        {"content": [*PARTS, TOOL]},
        {"candidates": [{"content": {"parts": [{"text": "Plain "}, {"text": "words."}]}}]},
        {"candidates": [{"content": {"parts": [THOUGHT, *PARTS]}}]},
        {"message": {"role": "assistant", "content": PARTS}},
    ],
)
def test_the_text_of_a_raw_answer_is_the_body(answer: dict[str, Json]) -> None:
    assert to_row(replace(EVENT, ai_result=answer)).body == "Plain words."
    deeper: Json = {"response": answer, "usage": {"total_tokens": 3}}
    assert to_row(replace(EVENT, ai_result=deeper)).body == "Plain words."
    structured: Json = {**answer, "description": "theirs"}
    assert to_row(replace(EVENT, ai_result=structured)).body == "theirs"


@pytest.mark.parametrize(
    "answer",
    [
        {"choices": [{"message": {"content": None, "tool_calls": [{"id": "c"}]}}]},
        {"choices": [{"message": {"content": [{"type": "image_url", "url": "u"}]}}]},
        {"choices": [{"message": "none"}]},
        {"choices": [7]},
        {"content": "a member of a structured result"},
        {"content": [{"type": ["text"], "text": "odd"}, {"type": "tool_use", "name": "n"}]},
        {"content": ["text"]},
        {"candidates": []},
        {"candidates": [{"content": {"parts": [{"functionCall": {"name": "n"}}]}}]},
        {"message": {"content": [{"type": "text", "text": 7}]}},
        {"output": {"content": [{"text": "no list"}]}},
        {"response": {"response": CHAT}},
    ],
)
def test_no_text_is_an_empty_body(answer: dict[str, Json]) -> None:
    assert to_row(replace(EVENT, ai_result=answer)).body == ""


@pytest.mark.parametrize(
    ("customer_data", "category", "kept"),
    [
        (None, "general", {}),
        ({}, "general", {}),
        ({"category": None, "a": None}, "general", {"category": None, "a": None}),
        ({"category": ""}, "", {"category": ""}),
        ({"category": 7}, "7", {"category": 7}),
        (["a"], "general", {"customer_data": ["a"]}),
        ("text", "general", {"customer_data": "text"}),
    ],
)
def test_customer_data_of_any_shape(customer_data: Json, category: str, kept: Json) -> None:
    row = to_row(replace(EVENT, customer_data=customer_data, meta={}))
    assert row.category == category
    assert json.loads(row.metadata) == kept


@pytest.mark.parametrize(
    ("meta", "kept"),
    [
        ({}, {}),
        ({"used_model": "m"}, {"ai_model": "m"}),
        ({"model": "m", "used_model": "u"}, {"ai_model": "m"}),
        ({"model": None, "provider": None}, {}),
        ({"provider": "p", "tokens": 7}, {"ai_provider": "p"}),
        ({"used_provider": "p", "requested_provider": "q"}, {"ai_provider": "p"}),
        ({"test_mode": True}, {"test_mode": True}),
        ({"test_mode": False}, {}),
        ({"test_mode": "no"}, {}),
    ],
)
def test_meta(meta: dict[str, Json], kept: Json) -> None:
    assert json.loads(to_row(replace(EVENT, customer_data=None, meta=meta)).metadata) == kept


@given(json_values, json_values)
def test_no_ai_result_is_too_odd(ai_result: Json, customer_data: Json) -> None:
    row = to_row(replace(EVENT, ai_result=ai_result, customer_data=customer_data))
    assert isinstance(row.title, str)
    assert isinstance(row.body, str)
