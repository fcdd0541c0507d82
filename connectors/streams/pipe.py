"""Lines of a pipe as they come, and a word when none comes for a moment."""

import os
import select
from collections.abc import Iterator
from typing import Final

from connectors.sources.local_file import CELL_LIMIT
from connectors.sources.physical_lines import Line, PhysicalLines

MOMENT: Final = 1.0  # seconds
_CHUNK: Final = 1024 * 1024


def lines_of(descriptor: int, moment: float = MOMENT) -> Iterator[Line | None]:
    """Give each line once it is whole; None whenever nothing came for a moment.

    Args:
        descriptor: of the pipe, such as 0; it is not closed.
        moment: seconds.
    """
    pipe = _Pipe(descriptor)
    lines = PhysicalLines(pipe, "utf-8", CELL_LIMIT)  # type: ignore[arg-type] # reads lines alone
    while True:
        while not pipe.has_line(moment):
            yield None
        line = lines.next()
        if line is None:
            return
        yield line


class _Pipe:
    """What reads lines of a descriptor, and can tell whether one is there."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._held = bytearray()
        self._searched = 0  # bytes that are known to hold no line break
        self._ended = False

    def has_line(self, moment: float) -> bool:
        """Whether a line, or the end, is there or comes before a moment has passed."""
        while not self._ended and self._break() < 0 and len(self._held) < 64 * CELL_LIMIT:
            if not select.select([self._descriptor], [], [], moment)[0]:
                return False
            self._fill()
        return True

    def readline(self, limit: int) -> bytes:
        """The next line with its break, or the first ``limit`` bytes of it."""
        while not self._ended and self._break() < 0 and len(self._held) < limit:
            self._fill()
        place = self._break()
        end = min(limit, place + 1 if place >= 0 else len(self._held))
        line = bytes(self._held[:end])
        del self._held[:end]
        self._searched = 0
        return line

    def _break(self) -> int:
        place = self._held.find(b"\n", self._searched)
        if place < 0:
            self._searched = len(self._held)
        return place

    def _fill(self) -> None:
        chunk = os.read(self._descriptor, _CHUNK)
        self._held += chunk
        self._ended = not chunk
