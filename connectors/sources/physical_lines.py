"""Physical lines of a text file, each decoded by itself, with bounded memory."""

from dataclasses import dataclass
from typing import BinaryIO, Final

from connectors.record import RAW_LIMIT, Raw
from connectors.sources.encodings import is_rather_utf8

LINE_FACTOR: Final = 16  # a line may hold this many cells of the largest size
_MARK: Final = "\ufeff"  # byte order mark


@dataclass(frozen=True, slots=True, repr=False)
class Line(Raw):
    """One line, without its line break."""

    text: str
    ending: str  # "\n", "\r\n" or, at the end of the file, ""
    decoded: bool  # False: the bytes are not valid, or of another encoding
    whole: bool  # False: longer than the limit; ``text`` is its beginning
    end: int  # byte offset behind it

    def problem(self, encoding: str) -> tuple[str, str] | None:
        """Rule and next step when the line cannot be used."""
        if not self.whole:
            return "row_too_large", "Shorten the row, or break it into several."
        if not self.decoded:
            return "not_decodable", f"Save this row as {encoding}, or declare its true encoding."
        return None


class PhysicalLines:
    """Lines in order; ``back_to`` returns to the end of an earlier one."""

    def __init__(self, file: BinaryIO, encoding: str, cell_limit: int) -> None:
        self._file = file
        self._encoding = encoding
        self._limit = LINE_FACTOR * cell_limit
        self._offset = 0

    def next(self) -> Line | None:
        """The next line, or None at the end."""
        data = self._file.readline(self._limit)
        if not data:
            return None
        first = self._offset == 0
        self._offset += len(data)
        whole = len(data) < self._limit or data.endswith(b"\n")
        if not whole:
            self._skip_rest()
            data = data[:RAW_LIMIT]
        try:
            text, decoded = data.decode(self._encoding), True
            if is_rather_utf8(data, self._encoding):
                text, decoded = data.decode(), False
        except UnicodeDecodeError:
            text, decoded = data.decode(self._encoding, "replace"), False
        if first:
            text = text.removeprefix(_MARK)
        body = text.removesuffix("\r\n") if text.endswith("\r\n") else text.removesuffix("\n")
        return Line(body, text[len(body) :], decoded, whole, self._offset)

    def back_to(self, line: Line) -> None:
        """Go on with what follows ``line``."""
        self._offset = self._file.seek(line.end)

    def _skip_rest(self) -> None:
        while data := self._file.readline(self._limit):
            self._offset += len(data)
            if data.endswith(b"\n"):
                return
