"""Who has a stored blocking key: asked for many keys at a time, and once for each."""

import numpy as np
import sqlalchemy as sa

from cdp.resolution import block_rows
from identity.columns import Ints, Lists
from identity.pairs import places

EVERYBODY = np.iinfo(np.int64).max
_NOBODY: Ints = np.zeros(0, np.int64)


class Neighbours:
    """Members of blocks as they are stored. Use it within one transaction that changes none."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self._keys = self._most = _NOBODY  # asked for so far, ascending, and for how many of each
        self._members = Lists(np.zeros(1, np.int64), _NOBODY)

    def of(self, keys: Ints, most: Ints | int) -> tuple[Ints, Ints]:
        """The records with each of these stored keys: (place in ``keys``, record id).

        Args:
            keys: ascending, each once.
            most: at least so many records of each, if there are so many. Shape (keys,).
        """
        if not len(keys):
            return keys, keys
        wanted = np.broadcast_to(np.asarray(most, np.int64), keys.shape)
        at = places(self._keys, keys)
        unknown = at < 0
        unknown[~unknown] = self._most[at[~unknown]] < wanted[~unknown]
        if unknown.any():
            self._ask(keys[unknown], wanted[unknown])
            at = places(self._keys, keys)
        found = self._members.take(at)
        return found.rows(), found.keys

    def everybody(self, keys: Ints) -> Ints:
        """All records with one of these stored keys (ascending, each once)."""
        return self.of(keys, EVERYBODY)[1]

    def _ask(self, keys: Ints, most: Ints) -> None:
        place, member = block_rows.members(self._connection, keys, most)
        counts = np.bincount(place, minlength=len(keys))
        found = Lists(np.concatenate(([0], np.cumsum(counts))), member[np.argsort(place)])
        kept = np.flatnonzero(places(keys, self._keys) < 0)
        joined = np.concatenate((self._keys[kept], keys))
        order = np.argsort(joined)
        # Whoever has fewer than were asked for has no more.
        complete = np.where(counts < most, EVERYBODY, most)
        self._keys = joined[order]
        self._most = np.concatenate((self._most[kept], complete))[order]
        self._members = Lists.joined([self._members.take(kept), found]).take(order)
