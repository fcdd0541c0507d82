"""The file that a ring was opened from, looked at again while a process goes on.

Rotation puts a newer ring in the file's place. A process that has the older one open would
fail on what others seal with the new key, and go on sealing with the old one. So it looks
again: at most once a second before it seals, and at once when it lacks a key version.
"""

import threading
import time
from pathlib import Path
from typing import Final

from cdp.errors import KithError, Retry
from cdp.vault import ring_document, ring_file
from cdp.vault.ring_document import RingDocument
from cdp.vault.roots.provider import RootProviders
from cdp.vault.secret import Secret

LOOK_AGAIN: Final = 1.0  # seconds


class RingSource:
    """Where a ring is read from, and which state of the file was read last."""

    __slots__ = ("_lock", "_looked", "_path", "_providers", "_stamp", "_withheld")

    def __init__(
        self, path: Path, providers: RootProviders, withheld: frozenset[str] = frozenset()
    ) -> None:
        self._path = path
        self._providers = providers
        self._withheld = withheld  # purposes whose keys are left wrapped
        self._lock = threading.Lock()
        self._stamp = ring_file.stamp(path)
        self._looked = time.monotonic()

    def read(self) -> RingDocument:
        """Read the ring. Errors are those of `ring_file.read` and `ring_document.decode`."""
        content = Secret(ring_file.read(self._path))
        return ring_document.decode(content.expose(), self._path, self._providers, self._withheld)

    def another(self, withheld: frozenset[str] = frozenset()) -> "RingSource":
        """Return a source of the same file that looks for itself, and leaves more wrapped."""
        return RingSource(self._path, self._providers, self._withheld | withheld)

    def newer(self, *, at_once: bool) -> RingDocument | None:
        """Return the ring if the file changed since it was read; None if not.

        A file that cannot be read counts as unchanged: who has keys goes on with them.

        Args:
            at_once: look now, however short ago the last look was.
        """
        with self._lock:
            if not at_once and time.monotonic() - self._looked < LOOK_AGAIN:
                return None
            self._looked = time.monotonic()
            stamp = ring_file.stamp(self._path)
            if stamp is None or stamp == self._stamp:
                return None
            try:
                document = self.read()
            except Retry:
                return None
            except KithError:
                document = None
            self._stamp = stamp
            return document
