"""A key ring on disk: whole or not at all, readable by its owner only.

1. It is created once; whoever is second learns it.
2. It is replaced only by who read what stands there, one writer at a time.
3. Killed at any moment, or on a full disk, the old ring or the new one is there, whole.
4. No copy of an older ring is kept: an old root or a retired key beside the new ring would
   undo every rotation. What a killed writer left is removed by the next one.
"""

import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cdp.errors import KithError
from cdp.vault import primitives
from cdp.vault.errors import (
    KeyRingChanged,
    KeyRingExists,
    KeyRingExposed,
    KeyRingGarbled,
    KeyRingMissing,
    KeyRingUnwritable,
)

MAX_BYTES = 2**20  # a ring of thousands of versions is far smaller
_OWNER_ONLY = 0o600
_OTHERS = 0o077
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def write_new(path: Path, content: bytes) -> None:
    """Create ``path`` with ``content``, mode 0600, durable before this returns.

    The content is written beside the target and then linked to its name. Linking fails
    when the name is taken, so of two processes one wins and the other learns it.

    Raises:
        KeyRingExists: something has that name, even a dangling symbolic link.
        KeyRingUnwritable: no such folder, no permission, no room, or no hard links.
    """

    def place(beside: Path) -> None:
        os.link(beside, path, follow_symlinks=False)
        beside.unlink()

    failure = _tried(path, content, place)
    del content, place  # it may hold the root: a traceback with locals must not show it
    if isinstance(failure, FileExistsError):
        raise KeyRingExists(
            "there is a key ring already, and one is never overwritten",
            "open it, or move it to a safe place first",
            key_ring=path,
        )
    if isinstance(failure, KithError):
        raise failure.at()  # anew: its own traceback passed by the content
    if failure is not None:
        raise KeyRingUnwritable(
            f"it cannot be created ({failure.strerror or type(failure).__name__})",
            "make its folder writable, on a local disk with room, and try again",
            key_ring=path,
        )


def replace(path: Path, expected: bytes, content: bytes) -> None:
    """Put ``content`` in the place of the ring whose `digest` is ``expected``.

    Mode and owner stay. It is durable before this returns. Where the last step of that
    fails, the new ring may be there and not yet safe from a loss of power.

    Raises:
        KeyRingChanged: another ring is there by now.
        KeyRingMissing, KeyRingExposed, KeyRingGarbled: as `read`.
        KeyRingUnwritable: no permission or no room.
    """

    def place(beside: Path) -> None:
        if digest(read(path)) != expected:
            raise _OvertakenError
        status = path.stat()
        if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
            os.chown(beside, status.st_uid, status.st_gid)
        os.replace(beside, path)  # noqa: PTH105 - one system call, said as such

    failure = _tried(path, content, place)
    del content, place
    if isinstance(failure, _OvertakenError):
        raise KeyRingChanged(
            "somebody else changed the key ring in the meantime",
            "run the same command again",
            key_ring=path,
        )
    if isinstance(failure, KithError):
        raise failure.at()  # anew, as above
    if failure is not None:
        raise KeyRingUnwritable(
            f"it cannot be written ({failure.strerror or type(failure).__name__})",
            "make its folder writable, with room, and see with cdp key status which ring is there",
            key_ring=path,
        )


def digest(content: bytes) -> bytes:
    """Return what tells two rings apart."""
    return primitives.digest(content)


class _OvertakenError(OSError):
    """Another ring is there than was read."""


def _tried(path: Path, content: bytes, place: Callable[[Path], None]) -> OSError | KithError | None:
    # The failure is returned, because one raised here would carry the content with it.
    try:
        with _alone(path.parent) as folder:
            _sweep(path)
            beside = path.parent / f".{path.name}.{secrets.token_hex(8)}.new"
            try:
                _write(beside, content)
                place(beside)
            finally:
                beside.unlink(missing_ok=True)
            os.fsync(folder)
    except (OSError, KithError) as failure:
        return failure
    return None


@contextmanager
def _alone(folder: Path) -> Iterator[int]:
    """Hold the folder for this writer. The lock ends with the process that has it."""
    handle = os.open(folder, _FOLDER)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle
    finally:
        os.close(handle)


def _sweep(path: Path) -> None:
    """Remove what killed writers left. The lock is held, so nobody is writing one now."""
    for left in path.parent.glob(f".{path.name}.*.new"):
        left.unlink(missing_ok=True)


def _write(beside: Path, content: bytes) -> None:
    handle = os.open(beside, _NEW, _OWNER_ONLY)
    try:
        os.fchmod(handle, _OWNER_ONLY)  # whatever the umask
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(handle, rest) :]
        os.fsync(handle)
    finally:
        os.close(handle)


def stamp(path: Path) -> tuple[int, ...] | None:
    """Return what changes when the ring is replaced or its mode; None where there is none."""
    try:
        status = path.stat(follow_symlinks=False)
    except OSError:
        return None
    times = status.st_mtime_ns, status.st_ctime_ns
    return status.st_dev, status.st_ino, status.st_mode, status.st_size, *times


def read(path: Path) -> bytes:
    """Return the content of the key ring at ``path``.

    What is checked is the opened file, not its name, so nothing can be put in its place
    between the check and the reading.

    Raises:
        KeyRingMissing: there is none.
        KeyRingExposed: a symbolic link, not a plain file, or readable by others.
        KeyRingGarbled: it is far too large, or the disk does not give it back.
    """
    handle = _open(path)
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise _exposed(path, "it is not a plain file")
        if status.st_mode & _OTHERS:
            mode = stat.S_IMODE(status.st_mode)
            raise _exposed(path, f"its mode is {mode:04o}, others than its owner may use it")
        if status.st_size <= MAX_BYTES:
            with os.fdopen(handle, "rb", closefd=False) as file:
                return file.read()
    finally:
        os.close(handle)
    raise KeyRingGarbled("it is too large for a key ring", "name the right file", key_ring=path)


def _open(path: Path) -> int:
    # O_NONBLOCK: a pipe put in its place must not hold the process for ever.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        return os.open(path, flags)
    except FileNotFoundError:
        pass
    except OSError as reason:
        if reason.errno != errno.ELOOP:
            raise _exposed(path, f"it cannot be opened ({reason.strerror})") from None
        raise _exposed(path, "it is a symbolic link") from None
    raise KeyRingMissing(
        "there is no key ring here",
        "restore it from your own copy: without it nothing in this database opens",
        key_ring=path,
    )


def _exposed(path: Path, found: str) -> KeyRingExposed:
    return KeyRingExposed(
        found,
        f"put the plain file there, owned by you, and run `chmod 600 {path}`",
        key_ring=path,
    )
