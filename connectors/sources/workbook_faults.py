"""What the reader of cells does not tell of a sheet: faults, merged cells, how far it reaches.

A cell that shows an error or was never calculated is given as empty, so a value would be lost
without a word; of merged cells all but the first are. And the reader makes the whole rectangle up
to the last cell at once: two cells in opposite corners would take 500 GB and end the process. So
the sheet's own XML is read first, as a stream (ECMA-376 part 1, 18.3.1.4: ``c`` with ``t="e"``;
``f`` without ``v``; ``mergeCell``). A document type declaration is refused, so no entity is ever
expanded.
"""

import posixpath
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import IO, Final, NoReturn
from xml.parsers import expat
from zipfile import ZipFile

from connectors.record import Raw

_CHUNK: Final = 256 * 1024
_SUSPECT: Final = re.compile(rb"""\bt\s*=\s*["']e["']|<(?:\w+:)?(?:f|mergeCell)[\s/>]""")
_CELLS: Final = re.compile(rb"<(?:\w+:)?c[\s/>]")
_PLACES: Final = re.compile(rb"""<(?:\w+:)?c\s+r=["']([A-Z]{1,3})([0-9]{1,7})["']""")
_ROWS: Final = re.compile(rb"""<(?:\w+:)?row[\s/>]""")
_REFERENCE: Final = re.compile(r"([A-Z]{1,3})([0-9]{1,7})")
_MERGED: Final = re.compile(r"[A-Z]{1,3}([0-9]{1,7}):[A-Z]{1,3}([0-9]{1,7})")
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")

ERROR: Final = "cell_error"
UNCALCULATED: Final = "formula_without_value"


class MalformedWorkbook(ValueError):  # noqa: N818 - caught by the reader
    """The parts of the workbook do not fit together."""


@dataclass(frozen=True, slots=True, repr=False)
class Looked(Raw):
    """What was found in the XML of a sheet.

    Attributes:
        faults: (row, column), both from 0, to ``cell_error`` or ``formula_without_value``.
        cells: of the rectangle from the first to the last cell.
        merged: areas of merged cells over more than one row.
    """

    faults: dict[tuple[int, int], str] = field(default_factory=dict)
    cells: int = 0
    merged: int = 0


def looked_into(archive: ZipFile, sheet: str) -> Looked:
    """Look into the XML of a sheet, before anything is made of it.

    Raises:
        MalformedWorkbook: when the sheet's XML cannot be found or read.
    """
    try:
        part = _part_of(archive, sheet)
        with archive.open(part) as stream:
            cells = _extent(stream)
        if cells is not None:
            return Looked(cells=cells)
        with archive.open(part) as stream:
            return _Cells().read(stream)
    except (KeyError, expat.ExpatError):
        raise MalformedWorkbook("the sheet cannot be read") from None


def _part_of(archive: ZipFile, sheet: str) -> str:
    targets: dict[str, str] = {}
    ids: dict[str, str] = {}

    def relation(tag: str, attributes: dict[str, str]) -> None:
        if tag == "Relationship":
            targets[attributes.get("Id", "")] = attributes.get("Target", "")

    def listed(tag: str, attributes: dict[str, str]) -> None:
        if tag == "sheet":
            ids[attributes.get("name", "")] = attributes.get("id", "")

    for part, start in (("xl/_rels/workbook.xml.rels", relation), ("xl/workbook.xml", listed)):
        with archive.open(part) as stream:
            _parser(start).ParseFile(stream)
    return posixpath.normpath(posixpath.join("/xl", targets[ids[sheet]])).removeprefix("/")


def _extent(stream: IO[bytes]) -> int | None:
    """How many cells the rectangle of a plain sheet has, told fast; None: look closer.

    A sheet is plain where each cell says where it is and none is suspect.
    """
    columns: set[bytes] = set()
    last_row = found = placed = rows = 0
    for chunk in _tags(stream):
        cut = b"<" in chunk[chunk.rfind(b">") + 1 :]
        if cut or _SUSPECT.search(chunk) or chunk.startswith(_UTF16):
            return None
        places = _PLACES.findall(chunk)
        columns.update(column for column, _ in places)
        last_row = max(last_row, *(int(row) for row in {row for _, row in places}), 0)
        placed += len(places)
        found += len(_CELLS.findall(chunk))
        rows += len(_ROWS.findall(chunk))
    if found != placed:
        return None
    return max(last_row, rows) * max((_number(one.decode()) for one in columns), default=0)


def _tags(stream: IO[bytes]) -> Iterator[bytes]:
    """The bytes of a stream in pieces that end where a tag does."""
    rest = b""
    for chunk in _chunks(stream):
        whole = rest + chunk
        end = whole.rfind(b">") + 1
        end = end if len(whole) - end <= _CHUNK else len(whole)
        yield whole[:end]
        rest = whole[end:]
    yield rest


def _chunks(stream: IO[bytes]) -> Iterator[bytes]:
    while chunk := stream.read(_CHUNK):
        yield chunk


def _parser(start: Callable[[str, dict[str, str]], None]) -> expat.XMLParserType:
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler = lambda tag, attributes: start(
        _local(tag), {_local(name): value for name, value in attributes.items()}
    )
    parser.StartDoctypeDeclHandler = _no_doctype
    return parser


def _local(name: str) -> str:
    return name.rpartition(" ")[2]


def _no_doctype(*_: object) -> NoReturn:
    raise MalformedWorkbook("a workbook has no document type declaration")


class _Cells:
    """Walks the cells of one sheet; a cell or row without a reference follows the one before."""

    def __init__(self) -> None:
        self._found: dict[tuple[int, int], str] = {}
        self._row, self._column = -1, -1
        self._height = self._width = self._merged = 0
        self._error = self._formula = self._value = self._in_value = False

    def read(self, stream: IO[bytes]) -> Looked:
        parser = _parser(self._start)
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.ParseFile(stream)
        return Looked(self._found, self._height * self._width, self._merged)

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "row":
            number = attributes.get("r", "")
            self._row = int(number) - 1 if number.isdecimal() else self._row + 1
            self._column = -1
        elif tag == "mergeCell":
            rows = _MERGED.fullmatch(attributes.get("ref", ""))
            self._merged += rows is not None and rows[1] != rows[2]
        elif tag == "c":
            self._place(attributes.get("r", ""))
            self._error = attributes.get("t") == "e"
            self._formula = self._value = False
        elif tag == "f":
            self._formula = True
        elif tag in {"v", "is"}:
            self._in_value = True

    def _text(self, text: str) -> None:
        self._value = self._value or (self._in_value and text != "")

    def _end(self, tag: str) -> None:
        tag = _local(tag)
        if tag in {"v", "is"}:
            self._in_value = False
        elif tag == "c" and self._error:
            self._found[self._row, self._column] = ERROR
        elif tag == "c" and self._formula and not self._value:
            self._found[self._row, self._column] = UNCALCULATED

    def _place(self, reference: str) -> None:
        match = _REFERENCE.fullmatch(reference)
        if match is None and reference:
            raise MalformedWorkbook("a cell says where it is in a way that nobody reads")
        if match is None:
            self._column += 1
        else:
            self._row, self._column = int(match[2]) - 1, _number(match[1]) - 1
        self._height = max(self._height, self._row + 1)
        self._width = max(self._width, self._column + 1)


def _number(letters: str) -> int:
    """The number of a column, from 1."""
    column = 0
    for letter in letters:
        column = 26 * column + ord(letter) - ord("A") + 1
    return column
