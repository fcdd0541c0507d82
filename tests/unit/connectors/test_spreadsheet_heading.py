"""Where the heading of a sheet is: titles, and headings of headings, often stand above it."""

import openpyxl
import pytest

from connectors.base import Level
from connectors.declaration import parse_source
from connectors.errors import Stop
from connectors.record import Record
from connectors.sources.header import TITLE_ROWS
from connectors.sources.spreadsheet import SpreadsheetSource
from connectors.table import unmapped

TITLES = [["2024年会员名单（内部）"], [], ["会员资料", None, None, "联系方式"]]
HEAD = ["编号", "姓名", "生日", "手机", "邮箱"]
ROWS = [[n, "李静怡", 33000 + n, f"1395714{n:04}", f"m{n}@example.com"] for n in range(1, 6)]
ENTRY = {
    "connector": "xlsx",
    "location": "x.xlsx",
    "record_id": "编号",
    "fields": {"name": "姓名", "phone": "手机"},
}


def write(folder, rows, merged=()):
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    for area in merged:
        book.active.merge_cells(area)
    book.save(folder / "x.xlsx")


def positions(source):
    return [
        (row.position, row.record_id.reveal(reason="test") if isinstance(row, Record) else row.rule)
        for row in source.read()
    ]


def test_titles_above_the_heading_are_passed(tmp_path):
    """Merged titles do not shift positions, and no cell of them is a column or a merged value."""
    source = SpreadsheetSource(parse_source("members", ENTRY), tmp_path)
    write(tmp_path, [HEAD, *ROWS])
    plain = positions(source)
    write(tmp_path, [*TITLES, HEAD, *ROWS], ("A1:E1", "A3:C3", "D3:E3"))
    assert positions(source) == plain == [(n, str(n)) for n in range(1, 6)]
    assert source.check() == []
    assert [row.position for row in source.read(3)] == [4, 5]


def test_an_undeclared_sheet_is_looked_at_below_its_titles(tmp_path):
    """`cdp source init` sees the columns, and not the title of the list."""
    write(tmp_path, [*TITLES, HEAD, *ROWS], ("A1:E1",))
    table = SpreadsheetSource(unmapped("x", "xlsx", "x.xlsx"), tmp_path).table()
    assert table.columns == tuple(HEAD)
    assert len(table.rows) == len(ROWS)


def test_a_heading_with_gaps_is_the_heading(tmp_path):
    """The first row that is about as wide as the table: a column without a name is allowed."""
    write(tmp_path, [["编号", "姓名", None, "手机", "邮箱"], *ROWS])
    table = SpreadsheetSource(unmapped("x", "xlsx", "x.xlsx"), tmp_path).table()
    assert table.columns == ("编号", "姓名", "手机", "邮箱")


@pytest.mark.parametrize(("above", "found"), [(TITLE_ROWS - 1, True), (TITLE_ROWS, False)])
def test_the_search_has_an_end(tmp_path, above, found):
    """Far below, a row that says the same may be anything; the next step is as ever."""
    write(tmp_path, [*([n, "x"] for n in range(above)), HEAD, *ROWS])
    source = SpreadsheetSource(parse_source("members", ENTRY), tmp_path)
    if found:
        assert positions(source) == [(n, str(n)) for n in range(1, 6)]
    else:
        with pytest.raises(Stop, match="column_missing"):
            list(source.read())


def test_a_column_that_is_missing_is_named_by_the_first_row(tmp_path):
    """Where no row has them all, the first one is the heading, and a person is not quoted."""
    write(tmp_path, [["编号", "姓名"], *ROWS])
    [finding] = SpreadsheetSource(parse_source("members", ENTRY), tmp_path).check()
    assert (finding.level, finding.rule) == (Level.ERROR, "column_missing")
    assert "Missing: 手机" in finding.next_step
    assert "李静怡" not in finding.next_step
