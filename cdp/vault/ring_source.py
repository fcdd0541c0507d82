"""The file that a ring was opened from, looked at again while a process goes on.

Rotation puts a newer ring in the file's place. A process that has the older one open would
fail on what others seal with the new key, and go on sealing with the old one. So it looks
again: at most once a second before it seals, and at once when it lacks a key version.

A ring that cannot be read now may be readable in a moment, with the same bytes in the file: its
mode is put right, or its provider answers again. So it is read again, after a second and then
after twice as long each time. Only a garbled file has to change first.
"""

import threading
import time
from pathlib import Path
from typing import Final, NamedTuple

from cdp.errors import KithError
from cdp.vault import ring_document, ring_file
from cdp.vault.errors import KeyRingGarbled
from cdp.vault.ring_document import RingDocument
from cdp.vault.roots.provider import RootProviders
from cdp.vault.secret import Secret

LOOK_AGAIN: Final = 1.0  # seconds
LONGEST_WAIT: Final = 30.0  # seconds until a ring that cannot be read is tried again
_Stamp = tuple[int, ...]


class _Failed(NamedTuple):
    """A state of the file that could not be read."""

    stamp: _Stamp
    wait: float  # seconds
    until: float  # of the monotonic clock


class RingSource:
    """Where a ring is read from, and which state of the file was read last."""

    __slots__ = ("_failed", "_lock", "_looked", "_path", "_providers", "_stamp", "_withheld")

    def __init__(
        self, path: Path, providers: RootProviders, withheld: frozenset[str] = frozenset()
    ) -> None:
        self._path = path
        self._providers = providers
        self._withheld = withheld  # purposes whose keys are left wrapped
        self._lock = threading.Lock()
        self._stamp = ring_file.stamp(path)
        self._failed: _Failed | None = None
        self._looked = time.monotonic()

    def read(self) -> RingDocument:
        """Read the ring. Errors are those of `ring_file.read` and `ring_document.decode`."""
        content = Secret(ring_file.read(self._path))
        return ring_document.decode(content.expose(), self._path, self._providers, self._withheld)

    def another(self, withheld: frozenset[str] = frozenset()) -> "RingSource":
        """Return a source of the same file that looks for itself, and leaves more wrapped."""
        source = RingSource(self._path, self._providers, self._withheld | withheld)
        source._stamp = self._stamp  # what the keys were read from, whatever is there by now
        return source

    def newer(self, *, at_once: bool) -> RingDocument | None:
        """Return the ring if the file changed since it was read; None if not.

        A file that cannot be read counts as unchanged: who has keys goes on with them, and it is
        tried again when it changes or when some time has passed.

        Args:
            at_once: look now, however short ago the last look was.
        """
        with self._lock:
            if not at_once and time.monotonic() - self._looked < LOOK_AGAIN:
                return None
            self._looked = time.monotonic()
            stamp = ring_file.stamp(self._path)
            if stamp is None or stamp == self._stamp or self._waits(stamp):
                return None
            return self._read_now(stamp)

    def _waits(self, stamp: _Stamp) -> bool:
        """Whether this state of the file was tried in vain a moment ago."""
        failed = self._failed
        return failed is not None and failed.stamp == stamp and time.monotonic() < failed.until

    def _read_now(self, stamp: _Stamp) -> RingDocument | None:
        try:
            document = self.read()
        except KeyRingGarbled:
            self._stamp, self._failed = stamp, None
            return None
        except (KithError, OSError):
            before = self._failed
            again = before is not None and before.stamp == stamp
            wait = min(2 * before.wait, LONGEST_WAIT) if before and again else LOOK_AGAIN
            self._failed = _Failed(stamp, wait, time.monotonic() + wait)
            return None
        self._stamp, self._failed = stamp, None
        return document
