"""The shred ledger on disk: appended to, never rewritten.

1. What `append` returned from is on the disk. What it failed with is not in the file.
2. A last line without its end is of an append that a kill broke off: it counts for
   nothing, and the next append takes it away.
3. Nothing here decides whether lines are genuine: `cdp.vault.shreds.Sealer` does.
4. An append leaves a file that only its owner can read, whatever it was before.

Appends are made one after the other; the caller sees to it (a lock of the database).
"""

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

from cdp.vault import shreds
from cdp.vault.errors import ShredLedgerAltered, ShredLedgerUnwritable
from cdp.vault.shreds import EMPTY, Head, Line

_OWNER_ONLY: Final = 0o600
_TAIL: Final = 64 * 1024  # bytes; a line has at most 200 characters of reason
_PLAIN: Final = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_STEP: Final = "make room, or make its folder writable, then run the same command again"


@dataclass(frozen=True, slots=True)
class ShredFile:
    """The ledger file of one workspace. Without any shred there is none."""

    path: Path
    workspace: UUID

    def read(self) -> list[Line]:
        """Return every whole line, unchecked.

        Raises:
            ShredLedgerAltered: it is no ledger, or a line is none.
            OtherWorkspace: it is the ledger of another workspace.
        """
        whole = _whole(self._content(0))
        if not whole:
            return []
        shreds.check_first_line(whole[0], self.workspace)
        return [shreds.decode(one) for one in whole[1:]]

    def head(self) -> Head:
        """Return where the file ends; only its end is read.

        Raises:
            ShredLedgerAltered, OtherWorkspace: see ``read``.
        """
        size = self._size()
        if size > _TAIL:
            # What stands before the first end of a line there may be half of one.
            whole = _whole(self._content(size - _TAIL))[1:]
        else:
            whole = _whole(self._content(0))
            if whole:
                shreds.check_first_line(whole[0], self.workspace)
            whole = whole[1:]
        if not whole:
            return EMPTY
        last = shreds.decode(whole[-1])
        return Head(last.sequence, last.mac)

    def append(self, lines: Iterable[Line]) -> None:
        """Write lines behind the last whole one, durable before this returns.

        Raises:
            ShredLedgerUnwritable: no room, no permission, a failing disk; nothing is kept.
        """
        try:
            self._append(b"".join(map(shreds.encode, lines)))
        except OSError as reason:
            raise ShredLedgerUnwritable(
                f"shred_ledger_unwritable ({reason.strerror or type(reason).__name__})",
                _STEP,
                path=self.path,
            ) from None

    # ── inside ──────────────────────────────────────────────────────────────

    def _append(self, content: bytes) -> None:
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT | _PLAIN, _OWNER_ONLY)
        try:
            _plain_file(handle, self.path)
            if stat.S_IMODE(os.fstat(handle).st_mode) != _OWNER_ONLY:
                os.fchmod(handle, _OWNER_ONLY)  # a copy that was put back has another mode
            kept = _end_of_whole(handle)
            start = b"" if kept else shreds.first_line(self.workspace)
            try:
                os.ftruncate(handle, kept)
                _write_all(handle, kept, start + content)
                os.fsync(handle)
                if not kept:
                    # Not only of a file that was just made: an append that failed may have
                    # left it empty, under a name that is not on the disk.
                    _keep_name(self.path.parent)
            except OSError:
                # Half a line, or a line whose command will say that it failed.
                os.ftruncate(handle, kept)
                raise
        finally:
            os.close(handle)

    def _size(self) -> int:
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def _content(self, start: int) -> bytes:
        try:
            handle = os.open(self.path, os.O_RDONLY | _PLAIN)
        except FileNotFoundError:
            return b""
        except OSError as reason:
            raise _not_plain(self.path, reason.strerror or "unreadable") from None
        try:
            _plain_file(handle, self.path)  # first: of a folder no file object can be made
            with os.fdopen(handle, "rb", closefd=False) as file:
                file.seek(start)
                return file.read()
        finally:
            os.close(handle)


def _whole(content: bytes) -> list[bytes]:
    """The lines that have their end."""
    return content[: content.rfind(b"\n") + 1].splitlines(keepends=True)


def _end_of_whole(handle: int) -> int:
    """Where the last whole line ends."""
    end = os.fstat(handle).st_size
    while end:
        start = max(0, end - _TAIL)
        place = os.pread(handle, end - start, start).rfind(b"\n")
        if place >= 0:
            return start + place + 1
        end = start
    return 0


def _write_all(handle: int, at: int, content: bytes) -> None:
    done = 0
    while done < len(content):
        done += os.pwrite(handle, content[done:], at + done)


def _keep_name(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _plain_file(handle: int, path: Path) -> None:
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        raise _not_plain(path, "it is not a plain file")


def _not_plain(path: Path, found: str) -> ShredLedgerAltered:
    return ShredLedgerAltered(
        f"shred_ledger_unreadable ({found})", "put the plain file back, owned by you", path=path
    )
