"""Where the heading of a CSV file is: exports write titles and dates above it."""

import pytest

from connectors.declaration import parse_source
from connectors.errors import Stop
from connectors.record import Record
from connectors.sources.csv_file import CsvFileSource
from connectors.sources.header import TITLE_ROWS
from connectors.table import unmapped

TITLES = "会员列表\n导出时间,2026-03-01 08:00\n\n"
HEAD = "编号,姓名,手机\n"
ROWS = "".join(f"K{n},李静怡,1395714{n:04}\n" for n in range(1, 6))
ENTRY = {
    "connector": "csv",
    "location": "x.csv",
    "record_id": "编号",
    "fields": {"name": "姓名", "phone": "手机"},
}


def source_of(folder, text):
    (folder / "x.csv").write_text(text, encoding="utf-8")
    return CsvFileSource(parse_source("members", ENTRY), folder)


def positions(source, after=0):
    return [
        (row.position, row.record_id.reveal(reason="test") if isinstance(row, Record) else row.rule)
        for row in source.read(after)
    ]


def test_titles_above_the_heading_are_passed(tmp_path):
    """They do not shift positions: the same rows resume at the same place."""
    wanted = [(n, f"K{n}") for n in range(1, 6)]
    assert positions(source_of(tmp_path, HEAD + ROWS)) == wanted
    titled = source_of(tmp_path, TITLES + HEAD + ROWS)
    assert titled.check() == []
    assert positions(titled) == wanted
    assert positions(titled, 3) == wanted[3:]


def test_an_undeclared_file_is_looked_at_below_its_titles(tmp_path):
    """`cdp source init` sees columns and rows, and takes no row for a heading."""
    for above in ("", TITLES, "会员,,\n"):
        (tmp_path / "x.csv").write_text(above + HEAD + ROWS, encoding="utf-8")
        table = CsvFileSource(unmapped("x", "csv", "x.csv"), tmp_path).table()
        assert table.columns == ("编号", "姓名", "手机")
        assert (len(table.rows), table.crooked) == (5, 0)


@pytest.mark.parametrize(("above", "found"), [(TITLE_ROWS - 1, True), (TITLE_ROWS, False)])
def test_the_search_has_an_end(tmp_path, above, found):
    """Further below, the same words may be anything."""
    source = source_of(tmp_path, "x,y,z\n" * above + HEAD + ROWS)
    if found:
        assert len(positions(source)) == 5
    else:
        with pytest.raises(Stop, match="column_missing"):
            positions(source)


def test_a_row_that_cannot_be_read_is_no_heading(tmp_path):
    """A quote that is never closed in a title costs the title alone."""
    source = source_of(tmp_path, 'x\n"会员列表\n' + HEAD + ROWS)
    assert len(positions(source)) == 5


def test_a_missing_column_is_told_by_the_first_row(tmp_path):
    """Where no row has all columns nothing of a person is quoted."""
    with pytest.raises(Stop, match="column_missing") as stop:
        positions(source_of(tmp_path, "编号,姓名\n" + ROWS))
    assert "Missing: 手机" in stop.value.next_step
    assert "李静怡" not in str(stop.value)
