"""A key ring on disk: created once, whole or not at all, readable by its owner only."""

import errno
import os
import stat
import tempfile
from pathlib import Path

from cdp.vault.errors import (
    KeyRingExists,
    KeyRingExposed,
    KeyRingGarbled,
    KeyRingMissing,
    KeyRingUnwritable,
)

MAX_BYTES = 2**20  # a ring of thousands of versions is far smaller
_OWNER_ONLY = 0o600
_OTHERS = 0o077


def write_new(path: Path, content: bytes) -> None:
    """Create ``path`` with ``content``, mode 0600, durable before this returns.

    The content is written beside the target and then linked to its name. Linking fails
    when the name is taken, so of two processes one wins and the other learns it.

    Raises:
        KeyRingExists: something has that name, even a dangling symbolic link.
        KeyRingUnwritable: no such folder, no permission, no room, or no hard links.
    """
    try:
        _write_new(path, content)
    except FileExistsError:
        failure = None
    except OSError as reason:
        failure = reason.strerror or type(reason).__name__
    else:
        return
    del content  # it holds the root: a traceback with locals must not show it
    if failure is None:
        raise KeyRingExists(
            "there is a key ring already, and one is never overwritten",
            "open it, or move it to a safe place first",
            key_ring=path,
        )
    raise KeyRingUnwritable(
        f"it cannot be created ({failure})",
        "make its folder writable, on a local disk with room, and try again",
        key_ring=path,
    )


def _write_new(path: Path, content: bytes) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".new", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), _OWNER_ONLY)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(name, path, follow_symlinks=False)
    finally:
        Path(name).unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


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
