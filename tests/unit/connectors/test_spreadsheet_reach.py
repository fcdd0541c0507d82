"""How far a sheet reaches is known before anything is made of it."""

import io
import zipfile

import openpyxl
import pytest

from connectors.declaration import parse_source
from connectors.errors import Stop
from connectors.sources.spreadsheet import SpreadsheetSource

ENTRY = {"connector": "xlsx", "location": "x.xlsx", "record_id": "id", "fields": {"name": "name"}}
SHEET = "xl/worksheets/sheet1.xml"


def source_with(folder, end):
    """A sheet with a row, and something put in the place of its end."""
    book = openpyxl.Workbook()
    book.active.append(["id", "name"])
    book.active.append([1, "a"])
    whole, out = io.BytesIO(), folder / "x.xlsx"
    book.save(whole)
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, data.replace(b"</sheetData>", end) if name == SHEET else data)
    return SpreadsheetSource(parse_source("old", ENTRY), folder)


FAR = '<row r="1048576"><c {}><v>1</v></c></row></sheetData>'


@pytest.mark.parametrize(
    "end",
    [
        FAR.format('r="XFD1048576"'),
        FAR.format('s="0" r="XFD1048576"'),
        FAR.format('r="&#88;FD1048576"'),
        FAR.format("r='XFD1048576'"),
        FAR.format('r="ZZZ9999999"'),
        '<row r="9999999999"><c><v>1</v></c></row></sheetData>',
        f'<row r="3"><c r="A3" s="{" " * 300_000}"/></row>' + FAR.format('r="XFD1048576"'),
        '<mergeCells><mergeCell ref="A1:A2"/></mergeCells>' + FAR.format('r="XFD1048576"'),
    ],
)
def test_a_sheet_that_reaches_far_stops(tmp_path, end):
    """Two cells in opposite corners would take 500 GB at once and end the process."""
    source = source_with(tmp_path, end.encode())
    with pytest.raises(Stop, match="sheet_too_large"):
        list(source.read())
    assert [one.rule for one in source.check()] == ["sheet_too_large"]


def test_a_place_that_nobody_reads_stops(tmp_path):
    """A cell may say where it is in one way only: of another, two readers make two places."""
    source = source_with(tmp_path, FAR.format('r="A4294967296"').encode())
    with pytest.raises(Stop, match="not_a_workbook"):
        list(source.read())


@pytest.mark.parametrize("place", ['r="C3"', ""])
def test_a_sheet_that_reaches_as_far_as_its_rows_is_read(tmp_path, place):
    """Whether its cells say where they are or not."""
    end = f'<row r="3"><c r="A3"><v>2</v></c><c {place}><v>5</v></c></row></sheetData>'
    source = source_with(tmp_path, end.encode())
    assert len(list(source.read())) == 2
