"""Reading workbooks: what cells become, and every way a workbook can be broken."""

import datetime as dt
import io
import zipfile

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.base import Level
from connectors.cells import BadCell
from connectors.declaration import parse_source
from connectors.errors import Stop
from connectors.record import Record, Rejection
from connectors.sources import spreadsheet
from connectors.sources.spreadsheet import SpreadsheetSource, cell_of
from connectors.sources.workbook_faults import MalformedWorkbook, looked_into
from connectors.testing import contents


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One folder for all examples of a law; each writes its file anew."""
    return tmp_path_factory.mktemp("laws")


def source_of(folder, rows, *, first=1, cell_limit=1024 * 1024, sheets=("会员",), **changes):
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name in sheets:
        sheet = book.create_sheet(name)
        for number, row in enumerate(rows, start=first):
            for column, value in enumerate(row, start=first):
                sheet.cell(number, column, value)
    book.save(folder / "x.xlsx")
    return over(folder, cell_limit=cell_limit, **changes)


def over(folder, cell_limit=1024 * 1024, **changes):
    entry = {
        "connector": "xlsx",
        "location": "x.xlsx",
        "record_id": "id",
        "fields": {"name": "name", "phone": "phone"},
        **changes,
    }
    return SpreadsheetSource(parse_source("old", entry), folder, cell_limit=cell_limit)


def rewrite(folder, part, change):
    """Replace one part of the saved workbook by ``change(bytes)``; None drops it."""
    out = io.BytesIO()
    with zipfile.ZipFile(folder / "x.xlsx") as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            data = change(old.read(name)) if name == part else old.read(name)
            if data is not None:
                new.writestr(name, data)
    (folder / "x.xlsx").write_bytes(out.getvalue())


def shown(row):
    if isinstance(row, Rejection):
        return row.position, row.rule
    values = (row.fields.get(field) for field in ("name", "phone"))
    opened = [value[0].value.reveal(reason="test") if value else None for value in values]
    return row.position, row.record_id.reveal(reason="test"), *opened


HEAD = ["id", "name", "phone"]


def test_rows_in_order(tmp_path):
    """Numbers come out as digits, and an empty row keeps its position."""
    source = source_of(tmp_path, [HEAD, [1, "张三", 13800001111], [], [2.0, "b", "+8613800001111"]])
    assert [shown(row) for row in source.read()] == [
        (1, "1", "张三", "13800001111"),
        (3, "2", "b", "+8613800001111"),
    ]
    assert source.count() == 3
    assert source.check() == []


def test_a_table_may_begin_anywhere(tmp_path):
    """Empty rows above and columns before the heading do not shift anything."""
    source = source_of(tmp_path, [HEAD, [1, "a", 7], [2, "=1/0", 8]], first=4)
    assert [shown(row) for row in source.read()] == [
        (1, "1", "a", "7"),
        (2, "formula_without_value"),
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (13800000000.0, "13800000000"),
        (1e14, "100000000000000"),
        (0.1, "0.1"),
        (1e-7, "0.0000001"),
        (-0.0, "0"),
        (12, "12"),
        (True, "true"),
        (False, "false"),
        (dt.date(1990, 1, 2), "1990-01-02"),
        (dt.datetime(1990, 1, 2), "1990-01-02"),  # noqa: DTZ001 - a cell has no zone
        (dt.datetime(1990, 1, 2, 3, 4, 5), "1990-01-02T03:04:05"),  # noqa: DTZ001
        (dt.time(3, 4), "03:04:00"),
        (dt.timedelta(hours=30, minutes=1), "30:01:00"),
        (-dt.timedelta(minutes=90), "-01:30:00"),
        ("text", "text"),
        ("", None),
    ],
)
def test_cells_become_text(value, text):
    """Dates become ISO 8601, numbers digits without exponent."""
    assert cell_of(value) == text


@given(st.integers(-(10**15) + 1, 10**15 - 1))
@settings(deadline=None)
def test_whole_numbers_keep_every_digit(number):
    """A whole number of up to 15 digits survives as itself."""
    assert cell_of(float(number)) == cell_of(number) == str(number)


@pytest.mark.parametrize(
    ("value", "rule"), [(1.1e17, "digits_lost"), (float("inf"), "not_a_number")]
)
def test_numbers_that_lost_digits_are_no_values(value, rule):
    """An ID number typed as a number has lost its end: it is a problem, never a guess."""
    cell = cell_of(value)
    assert isinstance(cell, BadCell)
    assert cell.rule == rule


def test_lost_digits_cost_the_field_or_the_id(tmp_path):
    """A field with lost digits is set aside; a record id with lost digits rejects the row."""
    rows = [HEAD, [1, "a", 110101199003071234], [110101199003071234, "b", 7]]
    record, rejection = source_of(tmp_path, rows).read()
    assert [(p.field, p.rule) for p in record.problems] == [("phone", "digits_lost")]
    assert shown(rejection) == (2, "digits_lost")


@pytest.mark.parametrize("error", ["#REF!", "#N/A", "#DIV/0!", "#VALUE!"])
def test_an_error_cell_rejects_its_row(tmp_path, error):
    """An error in a mapped cell is a rejection, not an empty value; elsewhere it does no harm."""
    rows = [[*HEAD, "other"], [1, "a", error, "x"], [2, "b", 7, error], [error, "c", 8, "x"]]
    source = source_of(tmp_path, rows)
    assert [shown(row) for row in source.read()] == [
        (1, "cell_error"),
        (2, "2", "b", "7"),
        (3, "cell_error"),
    ]
    (finding,) = source.check()
    assert (finding.level, finding.rule) == (Level.WARNING, "cell_error")
    assert "3 cells" in finding.next_step


def test_a_row_of_errors_only_is_not_lost(tmp_path):
    """A last row that shows nothing but an error is still reported."""
    rows = [HEAD, [1, "a", 7], ["#REF!", None, None]]
    assert [shown(row) for row in source_of(tmp_path, rows).read()][-1] == (2, "cell_error")
    rows = [HEAD, [1, "a", 7], [], [None, "=A1", None], [None, None, "=A2"]]
    found = [shown(row) for row in source_of(tmp_path, rows, first=3).read()]
    assert found[1:] == [(3, "record_id_missing"), (4, "record_id_missing")]
    rows = [HEAD, [1, "a", 7], [], ["=A1", None, None]]
    found = [shown(row) for row in source_of(tmp_path, rows, first=3).read()]
    assert found[1:] == [(3, "formula_without_value")]


def test_a_calculated_formula_is_its_value(tmp_path):
    """A formula with a stored value is that value; without one the row is rejected."""
    source = source_of(tmp_path, [HEAD, [1, "=B9", 7], [2, "=B9", 8]])
    cells = b"<f>B9</f><v></v>", b"<f>B9</f><v />", b"<f>B9</f><v/>"

    def calculated(data):
        written = next(cell for cell in cells if cell in data)
        return data.replace(b' t="n"', b"").replace(written, b"<f>B9</f><v>42</v>", 1)

    rewrite(tmp_path, "xl/worksheets/sheet1.xml", calculated)
    assert [shown(row) for row in source.read()] == [
        (1, "1", "42", "7"),
        (2, "formula_without_value"),
    ]


def test_cells_without_a_reference_are_found(tmp_path):
    """Writers may leave out where a cell is; an error is found all the same."""
    source = source_of(tmp_path, [HEAD, [1, "a", "#REF!"], [2, "b", 7]])

    def anonymous(data):
        for name in ("A2", "B2", "C2"):
            data = data.replace(f' r="{name}"'.encode(), b"")
        return data

    rewrite(tmp_path, "xl/worksheets/sheet1.xml", anonymous)
    assert [shown(row) for row in source.read()] == [(1, "cell_error"), (2, "2", "b", "7")]


def test_formula_text_is_set_aside(tmp_path):
    """Text that opens a formula is data: its field is set aside."""
    source = source_of(tmp_path, [HEAD, [1, "a", 7]])
    rewrite(
        tmp_path,
        "xl/worksheets/sheet1.xml",
        lambda data: data.replace(b"<t>a</t>", b"<t>=cmd|x</t>"),
    )
    (record,) = source.read()
    assert [(p.field, p.rule) for p in record.problems] == [("name", "formula")]


def test_a_large_cell_rejects_its_row(tmp_path):
    """A cell above the limit is a rejection."""
    source = source_of(tmp_path, [HEAD, [1, "a" * 101, 7], [2, "b", 8]], cell_limit=100)
    assert [shown(row) for row in source.read()] == [(1, "cell_too_large"), (2, "2", "b", "8")]


def test_the_declared_sheet_is_read(tmp_path):
    """A declared sheet is read; otherwise the first visible one, and the choice is stated."""
    rows = [HEAD, [1, "a", 7]]
    assert source_of(tmp_path, rows, sheets=("a", "b"), sheet="b").check() == []
    (finding,) = source_of(tmp_path, rows, sheets=("a", "b")).check()
    assert (finding.level, finding.rule, finding.subject) == (Level.NOTE, "sheet_chosen", "a")
    book = openpyxl.load_workbook(tmp_path / "x.xlsx")
    book["a"].sheet_state = "hidden"
    book.active = 1
    book.save(tmp_path / "x.xlsx")
    assert over(tmp_path).check()[0].subject == "b"


@pytest.mark.parametrize(
    ("rows", "changes", "rule", "words"),
    [
        ([], {}, "empty_file", ["again"]),
        ([["id", "name"]], {}, "column_missing", ["Missing: phone", "There: id, name"]),
        ([[*HEAD, "name"]], {}, "duplicate_column", ["name"]),
        ([HEAD], {"sheet": "none"}, "sheet_missing", ["会员"]),
        ([["C7", "张三", "13800001111"]], {}, "column_missing", ["first row"]),
    ],
)
def test_a_broken_sheet_stops(tmp_path, rows, changes, rule, words):
    """A sheet that cannot be mapped stops and says what to do, without quoting a person."""
    source = source_of(tmp_path, rows, **changes)
    with pytest.raises(Stop) as stop:
        list(source.read())
    assert stop.value.rule == rule
    assert all(word in stop.value.next_step for word in words), stop.value.next_step
    assert "张三" not in str(stop.value)
    assert [finding.rule for finding in source.check()] == [rule]


def test_heading_only_gives_no_rows(tmp_path):
    """A heading without rows is a complete, empty export."""
    source = source_of(tmp_path, [HEAD])
    assert list(source.read()) == []
    assert source.count() == 0


@pytest.mark.parametrize(
    "data",
    [b"id,name,phone\n", b"PK\x03\x04junk", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)],
    ids=["csv", "cut", "ole"],
)
def test_something_else_than_a_workbook_stops(tmp_path, data):
    """A CSV called .xlsx, a cut file and an old or locked workbook are recognised."""
    source = source_of(tmp_path, [HEAD])
    (tmp_path / "x.xlsx").write_bytes(data)
    with pytest.raises(Stop, match="not_a_workbook") as stop:
        list(source.read())
    assert stop.value.__suppress_context__
    assert source.count() is None
    (tmp_path / "x.xlsx").write_bytes(b"")
    with pytest.raises(Stop, match="empty_file"):
        list(source.read())
    (tmp_path / "x.xlsx").unlink()
    with pytest.raises(Stop, match="file_missing"):
        list(source.read())


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("xl/workbook.xml", lambda _: None),
        ("xl/_rels/workbook.xml.rels", lambda _: None),
        ("xl/worksheets/sheet1.xml", lambda _: None),
        ("xl/worksheets/sheet1.xml", lambda data: data[: len(data) // 2]),
        ("xl/workbook.xml", lambda data: b'<!DOCTYPE x [<!ENTITY e "e">]>' + data),
        ("xl/worksheets/sheet1.xml", lambda data: b'<!DOCTYPE x [<!ENTITY e "e">]>' + data),
    ],
    ids=["no book", "no relations", "no sheet", "cut sheet", "doctype book", "doctype sheet"],
)
def test_a_workbook_with_broken_parts_stops(tmp_path, part, change):
    """Missing or cut parts, and document types, stop the reading; no entity is expanded."""
    source = source_of(tmp_path, [HEAD, [1, "#REF!", 7]])
    rewrite(tmp_path, part, change)
    with pytest.raises(Stop, match="not_a_workbook"):
        list(source.read())


def test_a_sheet_that_is_not_listed_is_malformed(tmp_path):
    """Faults are looked for in the very sheet that is read, or reading stops."""
    source_of(tmp_path, [HEAD])
    with zipfile.ZipFile(tmp_path / "x.xlsx") as archive, pytest.raises(MalformedWorkbook):
        looked_into(archive, "another")


def test_a_bomb_stops(tmp_path, monkeypatch):
    """A workbook that unpacks to too much is refused before it is unpacked."""
    source = source_of(tmp_path, [HEAD, [1, "a", 7]])
    monkeypatch.setattr(spreadsheet, "MAX_UNPACKED", 1000)
    with pytest.raises(Stop, match="workbook_too_large"):
        list(source.read())


def test_a_file_around_a_workbook_counts_too(tmp_path, monkeypatch):
    """The reader takes all of it into memory, also what stands before the workbook."""
    source = source_of(tmp_path, [HEAD, [1, "a", 7]])
    book = (tmp_path / "x.xlsx").read_bytes()
    monkeypatch.setattr(spreadsheet, "MAX_UNPACKED", 10**6)
    assert len(list(source.read())) == 1
    (tmp_path / "x.xlsx").write_bytes(bytes(10**6) + book)
    with pytest.raises(Stop, match="workbook_too_large"):
        list(source.read())


def test_merged_cells_are_told(tmp_path):
    """Only the first of them has a value: check says so, where it is more than a wide heading."""
    source = source_of(tmp_path, [HEAD, [1, "a", 7], [2, None, 8]])
    book = openpyxl.load_workbook(tmp_path / "x.xlsx")
    book.active.merge_cells("D1:E1")
    book.save(tmp_path / "x.xlsx")
    assert source.check() == []
    book.active.merge_cells("B2:B3")
    book.save(tmp_path / "x.xlsx")
    assert [one.rule for one in source.check()] == ["merged_cells"]
    assert [shown(row) for row in source.read()] == [(1, "1", "a", "7"), (2, "2", None, "8")]


@given(
    st.lists(
        st.lists(
            st.one_of(
                st.none(),
                st.booleans(),
                st.integers(-(10**16), 10**16),
                st.floats(-1e6, 1e6),
                st.sampled_from(["张三", "=1", "#N/A", " ", "x"]),
                st.dates(dt.date(1950, 1, 1), dt.date(2050, 1, 1)),
            ),
            min_size=3,
            max_size=3,
        ),
        max_size=6,
    ),
    st.integers(0, 7),
)
@settings(max_examples=40, deadline=None)
def test_resuming_gives_the_tail(folder, rows, after):
    """Any cells give records and rejections, and reading after a position gives the tail."""
    source = source_of(folder, [HEAD, *rows])
    whole = list(source.read())
    assert all(isinstance(row, Record | Rejection) for row in whole)
    filled = [n for n, row in enumerate(rows, start=1) if set(row) - {None, " "}]
    assert [row.position for row in whole] == filled
    tail = [contents(row) for row in whole if row.position > after]
    assert [contents(row) for row in source.read(after)] == tail
