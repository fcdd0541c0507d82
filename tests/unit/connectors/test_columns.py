"""Derived columns, one test for each invariant of connectors.columns, and each operation."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.cells import BadCell
from connectors.columns import Columns, parse_columns
from connectors.declaration import parse_source
from connectors.errors import DeclarationError
from connectors.mapping import RowMapper
from connectors.record import RAW_LIMIT, Record, Rejection, Sensitive
from connectors.registry import open_source

ENTRY = {
    "connector": "csv",
    "location": "x.csv",
    "record_id": "id",
    "fields": {"phone": "new"},
}
# One of each operation; the column they make is `new`, the one they read `old`.
OPERATIONS = [
    {"from": "old"},
    {"from": "old", "split": "/", "take": 2},
    {"from": "old", "split": "[,;、]", "take": -1},
    {"from": "old", "split": ","},
    {"from": "old", "take": 1},
    {"join": ["old", "id"], "separator": "-"},
    {"constant": "CN"},
    {"from": "old", "map": {"男": "male", "未知": ""}},
    {"from": "old", "map": {"男": "male"}, "otherwise": "keep"},
    {"from": "old", "map": {"男": "male"}, "otherwise": "empty"},
    {"from": "old", "map": {"男": "male"}, "otherwise": "reject"},
    {"from": "old", "extract": "(1[0-9]{10})"},
    {"from": "old", "extract": "((a*)*b)".replace("(a*)", "(?:a*)")},
    {"from": "old", "date": ["%d.%m.%Y", "%Y/%m/%d"]},
    {"from": "old", "path": ["receiver", 0, "phone"]},
]


def declared(**columns):
    return parse_source("pos", {**ENTRY, "columns": columns})


def made(operation, old, **cells):
    """What the operation makes of a cell."""
    return Columns(parse_columns("pos", {"new": operation})).of({"old": old, **cells})["new"]


def refused(**columns):
    with pytest.raises(DeclarationError) as caught:
        declared(**columns)
    return caught.value.rule, caught.value.field


@pytest.mark.parametrize(
    ("operation", "old", "new"),
    [
        ({"from": "old"}, "x", "x"),
        ({"from": "old", "split": "/", "take": 2}, "a / b/c", "b"),
        ({"from": "old", "split": "/", "take": 9}, "a/b", None),
        ({"from": "old", "split": "[;、]", "take": -1}, "a、b;c", "c"),
        ({"from": "old", "split": "; "}, "a; b", ("a", "b")),
        ({"from": "old", "take": 2}, ("a", "b"), "b"),
        ({"from": "old", "take": -3}, ("a", "b"), None),
        ({"from": "old", "take": 1}, "a", "a"),
        ({"from": "old", "take": 2}, "a", None),
        ({"join": ["old", "id"]}, "张", "张7"),
        ({"join": ["old", "id"], "separator": " "}, None, "7"),
        ({"constant": "CN"}, None, "CN"),
        ({"from": "old", "date": ["%Y-%m-%d", "excel"]}, "32964", "1990-04-01"),
        ({"from": "old", "map": {"M ": "male"}}, "m", "male"),
        ({"from": "old", "map": {"x": ""}}, "X", None),
        ({"from": "old", "map": {"x": "y"}, "otherwise": "keep"}, "z", "z"),
        ({"from": "old", "map": {"x": "y"}, "otherwise": "empty"}, "z", None),
        ({"from": "old", "extract": r"VIP(\d+)"}, "old VIP12 card", "12"),
        ({"from": "old", "extract": r"(\p{Han}+)"}, "Mr 张三", "张三"),
        ({"from": "old", "extract": r"VIP(\d*)"}, "VIP", None),
        ({"from": "old", "date": ["%d.%m.%Y", "%Y/%m/%d"]}, "1990/3/2", "1990-03-02"),
        ({"from": "old", "path": ["a", 1, "b"]}, '{"a": [1, {"b": 138e2}]}', "138e2"),
        ({"from": "old", "path": ["a"]}, '{"a": [1, null, "x"]}', ("1", "x")),
        ({"from": "old", "path": ["a", "b"]}, "{}", None),
        ({"from": "old", "path": ["a"]}, '{"a": true}', "true"),
    ],
)
def test_each_operation(operation, old, new):
    """Every operation gives what the manual says."""
    assert made(operation, old, id="7") == new


@pytest.mark.parametrize(
    ("operation", "old", "rule"),
    [
        ({"from": "old", "split": ","}, "1," * 101, "too_many_values"),
        ({"from": "old", "map": {"x": "y"}}, "z", "not_in_map"),
        ({"from": "old", "extract": r"(\d+)"}, "x", "no_match"),
        ({"from": "old", "extract": r"(\d+)"}, "１３８", "no_match"),
        ({"from": "old", "extract": r"(\d+)"}, "1" * 5000, "too_long"),
        ({"from": "old", "date": ["%Y-%m-%d"]}, "1990-02-30", "not_date"),
        ({"from": "old", "path": ["a"]}, "{", "not_json"),
        ({"from": "old", "path": ["a"]}, '{"a": NaN}', "not_a_number"),
        ({"from": "old", "path": ["a"]}, '{"a": 1, "a": 2}', "key_repeated"),
        ({"from": "old", "path": ["a"]}, '{"a": {}}', "not_plain"),
        ({"from": "old", "path": [0]}, '{"0": 1}', "path_elsewhere"),
        ({"from": "old", "path": ["a"]}, '{"a": "\\ud800"}', "broken_text"),
        ({"from": "old", "path": ["a"]}, "[" * 1000 + "]" * 1000, "too_deep"),
        ({"from": "old", "path": ["a"]}, '{"a":' * 1000 + "1" + "}" * 1000, "too_deep"),
        ({"join": ["old", "id"]}, ("a", "b"), "several_values"),
        ({"join": ["old", "old"]}, "x" * 65_000, "cell_too_large"),
    ],
)
def test_what_cannot_be_read_has_a_rule(operation, old, rule):
    """What an operation cannot read becomes a cell that says so and sets its field aside."""
    cell = made(operation, old)
    assert isinstance(cell, BadCell)
    assert (cell.rule, cell.rejects_row) == (rule, False)
    assert cell.next_step.endswith(".")


def test_otherwise_reject_refuses_the_row():
    """A value that a map with `otherwise: reject` does not know takes its row with it."""
    row = RowMapper(declared(new={"from": "old", "map": {"x": "y"}, "otherwise": "reject"})).map(
        1, {"id": "1", "old": "canary"}, lambda: "1,canary"
    )
    assert isinstance(row, Rejection)
    assert row.rule == "not_in_map"
    assert "canary" not in row.next_step


hostile = st.one_of(
    st.text(max_size=40),
    st.text(alphabet='０１２９/,、;\u200e\u200f\u202e\ufeff\0{}[]":1a.-男', max_size=60),
    st.sampled_from(["a" * 1_000_000, "[" * 100_000, '{"a":' * 1000, "1/" * 200_000]),
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
        max_leaves=8,
    ).map(json.dumps),
)
cells = st.one_of(
    st.none(),
    hostile,
    st.lists(hostile, min_size=1, max_size=3).map(tuple),
    st.builds(lambda text: BadCell("formula", "Write text.", Sensitive(text)), hostile),
)


@pytest.mark.parametrize("operation", OPERATIONS, ids=json.dumps)
@given(old=cells)
@settings(max_examples=25, deadline=None)
def test_1_one_cell_comes_out_of_every_cell(operation, old):
    """Invariant 1: whatever the cell is, an operation gives one cell and does not raise."""
    cell = made(operation, old, id="7")
    assert cell is None or isinstance(cell, str | tuple | BadCell)
    if isinstance(cell, tuple):
        assert cell
        assert all(isinstance(text, str) for text in cell)


@pytest.mark.parametrize("operation", OPERATIONS, ids=json.dumps)
@given(old=hostile)
@settings(max_examples=25, deadline=None)
def test_2_what_cannot_be_read_is_kept(operation, old):
    """Invariant 2: the cell that could not be read is set aside whole, cut at the limit."""
    cell = made(operation, old, id="7")
    if isinstance(cell, BadCell):
        kept = cell.raw.reveal(reason="test")
        assert kept == old[:RAW_LIMIT] or kept == f"{old}\n7"[:RAW_LIMIT]


@pytest.mark.parametrize("operation", OPERATIONS, ids=json.dumps)
def test_3_no_message_holds_a_value(operation):
    """Invariant 3: rule, next step and repr show nothing of the cell."""
    for old in ("canary13912345678x", "[" * 200 + "canary", '{"receiver": "canary"}', "canary,c"):
        cell = made(operation, old, id="7")
        if isinstance(cell, BadCell):
            assert "canary" not in cell.rule + cell.next_step + repr(cell)


@pytest.mark.parametrize(
    "pattern",
    [
        "((?:a+)+)$",
        "((?:a|aa)+)$",
        "((?:(?:a*)*)*b)",
        "((?:.*a){12}b)",
        "((?:a{0,30}){0,30}b)",
        "(?:.*)(.*)(?:.*)(?:.*)=",
    ],
)
@pytest.mark.parametrize("text", ["a" * 4096, "a" * 4095 + "!", "ａ" * 4096, "ab" * 500_000])
def test_4_a_hostile_pattern_cannot_hang(pattern, text):
    """Invariant 4: patterns that backtrack for years elsewhere end within seconds here."""
    columns = Columns(parse_columns("pos", {"new": {"from": "old", "extract": pattern}}))
    began = time.process_time()
    columns.of({"old": text})
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("pattern", "rule"),
    [
        ("(((a{0,1000}){0,1000}))", "pattern_unreadable"),
        ("(a)\\1", "pattern_unreadable"),
        ("(?=a)(b)", "pattern_unreadable"),
        ("(canary", "pattern_unreadable"),
        ("abc", "pattern_groups"),
        ("(a)(b)", "pattern_groups"),
    ],
)
def test_a_pattern_is_checked_when_it_is_declared(pattern, rule, capfd):
    """A pattern that cannot be used is refused before a row is read, and is not quoted."""
    assert refused(new={"from": "old", "extract": pattern}) == (rule, "columns.new.extract")
    out, err = capfd.readouterr()
    assert out + err == ""


def test_5_a_column_sees_the_ones_above_it():
    """Invariant 5: columns are made in order, and may take a file's column's place."""
    source = declared(
        old={"from": "old", "extract": "([0-9/]+)"},
        first={"from": "old", "split": "/", "take": 1},
        new={"join": ["area", "first"]},
    )
    record = RowMapper(source).map(1, {"id": "1", "area": "0", "old": "tel 139/138"}, lambda: "row")
    assert isinstance(record, Record)
    assert [one.value.reveal(reason="test") for one in record.fields["phone"]] == ["0139"]
    assert source.columns() == ("id", "area", "old")


def test_a_join_of_constants_alone_is_nothing():
    """A sign in front of a number is no number where there is none."""
    columns = {"plus": {"constant": "+"}, "new": {"join": ["plus", "code", "number"]}}
    make = Columns(parse_columns("pos", columns)).of
    assert make({"code": "86", "number": "139"})["new"] == "+86139"
    assert make({"code": None, "number": " "})["new"] is None


def test_a_column_does_not_see_the_ones_below_it():
    """A column that is made of one further down is refused, with the way out."""
    assert refused(new={"from": "late"}, late={"constant": "1"}) == (
        "column_below",
        "columns.new",
    )


@pytest.mark.parametrize(
    ("columns", "rule"),
    [
        ({"new": {}}, "one_operation"),
        ({"new": {"from": "a", "map": {"a": "b"}, "extract": "(a)"}}, "one_operation"),
        ({"new": {"map": {"a": "b"}}}, "from_needed"),
        ({"new": {"from": "a", "constant": "x"}}, "from_needed"),
        ({"new": {"from": "a", "separator": "x"}}, "option_not_used"),
        ({"new": {"join": ["a"], "otherwise": "keep"}}, "option_not_used"),
        ({"new": {"from": "a", "take": 0}}, "take_zero"),
        ({"new": {"from": "a", "map": {"a": "b", "A ": "c"}}}, "value_repeated"),
        ({"new": {"from": "a", "map": {"a": 1}}}, "wrong_type"),
        ({"new": {"from": "a", "map": {}}}, "empty"),
        ({"new": {"from": "a", "date": ["%m/%d"]}}, "date_incomplete"),
        ({"new": {"from": "a", "date": ["%Q"]}}, "wrong_form"),
        ({"new": {"from": "a", "path": [-1]}}, "too_small"),
        ({"new": {"from": "a", "path": []}}, "empty"),
        ({"new": {"from": "a", "splt": ","}}, "unknown_key"),
        ({"new": {"from": "a"}, "more": {"from": "a"}}, "column_unused"),
        ({"new": {"from": "a"}, "id": {"from": "a", "extract": "(a)"}}, "record_id_derived"),
    ],
)
def test_a_wrong_column_is_refused(columns, rule):
    """What a column must not be has a rule of its own, and names the column."""
    found, field = refused(**columns)
    assert found == rule
    assert field.startswith(("columns.", "record_id"))


def test_a_record_id_may_be_renamed():
    """A rename leaves the id where a rejected row can be told by it."""
    source = declared(new={"from": "old"}, id={"from": "会员号"})
    assert set(source.columns()) == {"old", "会员号"}


def test_the_digest_follows_the_columns_and_their_order():
    """A derived column is part of what a declaration means; without one the digest is as ever."""
    plain = parse_source("pos", ENTRY)
    # what releases before derived columns gave; a change would read every row again
    assert plain.digest() == "b189aea8c4496288c5cc3cda92644572212eb35da8838b093a091f4499f611a4"
    one = declared(a={"from": "x"}, new={"join": ["a", "y"]})
    other = declared(a={"from": "x"}, new={"join": ["y", "a"]})
    assert len({plain.digest(), one.digest(), other.digest()}) == 3


def test_a_missing_column_names_the_operation(tmp_path):
    """`cdp source check` says which derived column a missing column is for."""
    (tmp_path / "x.csv").write_text("id,other\n1,2\n")
    source = declared(new={"from": "old", "extract": "([0-9]+)"})
    (finding,) = open_source(source, tmp_path).check()
    assert finding.rule == "column_missing"
    assert "old (for the derived column new)" in finding.next_step
    jsonl = parse_source(
        "pos", {**ENTRY, "connector": "jsonl", "columns": {"new": {"from": "old"}}}
    )
    (tmp_path / "x.csv").write_text('{"id": 1}\n')
    (finding,) = open_source(jsonl, tmp_path).check()
    assert finding.subject == "old (for the derived column new)"
