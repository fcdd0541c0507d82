"""Cells of a workbook that show an error or were never calculated.

The reader of cell values gives both as empty, so a value would be lost without a word. They are
found in the sheet's own XML (ECMA-376 part 1, 18.3.1.4: ``c`` with ``t="e"``; ``f`` without ``v``),
read as a stream. A document type declaration is refused, so no entity is ever expanded.
"""

import posixpath
import re
from collections.abc import Callable, Iterator
from typing import IO, Final, NoReturn
from xml.parsers import expat
from zipfile import ZipFile

_CHUNK: Final = 256 * 1024
_OVERLAP: Final = 16  # bytes kept between chunks, so that a cut does not hide a mark
_SUSPECT: Final = re.compile(rb"""\bt\s*=\s*["']e["']|<(?:\w+:)?f[\s/>]""")
_REFERENCE: Final = re.compile(r"([A-Z]{1,3})([0-9]{1,7})")
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")

ERROR: Final = "cell_error"
UNCALCULATED: Final = "formula_without_value"


class MalformedWorkbook(ValueError):  # noqa: N818 - caught by the reader
    """The parts of the workbook do not fit together."""


def faults(archive: ZipFile, sheet: str) -> dict[tuple[int, int], str]:
    """Map (row, column), both from 0, to ``cell_error`` or ``formula_without_value``.

    Raises:
        MalformedWorkbook: when the sheet's XML cannot be found or read.
    """
    try:
        part = _part_of(archive, sheet)
        with archive.open(part) as stream:
            if not _suspect(stream):
                return {}
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


def _suspect(stream: IO[bytes]) -> bool:
    tail = b""
    for chunk in _chunks(stream):
        if _SUSPECT.search(tail + chunk) or chunk.startswith(_UTF16):
            return True
        tail = chunk[-_OVERLAP:]
    return False


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
        self._error = self._formula = self._value = self._in_value = False

    def read(self, stream: IO[bytes]) -> dict[tuple[int, int], str]:
        parser = _parser(self._start)
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.ParseFile(stream)
        return self._found

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "row":
            number = attributes.get("r", "")
            self._row = int(number) - 1 if number.isdecimal() else self._row + 1
            self._column = -1
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
        if match is None:
            self._column += 1
            return
        column = 0
        for letter in match[1]:
            column = 26 * column + ord(letter) - ord("A") + 1
        self._row, self._column = int(match[2]) - 1, column - 1
