"""Which record ids a file has had so far, and with what content, in little memory.

A long file has a row here for each of its own: 32 bytes, where a dictionary takes 230.

Invariants, each named by a test in ``tests/unit/ingest/test_seen.py``:
    1. It answers what a dictionary of the same keys and contents answers.
    2. The first content of a key stays.
"""

from collections.abc import Iterable, Mapping
from itertools import chain

import numpy as np
import numpy.typing as npt

from cdp.vault.keyed import DIGEST_BYTES

_Rows = npt.NDArray[np.uint64]  # shape (rows, 4): two halves of the key, two of the content


class Seen:
    """Keyed record ids with keyed contents, 16 bytes each, in sorted runs.

    A run is merged with the one before it once it is half as long, so that there are never
    more runs than the logarithm of all rows.
    """

    __slots__ = ("_runs",)

    def __init__(self) -> None:
        self._runs: list[_Rows] = []

    def known(self, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        """Return the content of each of the keys that was added."""
        asked = list(dict.fromkeys(keys))
        wanted = np.frombuffer(b"".join(asked), np.uint64).reshape(-1, 2)
        found: dict[bytes, bytes] = {}
        for run in self._runs:
            first = np.searchsorted(run[:, 0], wanted[:, 0])
            last = np.minimum(first, len(run) - 1)
            for at in np.flatnonzero(run[last, 0] == wanted[:, 0]).tolist():
                content = _content(run, int(first[at]), wanted[at])
                if content is not None:
                    found[asked[at]] = content
        return found

    def add(self, contents: Mapping[bytes, bytes]) -> None:
        """Add contents by key; of a key that is there already, the content stays."""
        before = self.known(contents)
        fresh = [pair for pair in contents.items() if pair[0] not in before]
        if not fresh:
            return
        rows = np.frombuffer(b"".join(chain.from_iterable(fresh)), np.uint64).reshape(-1, 4)
        self._runs.append(rows[np.argsort(rows[:, 0], kind="stable")])
        while len(self._runs) > 1 and 2 * len(self._runs[-1]) >= len(self._runs[-2]):
            both = np.concatenate((self._runs.pop(), self._runs.pop()))
            self._runs.append(both[np.argsort(both[:, 0], kind="stable")])


def _content(run: _Rows, at: int, key: npt.NDArray[np.uint64]) -> bytes | None:
    """The content of a key whose first half stands at ``at``, and perhaps behind it."""
    while at < len(run) and run[at, 0] == key[0]:
        if run[at, 1] == key[1]:
            row: bytes = run[at].tobytes()
            return row[-DIGEST_BYTES:]
        at += 1
    return None
