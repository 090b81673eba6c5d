import json
import math

import pytest
from hypothesis import given

from lib.errors import InvalidBody
from lib.jsontext import MAX_MEMBERS, Json, coalesce, dump, find_member, parse, to_text
from tests.support import json_values


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'"a\\u0000b"', "a\ufffdb"),
        (b'"\\\\u0000"', "\\u0000"),
        (b'"\\\\\\u0000"', "\\\ufffd"),
        (b'"\\ud83d"', "\ufffd"),
        (b'"\\uDe00 x"', "\ufffd x"),
        (b'"\\ude00\\ud83d"', "\ufffd\ufffd"),
        (b'"\\ud83d\\ud83d\\ude00"', "\ufffd😀"),
        (b'"\\ud83d\\ude00\\n\\u0000"', "😀\n\ufffd"),
        (
            b'{"\\u0000k\\ud800": [{"\\udfff": "\\u0000"}]}',
            {"\ufffdk\ufffd": [{"\ufffd": "\ufffd"}]},
        ),
        ('"盗梦空间 🎬"'.encode(), "盗梦空间 🎬"),
        (b"[1e999, -1e999, 1.5, 12345678901234567890]", [None, None, 1.5, 12345678901234567890]),
        (b'{"a": 1, "a": 2}', {"a": 2}),
    ],
)
def test_parse(text: bytes, value: Json) -> None:
    assert parse(text) == value


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b'{"a": 1,}',
        b"\xef\xbb\xbf{}",
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b'"\x00"',
        b"NaN",
        b"[Infinity]",
        b"[-Infinity]",
        b"1" * 10_000,
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b'"\\ud8zz"',
    ],
)
def test_parse_refuses(text: bytes) -> None:
    with pytest.raises(InvalidBody):
        parse(text)


def test_what_is_nested_too_deep_to_be_written_again_is_refused() -> None:
    value: Json = None
    for _ in range(100_000):
        value = [value]
    with pytest.raises(InvalidBody, match=r"^nested too deep$"):
        dump(value)


def storable(value: Json) -> bool:
    text = json.dumps(value)
    return "\\u0000" not in text and "\\ud" not in text


@given(json_values)
def test_what_parse_gives_is_storable(value: Json) -> None:
    text = dump(parse(json.dumps(value).encode()))
    assert "\x00" not in text
    assert "\\u0000" not in text.replace("\\\\", "")
    text.encode()  # raises on a lone surrogate


@given(json_values.filter(storable))
def test_what_is_storable_is_left_as_it_is(value: Json) -> None:
    assert parse(dump(value).encode()) == value


def test_dump_is_compact_and_never_writes_what_is_no_json() -> None:
    assert dump({"a": ["é", 1.0]}) == '{"a":["é",1.0]}'
    with pytest.raises(ValueError, match="not JSON compliant"):
        dump(math.nan)


def test_to_text() -> None:
    values: list[Json] = ["a", 1, None, ["é"]]
    assert [to_text(each) for each in values] == ["a", "1", "null", '["é"]']


def test_coalesce_falls_back_on_null_and_on_nothing_else() -> None:
    assert coalesce(None, "", "a") == ""
    assert coalesce(None, False, True) is False
    assert coalesce(None, None) is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{}", None),
        (' { "a" : 1 , "data" : {"c": "}é"} , "é": 2 } ', '{"c": "}é"}'),
        ('{"é":0,"d\\u0061ta":1.0}', "1.0"),
        ('{"data":1,"d\\u0061ta":2}', None),
        ('{"note":"\\"data\\": 1","data":[]}', "[]"),
        ('{"a":{"data":1}}', None),
        ('{"data":1', "1"),
        ("", None),
        ("[]", None),
        ('{"data"', None),
        ('{"data":', None),
        ('{"data" 1}', None),
        ('{"data":NaN}', None),
        ('{[]:0,"data":1}', None),
        ('{0:0,"data":1}', None),
        ('{"data":' + "[" * 100_000, None),
    ],
)
def test_find_member(text: str, found: str | None) -> None:
    span = find_member(text.encode(), "data")
    assert (text.encode()[span].decode() if span else None) == found


@pytest.mark.parametrize(("others", "found"), [(MAX_MEMBERS - 1, True), (MAX_MEMBERS, False)])
def test_find_member_after_so_many_and_no_more(others: int, found: bool) -> None:
    members = [f'"{number}":0' for number in range(others)]
    span = find_member(f'{{{",".join(members)},"data":1}}'.encode(), "data")
    assert (span is not None) == found


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"{", "JSONDecodeError"),
        (b"\xff", "UnicodeDecodeError"),
        (b"[" * 100_000, "RecursionError"),
    ],
)
def test_the_reason_tells_what_is_wrong(text: bytes, reason: str) -> None:
    with pytest.raises(InvalidBody) as caught:
        parse(text)
    assert caught.value.reason == reason
