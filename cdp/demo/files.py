"""Writes rows as the files a retailer really has, same rows, same bytes; reads sheets back."""

import csv
import io
import json
import re
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import openpyxl

# A zip entry's oldest possible time stamp: a workbook's bytes must not tell the time.
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
_STAMP = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def csv_line(cells: Iterable[object], encoding: str) -> bytes:
    """Return one CSV line without its line end."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(cells)
    return text.getvalue().encode(encoding)


def json_line(row: object) -> bytes:
    """Return one JSON line without its line end."""
    return json.dumps(row, ensure_ascii=False).encode()


def write_lines(path: Path, lines: Iterable[bytes], line_end: bytes) -> None:
    """Write lines, each closed by the line end."""
    path.write_bytes(b"".join(line + line_end for line in lines))


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file in UTF-8."""
    lines = [csv_line(header, "utf-8"), *(csv_line(row, "utf-8") for row in rows)]
    write_lines(path, lines, b"\n")


def write_workbook(path: Path, title: str, rows: Iterable[Sequence[object]]) -> None:
    """Write rows as one sheet of an XLSX file, without any time stamp of now."""
    workbook = openpyxl.Workbook(write_only=True)
    sheet = workbook.create_sheet(title)
    for row in rows:
        sheet.append(list(row))
    stamped = io.BytesIO()
    workbook.save(stamped)
    with (
        zipfile.ZipFile(stamped) as source,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for entry in source.infolist():
            content = source.read(entry)
            if entry.filename == "docProps/core.xml":
                content = _STAMP.sub(b"1980-01-01T00:00:00Z", content)
            fixed = zipfile.ZipInfo(entry.filename, _ZIP_EPOCH)
            target.writestr(fixed, content, zipfile.ZIP_DEFLATED)


def read_workbook(path: Path) -> list[list[object]]:
    """Return the rows of the first sheet, each as long as the first; empty cells are None."""
    workbook = openpyxl.load_workbook(path, read_only=True)
    try:
        sheet = workbook.worksheets[0]
        rows: list[list[object]] = [[*row] for row in sheet.iter_rows(values_only=True)]
    finally:
        workbook.close()
    width = len(rows[0]) if rows else 0
    # A stored row ends with its last filled cell.
    return [[*row, *[None] * (width - len(row))] for row in rows]
