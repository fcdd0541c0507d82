"""A sender's body, cut into rows."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.errors import Problem
from api.rows import JSON, LINES, rows_of

MOST = 20
_scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
_values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
_blank = st.sampled_from(["", " ", "\n", "\r\n\t "])


@given(st.lists(_values, min_size=1, max_size=MOST), _blank, st.sampled_from(["utf-8", "ascii"]))
def test_a_list_is_cut_where_its_items_end(items: list[Any], blank: str, written: str) -> None:
    """Each row is the text of one item; joined again they are the list."""
    inside = f"{blank},{blank}".join(
        json.dumps(one, ensure_ascii=written == "ascii") for one in items
    )
    body = f"{blank}[{blank}{inside}{blank}]{blank}".encode("utf-8", "surrogatepass")
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return  # a lone surrogate that was not escaped is no UTF-8
    assert [json.loads(row) for row in rows_of(JSON, body, MOST)] == items


@given(st.dictionaries(st.text(), _values, max_size=3), _blank)
def test_what_is_no_list_is_one_row(value: dict[str, Any], blank: str) -> None:
    """One object is one row, blanks around it left out."""
    text = json.dumps(value)
    assert rows_of(JSON, f"{blank}{text}{blank}".encode(), MOST) == [text]


@given(st.lists(st.dictionaries(st.text(), _values, max_size=3), min_size=1, max_size=MOST))
def test_lines_are_rows(items: list[dict[str, Any]]) -> None:
    """Blank lines are none, and what a line says is not looked at."""
    body = "\r\n\n".join(json.dumps(one) for one in items).encode()
    for kind in LINES:
        assert [json.loads(row) for row in rows_of(f"{kind} ; x=y", body, MOST)] == items
    assert rows_of("application/jsonl", b"{oops\n{}", MOST) == ["{oops", "{}"]


def outcome(kind: str, body: bytes) -> int:
    """How many rows there are, or the status of the problem."""
    try:
        return len(rows_of(kind, body, MOST))
    except Problem as problem:
        return problem.status


@given(st.binary(max_size=40) | st.text('[]{},:"1a \n', max_size=40).map(str.encode))
def test_any_body_is_rows_or_a_problem(body: bytes) -> None:
    """No body ends in another error, and no problem repeats it."""
    for kind in (JSON, "application/jsonl"):
        assert outcome(kind, body) in {*range(1, MOST + 1), 400, 413, 422}


@pytest.mark.parametrize("count", [MOST + 1, 500_000])
def test_too_many_rows_are_refused_without_reading_on(count: int) -> None:
    """The row beyond the most ends it: what follows may be anything."""
    for kind, body in (
        (JSON, b"[" + b"{}," * count + b"oops"),
        ("application/jsonl", b"{}\n" * count),
    ):
        with pytest.raises(Problem) as refused:
            rows_of(kind, body, MOST)
        assert (refused.value.status, refused.value.code) == (413, "too_many_rows")
