"""Logical rows of a CSV file (RFC 4180): a quoted cell may hold line breaks.

A broken row never takes its neighbours with it. When quotes are misplaced or never closed, the
row is taken to be its first physical line, and reading goes on with the line after that.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from connectors.record import RAW_LIMIT, Raw
from connectors.sources.physical_lines import Line, PhysicalLines

# After this many rows whose quote was lost over several lines, or so many bytes read once more for
# them, each line stands alone; otherwise a file made for the purpose could have each of its lines
# read as often as it has lines.
MAX_LOST_QUOTES: Final = 64
MAX_READ_AGAIN: Final = 1024**3

_UNCLOSED: Final = ("quote_unclosed", 'Close the cell with ", and write a " inside it as "".')
_MISPLACED: Final = ("quote_misplaced", 'Write a " inside a quoted cell as "".')
_TOO_LARGE: Final = ("cell_too_large", "Shorten the cell.")


@dataclass(frozen=True, slots=True, repr=False)
class GoodRow(Raw):
    """The cells of a row, unquoted."""

    cells: list[str]
    text: str  # as written, cut after RAW_LIMIT characters when it spans lines


@dataclass(frozen=True, slots=True)
class BadRow(Raw):
    """A row that gave no cells."""

    rule: str
    next_step: str
    text: str = field(repr=False)


class CellSplitter:
    """Splits one row, given line by line; ``open`` while a quoted cell goes on."""

    def __init__(self, delimiter: str, cell_limit: int) -> None:
        self._delimiter = delimiter
        self._limit = cell_limit
        self._parts: list[str] = []  # of the open cell
        self._size = 0  # characters in it, counted also when they are no longer kept
        self.cells: list[str] = []
        self.open = False
        self.misplaced = False
        self.too_large = False

    def feed(self, text: str, ending: str) -> None:
        """Take one more line; its ``ending`` belongs to a cell that goes on behind it."""
        start = self._quoted(text, 0) if self.open else self._cell(text, 0)
        while start is not None:
            start = self._cell(text, start)
        if self.open:
            self._add(ending)

    def _cell(self, text: str, start: int) -> int | None:
        """Read a cell that begins at ``start``; gives where the next one begins."""
        if text.startswith('"', start):
            return self._quoted(text, start + 1)
        end = text.find(self._delimiter, start)
        self._keep(text[start:] if end < 0 else text[start:end])
        return None if end < 0 else end + 1

    def _quoted(self, text: str, start: int) -> int | None:
        search = start
        while (quote := text.find('"', search)) >= 0:
            if not text.startswith('"', quote + 1):
                return self._close(text, start, quote)
            search = quote + 2
        self.open = True
        self._add(text[start:])
        return None

    def _close(self, text: str, start: int, quote: int) -> int | None:
        self._add(text[start:quote])
        self._keep("".join(self._parts).replace('""', '"'))
        self.open = False
        self._parts, self._size = [], 0
        if text.startswith(self._delimiter, quote + 1):
            return quote + 2
        self.misplaced = len(text) > quote + 1
        return None

    def _add(self, part: str) -> None:
        self._size += len(part)
        if self._size > 2 * self._limit:  # twice, because a quote is written as two
            self.too_large = True
            self._parts = []
        else:
            self._parts.append(part)

    def _keep(self, cell: str) -> None:
        self.too_large = self.too_large or exceeds(cell, self._limit)
        self.cells.append(cell)


def exceeds(cell: str, limit: int) -> bool:
    """Whether ``cell`` takes more than ``limit`` bytes of UTF-8."""
    # a character takes at most four bytes, so most cells need no counting
    return 4 * len(cell) > limit and len(cell.encode()) > limit


class CsvRows:
    """Iterates over the rows; None stands for a blank line, which keeps its position."""

    def __init__(
        self, lines: PhysicalLines, encoding: str, delimiter: str, cell_limit: int
    ) -> None:
        self._lines = lines
        self._encoding = encoding
        self._delimiter = delimiter
        self._cell_limit = cell_limit
        self._lost_quotes = 0
        self._read_again = 0  # bytes

    def __iter__(self) -> Iterator[GoodRow | BadRow | None]:
        while (line := self._lines.next()) is not None:
            if not line.text.strip(" "):
                yield None
            elif '"' in line.text:
                yield self._quoted_row(line)
            else:
                yield self._plain_row(line)

    def _plain_row(self, line: Line) -> GoodRow | BadRow:
        if problem := line.problem(self._encoding):
            return BadRow(*problem, line.text)
        cells = line.text.split(self._delimiter)
        if exceeds(line.text, self._cell_limit) and any(
            exceeds(cell, self._cell_limit) for cell in cells
        ):
            return BadRow(*_TOO_LARGE, line.text)
        return GoodRow(cells, line.text)

    def _quoted_row(self, first: Line) -> GoodRow | BadRow:
        splitter = CellSplitter(self._delimiter, self._cell_limit)
        text, problem = "", None
        line: Line | None = first
        last = first
        while line is not None:
            problem = problem or line.problem(self._encoding)
            if len(text) < RAW_LIMIT:  # else a long row would be copied for each of its lines
                text += (last.ending if splitter.open else "") + line.text
            splitter.feed(line.text, line.ending)
            last = line
            if splitter.misplaced or not splitter.open or not line.whole:
                break
            line = self._lines.next() if self._may_search() else None
        if splitter.misplaced:
            return self._lost_quote(first, last, _MISPLACED)
        if splitter.open and line is None:
            return self._lost_quote(first, last, _UNCLOSED)
        if problem or splitter.too_large:
            return BadRow(*(problem or _TOO_LARGE), text)
        return GoodRow(splitter.cells, text)

    def _may_search(self) -> bool:
        return self._lost_quotes < MAX_LOST_QUOTES and self._read_again < MAX_READ_AGAIN

    def _lost_quote(self, first: Line, last: Line, rule: tuple[str, str]) -> BadRow:
        if last is not first:
            self._lost_quotes += 1
            self._read_again += last.end - first.end
            self._lines.back_to(first)
        return BadRow(*rule, first.text)
