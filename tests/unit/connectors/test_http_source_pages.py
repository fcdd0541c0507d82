"""One answer as a page: every item once, and one bad row alone."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.http_auth_declaration import Words
from connectors.http_declaration import HttpSpec
from connectors.json_text import MAX_DEPTH, depth_of, nests_too_deep
from connectors.sources.http_pages import Page, PageRefused, found_at, page_of, text_of
from connectors.sources.json_lines import LineRefused, parse_object

CANARY = "canary-13800001111"
SPEC = HttpSpec("https://api.example.com/", rows=("data",))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=12,
)
rows = st.lists(st.dictionaries(st.text(max_size=6), values, max_size=4), max_size=5)


def page(body: bytes | str, spec: HttpSpec = SPEC) -> Page:
    return page_of(spec, body if isinstance(body, bytes) else body.encode(), {}, "")


@given(rows)
@settings(max_examples=40)
def test_every_item_is_a_row_and_read_as_json_lines_reads_it(given_rows: list[Any]) -> None:
    """Pages 1: as many, in their order, with numbers as text."""
    found = page(json.dumps({"data": given_rows}))
    assert [found.row(one) for one in found.rows] == [
        parse_object(json.dumps(one)) for one in given_rows
    ]


ODD = [
    ('{"id": 1, "id": 2}', "key_repeated"),
    ('{"id": 1, "x": {"a": 1, "a": 2}}', "key_repeated"),
    ('{"id": NaN}', "not_a_number"),
    ('{"id": [-Infinity]}', "not_a_number"),
    ('{"id": 1e401}', "number_range"),
    ('{"id": 1e999999999}', "number_range"),
    ('{"id": ' + "[" * MAX_DEPTH + "1" + "]" * MAX_DEPTH + "}", "too_deep"),
    ("7", "not_an_object"),
    ("null", "not_an_object"),
    (f'"{CANARY}"', "not_an_object"),
    ("[]", "not_an_object"),
]


@pytest.mark.parametrize(("odd", "rule"), ODD, ids=range(len(ODD)))
def test_a_row_that_cannot_be_read_takes_no_other_with_it(odd: str, rule: str) -> None:
    """Pages 2: its neighbours are read, and what it held is in its text."""
    found = page(f'{{"data": [{{"id": "a"}}, {odd}, {{"id": "b"}}]}}')
    assert [found.row(found.rows[place])["id"] for place in (0, 2)] == ["a", "b"]
    with pytest.raises(LineRefused) as refused:
        found.row(found.rows[1])
    assert refused.value.rule == rule
    assert CANARY not in str(refused.value)
    if "1" in odd and rule != "number_range":
        assert "1" in text_of(found.rows[1])
    assert found.content() != page('{"data": []}').content()


@pytest.mark.parametrize(
    "body",
    [CANARY.encode(), b'{"x": "' + CANARY.encode(), b"\xff\xfe" + CANARY.encode(), b"[" * 5000,
     b"[" * 1_000_000, b'"\\ud800', b'{"data": {"a": "' + CANARY.encode() + b'"}}'],
)  # fmt: skip
def test_what_is_no_page_is_refused_and_not_shown(body: bytes) -> None:
    """Pages 3: by a rule, with a next step."""
    with pytest.raises(PageRefused) as refused:
        page(body)
    assert refused.value.next_step
    assert CANARY not in f"{refused.value} {refused.value.__cause__}"


def test_nothing_is_an_empty_page() -> None:
    """Null where the list belongs, or an empty list; of no body nobody can tell."""
    for body in ('{"data": null}', '{"data": []}'):
        assert list(page(body).rows) == []
    for body in ("", " \n"):
        with pytest.raises(PageRefused, match="page_not_json"):
            page(body)
    assert repr(page(f'{{"data": ["{CANARY}"]}}')).count(CANARY) == 0


@pytest.mark.parametrize(
    ("steps", "found"),
    [
        (("a", "b", 1), (True, "y")),
        (("a", "b", "0"), (True, "x")),
        (("a", "b", 2), (False, None)),
        (("a", "b", "-1"), (False, None)),
        (("a", "0"), (True, None)),
        (("z",), (False, None)),
        (("a", "b", "c"), (False, None)),
        ((), (True, {"a": {"b": ["x", "y"], "0": None}})),
    ],
)
def test_a_path_goes_by_keys_and_indexes(steps: Any, found: Any) -> None:
    """Digits are an index in a list, and a key in an object."""
    assert found_at({"a": {"b": ["x", "y"], "0": None}}, steps) == found


def test_an_answer_counts_where_it_says_so() -> None:
    """A number, a word or a truth at a path."""
    spec = HttpSpec("https://a.example.com/", success=Words(("code",), ("0", "true")))
    for said in ("0", "true", '"0"'):
        with pytest.raises(PageRefused, match="rows_missing"):
            page(f'{{"code": {said}}}', spec)
    for said in ("1", "null", '{"a": 0}', "false"):
        with pytest.raises(PageRefused, match="answer_says_no"):
            page(f'{{"code": {said}}}', spec)


def by_letters(text: str) -> int:
    """The depth, told letter by letter."""
    deepest = depth = 0
    in_text = escaped = False
    for letter in text:
        if escaped:
            escaped = False
        elif in_text:
            escaped, in_text = letter == "\\", letter != '"'
        elif letter == '"':
            in_text = True
        else:
            depth += (letter in "{[") - (letter in "]}")
            deepest = max(deepest, depth)
    return deepest


@given(st.text('[]{}"\\a\n', max_size=60) | values.map(json.dumps))
def test_depth_is_told_as_letter_by_letter(text: str) -> None:
    """In broken text too: a quote that is never closed, a backslash at the end."""
    assert depth_of(text) == by_letters(text)


def test_only_what_nests_too_deep_is_too_deep() -> None:
    """At the limit and above it; brackets in quotes are text."""
    assert not nests_too_deep("[" * MAX_DEPTH)
    assert nests_too_deep("[" * (MAX_DEPTH + 1))
    assert not nests_too_deep('"' + "[" * 999 + '"' + "[]" * 999)
