"""Reading JSON Lines: paths, lists, numbers, and every way a line can be broken."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.base import Level
from connectors.declaration import parse_source
from connectors.errors import Stop
from connectors.json_text import MAX_DEPTH
from connectors.record import Record, Rejection
from connectors.sources.json_lines import JsonLinesSource
from connectors.testing import contents


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One folder for all examples of a law; each writes its file anew."""
    return tmp_path_factory.mktemp("laws")


def source_of(folder, data, *, cell_limit=1024 * 1024, fields=None, **changes):
    (folder / "x.jsonl").write_bytes(data)
    entry = {
        "connector": "jsonl",
        "location": "x.jsonl",
        "record_id": "id",
        "fields": fields or {"phone": "p", "name": "n"},
        **changes,
    }
    return JsonLinesSource(parse_source("mini", entry), folder, cell_limit=cell_limit)


def read_one(folder, row, **changes):
    data = row if isinstance(row, bytes) else json.dumps(row, ensure_ascii=False).encode()
    (found,) = source_of(folder, data, **changes).read()
    return found


def phones(record):
    return [value.value.reveal(reason="test") for value in record.fields.get("phone", ())]


def test_lines_in_order(tmp_path):
    """A position is a line; a blank line keeps its number."""
    data = b'\xef\xbb\xbf{"id":1,"p":"7"}\r\n\r\n{"id":"2"}'
    rows = list(source_of(tmp_path, data).read())
    assert [row.position for row in rows] == [1, 3]
    assert [row.record_id.reveal(reason="test") for row in rows] == ["1", "2"]
    assert phones(rows[0]) == ["7"]


@pytest.mark.parametrize(
    ("path", "value", "found"),
    [
        ("p.q", {"q": "7"}, ["7"]),
        ("p.q.r", {"q": {"r": ["7", "8"]}}, ["7", "8"]),
        ("p.q", [{"q": "7"}, {"x": 1}, {"q": ["8", "9"]}], ["7", "8", "9"]),
        ("p.q", {"x": "7"}, []),
        ("p.q", "7", []),
        ("p", ["7", None, "8", 9, "7"], ["7", "8", "9"]),
        ("p", None, []),
        ("p", [], []),
        ("p", 13800001111, ["13800001111"]),
    ],
)
def test_a_path_reaches_inside(tmp_path, path, value, found):
    """Dots go into objects, and through lists to every item."""
    record = read_one(tmp_path, {"id": "1", "p": value}, fields={"phone": path})
    assert phones(record) == found
    assert record.problems == ()


def test_a_key_with_a_dot_comes_first(tmp_path):
    """A key that is written with a dot is that key and not a path."""
    row = {"id": "1", "p.q": "7", "p": {"q": "8"}}
    assert phones(read_one(tmp_path, row, fields={"phone": "p.q"})) == ["7"]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (b"13800001111", "13800001111"),
        (b"13800001111.0", "13800001111"),
        (b"1.38E10", "13800000000"),
        (b"110101199003071234", "110101199003071234"),
        (b"1.10", "1.10"),
        (b"-0.0", "0"),
        (b"1e-3", "0.001"),
        (b"9" * 5000, "9" * 5000),
    ],
)
def test_numbers_keep_all_digits(tmp_path, number, text):
    """A number is read as its digits, never through a float."""
    assert phones(read_one(tmp_path, b'{"id":"1","p":' + number + b"}")) == [text]


def test_true_and_false_are_words(tmp_path):
    """Booleans become the words a boolean attribute reads."""
    attributes = {"member": {"column": "m", "type": "boolean"}}
    record = read_one(tmp_path, {"id": "1", "m": True}, attributes=attributes)
    assert record.attributes == {"member": True}


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        (b"nonsense", "not_json"),
        (b'{"id":"1"', "not_json"),
        (b'{"id":"1"} {"id":"2"}', "not_json"),
        (b'{"id":"a\x01b"}', "not_json"),
        (b'"text"', "not_an_object"),
        (b"[1]", "not_an_object"),
        (b"7", "not_an_object"),
        (b"null", "not_an_object"),
        (b'{"id":NaN}', "not_a_number"),
        (b'{"id":"1","p":-Infinity}', "not_a_number"),
        (b'{"id":"1","p":1e99999}', "number_range"),
        (b'{"id":"1","p":1e-401}', "number_range"),
        (b'{"id":"1","p":1e999999999999999999999}', "number_range"),
        (b'{"id":"1","id":"2"}', "key_repeated"),
        (b'{"id":"1","x":{"a":1,"a":2}}', "key_repeated"),
        (b'{"id":"1","x":' + b"[" * 64 + b"]" * 64 + b"}", "too_deep"),
        (b'{"id":' + b"[" * 100_000, "too_deep"),
        (b'{"id":"1","p":"\\ud800"}', "broken_text"),
        (b'{"id":"1","p":["a","\\udfff"]}', "broken_text"),
        (b'{"id":"\xff"}', "not_decodable"),
        (b"{}", "record_id_missing"),
        (b'{"id":null}', "record_id_missing"),
        (b'{"id":["1"]}', "several_values"),
        (b'{"id":{"a":"1"}}', "not_plain"),
        (b'{"id":"1","p":"' + b"a" * 200_001 + b'"}', "cell_too_large"),
        (b'{"id":"1","p":"' + b"a" * 3_300_000 + b'"}', "row_too_large"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value[:24]!r}{len(value)}",
)
def test_a_bad_line_does_not_cost_its_neighbours(tmp_path, line, rule):
    """One bad line is one rejection that quotes nothing; the others are read."""
    data = b'{"id":"a"}\n' + line + b'\n{"id":"b"}\n'
    first, bad, last = source_of(tmp_path, data, cell_limit=200_000).read()
    assert isinstance(first, Record)
    assert isinstance(last, Record)
    assert isinstance(bad, Rejection)
    assert (bad.position, bad.rule, bad.field) == (2, rule, None)
    assert bad.raw.reveal(reason="test") == line[: 64 * 1024].decode("utf-8", "replace")


