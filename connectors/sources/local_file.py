"""What every source that is one file does the same way, wherever the file lies."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final, Self

from connectors.base import Finding, Level
from connectors.credentials import Credentials
from connectors.declaration import SourceDeclaration
from connectors.digests import sha256_hex
from connectors.errors import ConnectorError, Retry, Stop
from connectors.mapping import RowMapper
from connectors.record import Record, Rejection
from connectors.remote import CREDENTIALS, address_of
from connectors.sources.forms import form_of
from connectors.sources.places import LocalPlace, Place, RemotePlace, Written, size_of
from connectors.sources.remote_files import reach

CELL_LIMIT: Final = 1024 * 1024  # bytes of UTF-8
_CHUNK: Final = 1024 * 1024
_COUNT_SAMPLE: Final = 1024 * 1024


class FileSource(ABC):
    """A source that reads one file, opened anew for each call.

    Of a file elsewhere it keeps a copy while it lives: see `connectors.sources.places`.
    """

    def __init__(
        self,
        declaration: SourceDeclaration,
        folder: Path,
        credentials: Credentials | None = None,
        *,
        cell_limit: int = CELL_LIMIT,
    ) -> None:
        self._declaration = declaration
        self._credentials = credentials or Credentials(declaration.name, {})
        self._place = _place_of(declaration, folder, self._credentials)
        self._mapper = RowMapper(declaration)
        self._cell_limit = cell_limit
        self._printed: Written | None = None  # the file whose fingerprint was given

    @property
    def name(self) -> str:
        """The name the declaration gives the source."""
        return self._declaration.name

    def fingerprint(self) -> str:
        """SHA-256 of the file's bytes, 64 hex digits.

        Raises:
            Stop: there is no file, or it cannot be had.
            Retry: it cannot be had now, or is being written.
        """
        before = self._place.written()
        with self._open() as file:
            found = sha256_hex(iter(lambda: file.read(_CHUNK), b""))
        self._require_unchanged(before)
        self._printed = before
        return found

    def check(self) -> list[Finding]:
        """Look at the file and its first rows. A reason to stop comes as an ERROR finding."""
        findings: list[Finding] = []
        try:
            findings.extend(self.from_afar()._inspect())  # noqa: SLF001 - of its own kind
        except ConnectorError as stop:
            subject = stop.field or self._declaration.location
            findings.append(Finding(Level.ERROR, stop.rule, subject, stop.next_step))
        return findings

    def from_afar(self) -> Self:
        """The same source, which does not fetch the whole of a file for its first rows."""
        looking = copy.copy(self)
        looking._place = self._place.from_afar()  # noqa: SLF001 - of its own kind
        return looking

    def first(self, most: int) -> list[Record | Rejection]:
        """The first rows, mapped."""
        rows = self.from_afar().read()
        try:
            return list(islice(rows, most))
        finally:
            if isinstance(rows, Generator):
                rows.close()

    def count(self) -> int | None:
        """About how many rows there are; None when the file cannot be read, or is not here yet."""
        if not self._place.at_hand:
            return None
        try:
            return self._count()
        except ConnectorError:
            return None

    @abstractmethod
    def _count(self) -> int | None: ...

    def read(self, after: int = 0) -> Iterator[Record | Rejection]:
        """Give the rows behind position ``after``, in order.

        Raises:
            Stop: when nothing can be read. Raised at the first row asked for.
            Retry: the file changed since its fingerprint was given, or while it was read.
            ValueError: when ``after`` is negative.
        """
        if after < 0:
            raise ValueError("a position is not negative")
        return self._unchanged_rows(after)

    def _unchanged_rows(self, after: int) -> Iterator[Record | Rejection]:
        before = self._place.written()
        if before is not None and self._printed not in (None, before):
            raise self._changed()
        yield from self._rows(after)
        self._require_unchanged(before)

    def _require_unchanged(self, before: Written | None) -> None:
        if before is not None and not before.may_be_read_on(self._place.written()):
            raise self._changed()

    def _changed(self) -> Retry:
        step = "Run it again when the file is written whole."
        return Retry(self.name, "changed_while_reading", step)

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
        return self._place.open()

    def _open_filled(self) -> BinaryIO:
        file = self._open()
        if size_of(file) == 0:
            file.close()
            raise self._stop("empty_file", "Export the file again: it holds nothing at all.")
        return file

    def _require_text(self, file: BinaryIO) -> None:
        """Refuse what is no text, whatever its name says. Its bytes may decode all the same."""
        form = form_of(file)
        if form is not None:
            raise self._stop("not_text", f"It is {form.name}. {form.next_step}")

    def _count_lines(self) -> int:
        """Lines of the file, counted in the first megabyte and stretched to its size."""
        with self._open() as file:
            size = size_of(file)
            sample = file.read(_COUNT_SAMPLE)
        lines = sample.count(b"\n") + (len(sample) == size and not sample.endswith(b"\n"))
        return round(lines * size / len(sample)) if sample else 0


def _place_of(declaration: SourceDeclaration, folder: Path, credentials: Credentials) -> Place:
    name, location, remote = declaration.name, declaration.location, declaration.remote
    address = address_of(name, location)
    credentials.require_known(CREDENTIALS[address.scheme] if address else frozenset())
    if address is None:
        return LocalPlace(name, folder, location)
    return RemotePlace(
        name, partial(reach, address, remote, credentials, folder), remote.largest_mb
    )
