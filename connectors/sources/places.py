"""Where the bytes of a file source come from: the one place that opens them.

A file of this machine is opened as it is. A file elsewhere is fetched once, whole, into a
temporary file without a name, and read from there, so that what was fingerprinted is what is
read; or it is looked into from afar, for a check.

Invariants, named by tests in ``tests/integration/test_places.py`` and ``test_places_sftp.py``:

1. No error shows a secret, or the location with one.
2. A file that changes while it is fetched is noticed, and nothing of it is used.
3. A copy has no name, and goes with the source that fetched it.
4. A file of this machine that changes between its fingerprint and its last row is noticed, so
   that what was read of it does not pass for the whole (``tests/unit/connectors``).
"""

import errno
import io
import os
import tempfile
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import IO, TYPE_CHECKING, BinaryIO, Final, Protocol

from connectors.errors import Retry, Stop

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_PIECE: Final = 8 * 1024**2  # bytes fetched at once
_MEGABYTE: Final = 1024**2
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class RemoteFile(Protocol):
    """One file elsewhere, as an engine reaches it. Each call raises ``Stop`` or ``Retry``."""

    def state(self) -> tuple[int, str]:
        """Size in bytes, and a text that changes when the content does."""
        ...

    def begin(self, size: int) -> None:
        """Expect the file to be read from its beginning to its end."""
        ...

    def read(self, start: int, count: int) -> bytes:
        """At most ``count`` bytes from ``start``; nothing at the end."""
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...


@dataclass(frozen=True, slots=True)
class Written:
    """Which file stands at a place, and what tells that somebody wrote into it."""

    file: tuple[int, int]  # device and number of the file
    size: int  # bytes
    time: int  # nanoseconds

    def may_be_read_on(self, now: "Written | None") -> bool:
        """Whether an open file is as it was: another in its place leaves it whole."""
        return now is None or now.file != self.file or now == self


class Place(Protocol):
    """Opens the bytes of one file."""

    @property
    def at_hand(self) -> bool:
        """Whether opening costs nothing."""
        ...

    def open(self) -> BinaryIO:
        """Open the file, to be read from its beginning. Raises ``Stop`` or ``Retry``."""
        ...

    def written(self) -> Written | None:
        """Which file it is and when it was written last; None: what is read cannot change."""
        ...

    def from_afar(self) -> "Place":
        """Return the same place, to look at little of the file."""
        ...


class LocalPlace:
    """A file of this machine."""

    at_hand: Final = True

    def __init__(self, source: str, folder: Path, location: str) -> None:
        self._source = source
        self._path = folder / location
        self._location = location

    def open(self) -> BinaryIO:
        """Open the file. Raises ``Stop`` when there is none, or it is no plain file."""
        location = self._location
        try:
            # non-blocking: opening a pipe would wait for its other end
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except (FileNotFoundError, NotADirectoryError):
            step = f"Put the file at {location}, or correct the location."
            raise Stop(self._source, "file_missing", step) from None
        except (OSError, ValueError) as error:  # a name with a NUL in it is no name
            why = getattr(error, "strerror", None) or "no such name"
            step = f"Allow reading {location} ({why})."
            raise Stop(self._source, "file_unreadable", step) from None
        if not S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            step = f"{location} is not a file: correct the location."
            raise Stop(self._source, "not_a_file", step)
        return os.fdopen(descriptor, "rb")

    def written(self) -> Written | None:
        """As the file system says; None where it says nothing."""
        try:
            found = os.stat(self._path)  # noqa: PTH116 - as the descriptor was opened
        except OSError:
            return None
        return Written((found.st_dev, found.st_ino), found.st_size, found.st_mtime_ns)

    def from_afar(self) -> "LocalPlace":
        """The same: it is near."""
        return self


