import json
from dataclasses import replace

import pytest
from hypothesis import given

from lib.content import to_row
from lib.event import AiGenerated
from lib.jsontext import Json
from tests.support import json_values

EVENT = AiGenerated(
    channel_id="c-1",
    event="new_movie_suggestion",
    ai_result={"title": "Inception", "description": "Dreams.", "year": 2010},
    customer_data={"user_id": "user_456", "category": "movies"},
    meta={"provider": "openai", "model": "gpt-4o"},
    callback_url="https://api.modelriver.com/v1/callback/c-1",
    timestamp=None,
)


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
        ({"choices": [{"message": {"content": "chat"}}]}, "Untitled", "chat"),
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
    ],
)
def test_meta(meta: dict[str, Json], kept: Json) -> None:
    assert json.loads(to_row(replace(EVENT, customer_data=None, meta=meta)).metadata) == kept


@given(json_values, json_values)
def test_no_ai_result_is_too_odd(ai_result: Json, customer_data: Json) -> None:
    row = to_row(replace(EVENT, ai_result=ai_result, customer_data=customer_data))
    assert isinstance(row.title, str)
    assert isinstance(row.body, str)
