"""Reading CSV: every way a file or a row can be broken, and what is read all the same."""

import csv
import io
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.base import Level
from connectors.declaration import parse_source
from connectors.errors import Stop
from connectors.record import Record, Rejection
from connectors.sources.csv_file import CsvFileSource
from connectors.sources.csv_rows import MAX_LOST_QUOTES
from connectors.testing import contents

FIELDS = {"name": "name", "note": "note"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One folder for all examples of a law; each writes its file anew."""
    return tmp_path_factory.mktemp("laws")


def source_of(folder, data, *, cell_limit=1024 * 1024, **changes):
    (folder / "x.csv").write_bytes(data)
    entry = {
        "connector": "csv",
        "location": "x.csv",
        "record_id": "id",
        "fields": FIELDS,
        **changes,
    }
    return CsvFileSource(parse_source("pos", entry), folder, cell_limit=cell_limit)


def rows_of(folder, data, **changes):
    """Each row as (position, id, name, note), or (position, rule)."""
    return [shown(row) for row in source_of(folder, data, **changes).read()]


def shown(row):
    if isinstance(row, Rejection):
        return row.position, row.rule
    values = (row.fields.get(field) for field in FIELDS)
    opened = [value[0].value.reveal(reason="test") if value else None for value in values]
    return row.position, row.record_id.reveal(reason="test"), *opened


def stop_of(folder, data, **changes):
    source = source_of(folder, data, **changes)
    with pytest.raises(Stop) as stop:
        list(source.read())
    errors = [finding for finding in source.check() if finding.level is Level.ERROR]
    assert [finding.rule for finding in errors] == [stop.value.rule]
    return stop.value


def test_rows_in_order(tmp_path):
    """Rows come in order, positions count from 1 below the heading."""
    data = b"id,name,note\n1,Ada,x\n2,Bo,\n"
    assert rows_of(tmp_path, data) == [(1, "1", "Ada", "x"), (2, "2", "Bo", None)]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "mark"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "auto"])
def test_utf8_with_and_without_mark(tmp_path, mark, encoding):
    """A byte order mark is no part of the first column, whatever the declaration says."""
    data = mark + "id,name,note\r\n1,张三,\r\n".encode()
    assert rows_of(tmp_path, data, encoding=encoding) == [(1, "1", "张三", None)]


@pytest.mark.parametrize("encoding", ["gb18030", "gbk", "gb2312", "auto"])
def test_gb18030(tmp_path, encoding):
    """Files of Chinese tills are read under each name their encoding goes by."""
    data = "id,name,note\n1,张三,㐀𠀀\n2,李四,b\n".encode("gb18030")
    found = rows_of(tmp_path, data, encoding=encoding)
    assert found == [(1, "1", "张三", "㐀𠀀"), (2, "2", "李四", "b")]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiters(tmp_path, delimiter):
    """A delimiter inside a two-byte character does not split it."""
    text = "id,name,note\n1,張,x\n2,\u82e6,y\n".replace(",", delimiter)
    found = rows_of(tmp_path, text.encode("gb18030"), delimiter=delimiter, encoding="gb18030")
    assert found == [(1, "1", "張", "x"), (2, "2", "苦", "y")]


def test_quoted_cells(tmp_path):
    """Quoted cells hold delimiters, quotes and line breaks, and the next row is the next."""
    data = b'id,name,note\r\n1,"A, ""B""","x\r\ny\n\nz"\r\n2,C,""\r\n'
    assert rows_of(tmp_path, data) == [(1, "1", 'A, "B"', "x\r\ny\n\nz"), (2, "2", "C", None)]


def test_a_stray_quote_inside_a_plain_cell_is_text(tmp_path):
    """A quote that does not open a cell is an ordinary character."""
    assert rows_of(tmp_path, b'id,name,note\n1,5" nail,x\n') == [(1, "1", '5" nail', "x")]


def test_blank_lines_keep_their_position(tmp_path):
    """A blank line gives nothing and the rows behind it keep their numbers."""
    data = b"id,name,note\n\n1,a,b\n  \n2,c,d"
    assert rows_of(tmp_path, data) == [(2, "1", "a", "b"), (4, "2", "c", "d")]


@pytest.mark.parametrize(
    ("bad", "rule"),
    [
        (b"9,a", "column_count"),
        (b"9,a,b,c", "column_count"),
        (b"9,\xff\xfe,b", "not_decodable"),
        (b'9,"a\xff\nb",c', "not_decodable"),
        (b",a,b", "record_id_missing"),
        (b" \0 ,a,b", "record_id_missing"),
        (b",,", "record_id_missing"),
        (b"=1,a,b", "formula"),
        (b'9,"a"b,c', "quote_misplaced"),
        (b"9," + b"a" * 101 + b",b", "cell_too_large"),
        (b'9,"a' + b"\n" * 100 + b'",b', "cell_too_large"),
        (b'9,"' + b'""' * 101 + b'",b', "cell_too_large"),
        (b"9," + b"a" * 2000 + b",b", "row_too_large"),
    ],
)
def test_a_bad_row_does_not_cost_its_neighbours(tmp_path, bad, rule):
    """One bad row is one rejection; the rows before and behind it are read."""
    data = b"id,name,note\n1,a,b\n" + bad + b"\n2,c,d\n"
    found = rows_of(tmp_path, data, cell_limit=100)
    assert found == [(1, "1", "a", "b"), (2, rule), (3, "2", "c", "d")]


def test_a_cell_at_the_limit_is_read(tmp_path):
    """The limit counts bytes of UTF-8 and is itself allowed, also when each is a doubled quote."""
    cell = "é" * 50
    quotes = '""' * 100
    data = f'id,name,note\n1,{cell},"{quotes}"\n'.encode()
    assert rows_of(tmp_path, data, cell_limit=100) == [(1, "1", cell, '"' * 100)]
    over = f"id,name,note\n1,{cell}e,\n".encode()
    assert rows_of(tmp_path, over, cell_limit=100) == [(1, "cell_too_large")]


def test_the_rejected_row_is_kept(tmp_path):
    """A rejection holds the row as written, with its line breaks."""
    data = b'id,name,note\n1,"a\r\nb",c,d\n'
    (rejection,) = source_of(tmp_path, data).read()
    assert rejection.raw.reveal(reason="test") == '1,"a\r\nb",c,d'
    assert rejection.field is None


def test_a_lost_quote_costs_one_line(tmp_path):
    """A quote that is never closed rejects its own line only."""
    data = b'id,name,note\n1,"a,b\n2,c,d\n3,e,f\n'
    assert rows_of(tmp_path, data) == [
        (1, "quote_unclosed"),
        (2, "2", "c", "d"),
        (3, "3", "e", "f"),
    ]
    data = b'id,name,note\n1,"a,b\n2,c,d\n3,"e",f\n'
    assert rows_of(tmp_path, data) == [
        (1, "quote_misplaced"),
        (2, "2", "c", "d"),
        (3, "3", "e", "f"),
    ]


def test_an_oversized_quoted_cell_is_not_read_as_rows(tmp_path):
    """Lines inside a quoted cell are never taken for rows, however long the cell is."""
    inner = b"7,planted,row\n" * 50
    data = b'id,name,note\n1,"' + inner + b'",x\n2,c,d\n'
    assert rows_of(tmp_path, data, cell_limit=100) == [(1, "cell_too_large"), (2, "2", "c", "d")]


def test_many_lost_quotes_end_the_search(tmp_path):
    """A file made of lost quotes is read once, not once for each of its lines."""
    lines = [b'5",",abc'] * (MAX_LOST_QUOTES + 20)
    found = rows_of(tmp_path, b"id,name,note\n" + b"\n".join(lines) + b"\n8,a,b\n")
    assert found[:-1] == [(n, "quote_unclosed") for n in range(1, len(lines) + 1)]
    assert found[-1] == (len(lines) + 1, "8", "a", "b")


def test_formula_text_is_data_set_aside(tmp_path):
    """Formula text is never evaluated: the field is set aside, the row goes on."""
    data = b"id,name,note\n1,=1+1,+8613800001111\n"
    (record,) = source_of(tmp_path, data, fields={"name": "name", "phone": "note"}).read()
    assert [(p.field, p.rule) for p in record.problems] == [("name", "formula")]
    assert record.fields["phone"][0].value.reveal(reason="test") == "+8613800001111"


def test_heading_only_gives_no_rows(tmp_path):
    """A heading without rows is a complete, empty export."""
    source = source_of(tmp_path, b"id,name,note")
    assert list(source.read()) == []
    assert source.check() == []
    assert source.count() == 0


@pytest.mark.parametrize(
    ("data", "changes", "rule", "words"),
    [
        (b"", {}, "empty_file", ["again"]),
        (b"\n1,a,b\n", {}, "header_missing", ["column names"]),
        (b"\xef\xbb\xbf", {}, "header_missing", ["column names"]),
        ("id,姓名,note\n".encode("gb18030"), {}, "wrong_encoding", ["gb18030"]),
        ("id,name,note\n1,a,b\n".encode("utf-16"), {}, "wrong_encoding", ["utf-16", "utf-8"]),
        ("id,name,note\n1,a,b\n".encode("utf-16-le"), {}, "wrong_encoding", ["utf-16"]),
        (b"\xff\x81\xff,id\n", {}, "wrong_encoding", ["Save the file as utf-8"]),
        (
            "id,姓名\n1,a\n".encode("big5", "replace") + b"\xff",
            {"encoding": "cp1252"},
            "column_missing",
            ["name"],
        ),
        (b"id,name\n", {}, "column_missing", ["Missing: note", "There: id, name"]),
        (b"id,name,note,name\n", {}, "duplicate_column", ["name"]),
        (b'id,name,note"\n"id,x\n', {"fields": {"name": "x"}}, "column_missing", ["x"]),
        (b'"id,name,note\n1,a,b\n', {}, "header_unreadable", ["quote_unclosed"]),
        (b"id,name,note\r1,a,b\r", {}, "line_breaks", ["CRLF"]),
    ],
)
def test_a_broken_file_stops(tmp_path, data, changes, rule, words):
    """A file that cannot be read stops with one rule and says what to do."""
    stop = stop_of(tmp_path, data, **changes)
    assert stop.rule == rule
    assert all(word in stop.next_step for word in words), stop.next_step


def test_a_missing_heading_does_not_show_a_person(tmp_path):
    """When no declared column is in the first row, it may be a person: it is not quoted."""
    stop = stop_of(tmp_path, "C7,张三,13800001111\n".encode())
    assert stop.rule == "column_missing"
    assert "张三" not in str(stop)
    assert "13800001111" not in str(stop)
    assert "id, name, note" in str(stop)


def test_missing_and_unreadable_files_stop(tmp_path):
    """No file, a folder, or a pipe instead of a file: each says so and none hangs."""
    source = source_of(tmp_path, b"id\n")
    (tmp_path / "x.csv").unlink()
    for rule, make in [
        ("file_missing", lambda _: None),
        ("not_a_file", os.mkfifo),
        ("not_a_file", os.mkdir),
    ]:
        path = tmp_path / "x.csv"
        make(path)
        with pytest.raises(Stop) as stop:
            list(source.read())
        assert stop.value.rule == rule
        with pytest.raises(Stop):
            source.fingerprint()
        assert [finding.rule for finding in source.check()] == [rule]
        assert source.count() is None
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink(missing_ok=True)


def test_a_file_that_cannot_be_opened_stops(tmp_path):
    """A link that leads nowhere but to itself is unreadable; the error names only the location."""
    source = source_of(tmp_path, b"id\n")
    (tmp_path / "x.csv").unlink()
    (tmp_path / "x.csv").symlink_to(tmp_path / "x.csv")
    with pytest.raises(Stop, match="file_unreadable") as stop:
        list(source.read())
    assert str(tmp_path) not in str(stop.value)


def test_an_endless_line_at_the_end_is_one_rejection(tmp_path):
    """A line that is never ended takes bounded memory and is one rejection."""
    data = b"id,name,note\n1,a,b\n" + b"x" * 10_000
    assert rows_of(tmp_path, data, cell_limit=100) == [(1, "1", "a", "b"), (2, "row_too_large")]
    data = b'id,name,note\n1,"' + b"x" * 10_000 + b"\n2,c,d\n"
    assert rows_of(tmp_path, data, cell_limit=100) == [(1, "row_too_large"), (2, "2", "c", "d")]


def test_auto_states_what_it_found(tmp_path):
    """A detected encoding is a note that can be declared."""
    data = "id,name,note\n1,张三,中文\n".encode("gb18030")
    (finding,) = source_of(tmp_path, data, encoding="auto").check()
    assert (finding.level, finding.rule, finding.subject) == (
        Level.NOTE,
        "encoding_detected",
        "gb18030",
    )


def test_auto_is_not_misled_by_one_broken_line(tmp_path):
    """One broken line in a UTF-8 file is rejected and does not turn the others into nonsense."""
    data = "id,name,note\n1,张三,x\n2,李四,x\n".encode() + b"3,\xff,x\n"
    found = rows_of(tmp_path, data, encoding="auto")
    assert found == [(1, "1", "张三", "x"), (2, "2", "李四", "x"), (3, "not_decodable")]


@pytest.mark.parametrize(("true", "declared"), [("utf-8", "gb18030"), ("gb18030", "utf-8")])
def test_a_doubtful_encoding_is_a_warning(tmp_path, true, declared):
    """Rows that speak against the declared encoding bring a warning that names the likely one."""
    text = "id,name,note\n1,张三丰,太极拳\n2,李四光,地质\n3,王五,数学\n"
    findings = source_of(tmp_path, text.encode(true), encoding=declared).check()
    assert [(f.level, f.rule) for f in findings] == [(Level.WARNING, "encoding_doubtful")]
    assert true in findings[0].next_step


def test_a_column_without_name_is_a_warning(tmp_path):
    """Nameless columns are allowed, and named in a warning."""
    source = source_of(tmp_path, b"id,name,,note,\n1,a,?,b,?\n")
    assert [(f.rule, f.subject) for f in source.check()] == [("column_without_name", "column 3")]
    assert [shown(row) for row in source.read()] == [(1, "1", "a", "b")]


def test_reading_needs_a_position(tmp_path):
    """A negative position is a mistake of the caller."""
    with pytest.raises(ValueError, match="negative"):
        source_of(tmp_path, b"id,name,note\n").read(-1)


def test_count_is_stretched_from_a_sample(tmp_path):
    """The estimate of a large file is close without reading all of it."""
    data = b"id,name,note\n" + b"1,abcdefgh,ijklmnop\n" * 100_000
    assert source_of(tmp_path, data).count() == pytest.approx(100_000, rel=0.01)


CELLS = st.text(
    alphabet=st.one_of(st.sampled_from('",\n\r\t |\\;中文㐀𠀀é'), st.characters(codec="utf-8")),
    max_size=8,
)


@given(
    st.lists(st.tuples(CELLS, CELLS), max_size=6),
    st.sampled_from(["utf-8", "gb18030"]),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["\n", "\r\n"]),
)
@settings(max_examples=150, deadline=None)
def test_what_csv_writes_is_read_back(folder, cells, encoding, delimiter, ending):
    """Any cells, with quotes and line breaks in either encoding, survive writing and reading."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator=ending)
    writer.writerow(["id", "name", "note"])
    for number, (name, note) in enumerate(cells, start=1):
        # marks around the cell keep trimming and formula rules out of this law
        writer.writerow([f"r{number}", f"<{name}>", f"<{note}>"])
    found = rows_of(folder, out.getvalue().encode(encoding), encoding=encoding, delimiter=delimiter)
    expected = [
        (number, f"r{number}", f"<{name}>", f"<{note}>")
        for number, (name, note) in enumerate(cells, start=1)
    ]
    assert found == expected


@given(
    st.lists(
        st.sampled_from(
            [
                b"1,a,b\n",
                b'2,"a\nb",c\n',
                b"\n",
                b'3,"a,b\n',
                b'",x,y\n',
                b"4,\xff,z\r\n",
                b"5\n",
                b'6,"a"b,c\n',
                b'"","",""',
            ]
        ),
        max_size=9,
    ),
    st.integers(0, 12),
)
@settings(max_examples=200, deadline=None)
def test_resuming_gives_the_tail_of_any_file(folder, lines, after):
    """However broken a file is, reading after a position gives exactly what lies behind it."""
    source = source_of(folder, b"id,name,note\n" + b"".join(lines))
    whole = list(source.read())
    assert [row.position for row in whole] == sorted({row.position for row in whole})
    tail = [contents(row) for row in whole if row.position > after]
    assert [contents(row) for row in source.read(after)] == tail


@given(st.binary(max_size=200))
@settings(max_examples=150, deadline=None)
def test_no_bytes_break_the_reader(folder, data):
    """Any bytes below a heading give records and rejections, and nothing else."""
    source = source_of(folder, b"id,name,note\n" + data, cell_limit=50)
    try:
        assert all(isinstance(row, Record | Rejection) for row in source.read())
    except Stop as stop:
        assert stop.rule == "wrong_encoding"  # noqa: PT017 - most bytes raise nothing