class RemotePlace:
    """A file elsewhere. Keeps its copy as long as it lives."""

    def __init__(
        self,
        source: str,
        connect: Callable[[], RemoteFile],
        largest_mb: int,
        folder: Path | None = None,
    ) -> None:
        """Fetch nothing yet.

        Args:
            source: its name.
            connect: reaches the file.
            largest_mb: a file that is larger is not fetched.
            folder: of the copy; None: where temporary files are.
        """
        self._source = source
        self._connect = connect
        self._largest_mb = largest_mb
        self._folder = folder
        self._copy: int | None = None

    @property
    def at_hand(self) -> bool:
        """Whether the file was fetched."""
        return self._copy is not None

    def open(self) -> BinaryIO:
        """Open the copy, fetching it first. Raises ``Stop`` or ``Retry``."""
        if self._copy is None:
            self._copy = self._fetched()
            weakref.finalize(self, os.close, self._copy)
        return io.BufferedReader(_Copy(self._copy, self))

    def written(self) -> None:
        """Nobody else can write into the copy."""

    def from_afar(self) -> "Place":
        """The copy, where there is one; else the file itself, read piece by piece."""
        return self if self.at_hand else _Afar(self._connect)

    def _fetched(self) -> int:
        remote = self._connect()
        try:
            size, tag = remote.state()
            if size > self._largest_mb * _MEGABYTE:
                step = f"It has {size // _MEGABYTE} MB: raise remote.largest_mb, or split it."
                raise Stop(self._source, "file_too_large", step, field="location")
            remote.begin(size)
            with tempfile.TemporaryFile(buffering=0, dir=self._folder) as copy:
                self._fill(copy, remote, size)
                if remote.state() != (size, tag):
                    step = "Run it again when the file is written whole."
                    raise Retry(self._source, "changed_while_reading", step)
                return os.dup(copy.fileno())
        finally:
            remote.close()

    def _fill(self, copy: IO[bytes], remote: RemoteFile, size: int) -> None:
        done = 0
        while done < size and (piece := remote.read(done, min(_PIECE, size - done))):
            self._write(copy, piece, size)
            done += len(piece)
        if done != size:
            step = "Run it again: the connection ended before the file did."
            raise Retry(self._source, "connection_lost", step)

    def _write(self, copy: IO[bytes], piece: bytes, size: int) -> None:
        rest = memoryview(piece)
        try:
            while rest:
                rest = rest[copy.write(rest) :]
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            where = self._folder or tempfile.gettempdir()
            step = f"Make room for {size // _MEGABYTE + 1} MB where temporary files lie ({where})."
            raise Stop(self._source, "disk_full", step) from None


class _Copy(io.RawIOBase):
    """A reader of a shared descriptor, with a position of its own."""

    def __init__(self, descriptor: int, owner: RemotePlace) -> None:
        self._descriptor = descriptor
        self._owner = owner  # holds the descriptor open
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        count = os.preadv(self._descriptor, [buffer], self._at)
        self._at += count
        return count

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at}.get(whence)
        if base is None:
            base = os.fstat(self._descriptor).st_size
        self._at = max(base + offset, 0)
        return self._at


class _Afar:
    """A file elsewhere, opened anew each time and read where it lies."""

    at_hand: Final = True

    def __init__(self, connect: Callable[[], RemoteFile]) -> None:
        self._connect = connect

    def open(self) -> BinaryIO:
        remote = self._connect()
        try:
            size, _ = remote.state()
        except BaseException:
            remote.close()
            raise
        return io.BufferedReader(_Looked(remote, size), _MEGABYTE)

    def written(self) -> None:
        """It is looked at, and not read to its end."""

    def from_afar(self) -> "_Afar":
        return self


class _Looked(io.RawIOBase):
    """Reads a file where it lies."""

    def __init__(self, remote: RemoteFile, size: int) -> None:
        self._remote = remote
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        view = memoryview(buffer)
        piece = self._remote.read(self._at, min(len(view), max(self._size - self._at, 0)))
        view[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(base + offset, 0)
        return self._at

    def close(self) -> None:
        if not self.closed:
            self._remote.close()
        super().close()


def size_of(file: BinaryIO) -> int:
    """The size of an open file in bytes; its position stays where it was."""
    here = file.tell()
    size = file.seek(0, os.SEEK_END)
    file.seek(here)
    return size
