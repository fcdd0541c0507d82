"""What every source that is one local file does the same way."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO, Final

from connectors.base import Finding, Level
from connectors.declaration import SourceDeclaration
from connectors.digests import sha256_hex
from connectors.errors import Stop
from connectors.mapping import RowMapper
from connectors.record import Record, Rejection

CELL_LIMIT: Final = 1024 * 1024  # bytes of UTF-8
_CHUNK: Final = 1024 * 1024
_COUNT_SAMPLE: Final = 1024 * 1024


class FileSource(ABC):
    """A source that reads one file. Opens it anew for each call; holds nothing between calls."""

    def __init__(
        self, declaration: SourceDeclaration, folder: Path, *, cell_limit: int = CELL_LIMIT
    ) -> None:
        self._declaration = declaration
        self._path = folder / declaration.location
        self._mapper = RowMapper(declaration)
        self._cell_limit = cell_limit

    @property
    def name(self) -> str:
        """The name the declaration gives the source."""
        return self._declaration.name

    def fingerprint(self) -> str:
        """SHA-256 of the file's bytes, 64 hex digits. Raises ``Stop`` when there is no file."""
        with self._open() as file:
            return sha256_hex(iter(lambda: file.read(_CHUNK), b""))

    def check(self) -> list[Finding]:
        """Look at the file and its first rows. A reason to stop comes as an ERROR finding."""
        findings: list[Finding] = []
        try:
            findings.extend(self._inspect())
        except Stop as stop:
            subject = stop.field or self._declaration.location
            findings.append(Finding(Level.ERROR, stop.rule, subject, stop.next_step))
        return findings

    @abstractmethod
    def count(self) -> int | None:
        """About how many rows there are; None when the file cannot be read."""

    def read(self, after: int = 0) -> Iterator[Record | Rejection]:
        """Give the rows behind position ``after``, in order.

        Raises:
            Stop: when nothing can be read. Raised at the first row asked for.
            ValueError: when ``after`` is negative.
        """
        if after < 0:
            raise ValueError("a position is not negative")
        return self._rows(after)

    @abstractmethod
    def _rows(self, after: int) -> Iterator[Record | Rejection]: ...

    @abstractmethod
    def _inspect(self) -> Iterable[Finding]: ...

    def _detected(self, encoding: str) -> Iterator[Finding]:
        """A note of the encoding, when the declaration leaves it open."""
        if self._declaration.encoding == "auto":
            step = f"Declare encoding: {encoding} to make it certain."
            yield Finding(Level.NOTE, "encoding_detected", encoding, step)

    def _stop(self, rule: str, next_step: str, field: str | None = None) -> Stop:
        return Stop(self.name, rule, next_step, field=field)

    def _open(self) -> BinaryIO:
        location = self._declaration.location
        try:
            # non-blocking: opening a pipe would wait for its other end
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except (FileNotFoundError, NotADirectoryError):
            raise self._stop(
                "file_missing", f"Put the file at {location}, or correct the location."
            ) from None
        except OSError as error:
            raise self._stop(
                "file_unreadable", f"Allow reading {location} ({error.strerror})."
            ) from None
        if not S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise self._stop("not_a_file", f"{location} is not a file: correct the location.")
        return os.fdopen(descriptor, "rb")

    def _open_filled(self) -> BinaryIO:
        file = self._open()
        if os.fstat(file.fileno()).st_size == 0:
            file.close()
            raise self._stop("empty_file", "Export the file again: it holds nothing at all.")
        return file

    def _count_lines(self) -> int | None:
        """Lines of the file, counted in the first megabyte and stretched to its size."""
        try:
            with self._open() as file:
                size = os.fstat(file.fileno()).st_size
                sample = file.read(_COUNT_SAMPLE)
        except Stop:
            return None
        lines = sample.count(b"\n") + (len(sample) == size and not sample.endswith(b"\n"))
        return round(lines * size / len(sample)) if sample else 0