def test_nesting_at_the_limit_is_read(tmp_path):
    """Depth counts brackets outside of text only."""
    inner = MAX_DEPTH - 1
    line = b'{"id":"1","p":"[{\\"","x":' + b"[" * inner + b"]" * inner + b"}"
    assert phones(read_one(tmp_path, line)) == ['[{"']


def test_an_object_where_text_belongs_is_set_aside(tmp_path):
    """A nested value is a problem of its field, not of the row, and is kept."""
    record = read_one(tmp_path, {"id": "1", "n": "Ada", "p": {"q": "7"}})
    ((problem),) = record.problems
    assert (problem.field, problem.rule) == ("phone", "not_plain")
    assert json.loads(problem.raw.reveal(reason="test")) == {"q": "7"}
    assert "name" in record.fields


def test_surrogate_pairs_are_text(tmp_path):
    """Both halves of a pair make one character."""
    assert phones(read_one(tmp_path, b'{"id":"1","p":"\\ud83d\\ude00"}')) == ["😀"]


def test_gb18030_lines(tmp_path):
    """Lines in GB18030 are read when declared or detected."""
    data = '{"id":"1","p":"张三"}\n'.encode("gb18030")
    for encoding in ("gb18030", "auto"):
        (record,) = source_of(tmp_path, data, encoding=encoding).read()
        assert phones(record) == ["张三"]


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (b"", "empty_file"),
        ('{"id":"1"}\n'.encode("utf-16"), "wrong_encoding"),
        ('{"n":"张三"}\n'.encode("gb18030") * 3, "wrong_encoding"),
    ],
)
def test_a_broken_file_stops(tmp_path, data, rule):
    """A file that cannot be read at all stops, and check says the same."""
    source = source_of(tmp_path, data)
    with pytest.raises(Stop) as stop:
        list(source.read())
    assert stop.value.rule == rule
    assert [finding.rule for finding in source.check()] == [rule]


def test_a_missing_file_stops(tmp_path):
    """A missing file is named."""
    source = source_of(tmp_path, b"")
    (tmp_path / "x.jsonl").unlink()
    with pytest.raises(Stop, match="file_missing"):
        list(source.read())


def test_columns_that_no_line_has_are_found(tmp_path):
    """A key nowhere in the sample is a warning, or an error when it names the record."""
    source = source_of(tmp_path, b'{"key":"1","p":"7"}\n')
    assert [(f.level, f.rule, f.subject) for f in source.check()] == [
        (Level.ERROR, "column_missing", "id"),
        (Level.WARNING, "column_missing", "n"),
    ]


def test_broken_lines_do_not_hide_columns(tmp_path):
    """Check looks past lines that are not JSON or do not decode."""
    data = b'nonsense\n{"id":"\xff"}\n{"id":"1","p":"7","n":"x"}\n'
    assert source_of(tmp_path, data).check() == []


def test_blank_lines_only_is_an_empty_export(tmp_path):
    """Blank lines give nothing and are no error."""
    source = source_of(tmp_path, b"\n\n")
    assert list(source.read()) == []
    assert source.check() == []


JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=5),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("pqn"), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(
    st.lists(st.fixed_dictionaries({"id": JSON, "p": JSON, "n": JSON}), max_size=4),
    st.integers(0, 5),
)
@settings(max_examples=100, deadline=None)
def test_any_json_is_read_and_resumed(folder, rows, after):
    """Any objects give one result a line, and reading after a position gives the tail."""
    data = "\n".join(json.dumps(row) for row in rows).encode() or b"\n"
    source = source_of(folder, data, fields={"phone": ["p", "p.q"]})
    whole = list(source.read())
    assert [row.position for row in whole] == list(range(1, len(rows) + 1))
    tail = [contents(row) for row in whole if row.position > after]
    assert [contents(row) for row in source.read(after)] == tail


@given(st.binary(max_size=100))
@settings(max_examples=150, deadline=None)
def test_no_bytes_break_the_reader(folder, data):
    """Any bytes give records and rejections, or one Stop."""
    source = source_of(folder, data)
    try:
        assert all(isinstance(row, Record | Rejection) for row in source.read())
    except Stop as stop:
        rules = {"empty_file", "wrong_encoding", "not_text"}
        assert stop.rule in rules  # noqa: PT017 - most raise nothing
