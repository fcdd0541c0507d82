"""Keyed features of many records as numpy arrays, ready to be compared pair by pair.

A single feature is one int64 a record, 0 for missing. A list feature is stored flat:
``keys[starts[i]:starts[i + 1]]`` are record i's keys, ascending.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Lists:
    """One list feature of many records.

    Attributes:
        starts: shape (records + 1,).
        keys: the keys of all records, one record after another.
    """

    starts: Ints
    keys: Ints

    def counts(self) -> Ints:
        """How many keys each record has. Shape (records,)."""
        counts: Ints = self.starts[1:] - self.starts[:-1]
        return counts

    def rows(self) -> Ints:
        """The record that each key belongs to. Shape (keys,)."""
        return np.repeat(np.arange(len(self.starts) - 1), self.counts())

    def take(self, rows: Ints) -> "Lists":
        """The lists of the records at ``rows``, in that order."""
        if not len(self.keys):
            return Lists(np.zeros(len(rows) + 1, np.int64), self.keys)
        counts = self.counts()[rows]
        starts = np.concatenate(([0], np.cumsum(counts)))
        places = np.arange(starts[-1]) + np.repeat(self.starts[rows] - starts[:-1], counts)
        return Lists(starts, self.keys[places])

    @classmethod
    def joined(cls, parts: "Sequence[Lists]") -> "Lists":
        """The lists of all parts, one part after another."""
        counts = np.concatenate([part.counts() for part in parts])
        return cls(
            np.concatenate(([0], np.cumsum(counts))), np.concatenate([part.keys for part in parts])
        )

    def kept(self, chosen: Bools) -> "Lists":
        """The same records with only the ``chosen`` keys. Shape of ``chosen``: (keys,)."""
        if not len(self.keys):
            return self
        before = np.concatenate(([0], np.cumsum(chosen)))
        return Lists(before[self.starts], self.keys[chosen])


@dataclass(frozen=True, slots=True)
class Columns:
    """Features by name, of the records in ``ids``.

    Attributes:
        ids: record ids. Shape (records,).
        singles: per single feature the key, 0 for missing. Shape (records,) each.
        lists: per list feature the keys.
    """

    ids: Ints
    singles: Mapping[str, Ints]
    lists: Mapping[str, Lists]

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Ints) -> "Columns":
        """The records at ``rows``, in that order."""
        return Columns(
            self.ids[rows],
            {name: keys[rows] for name, keys in self.singles.items()},
            {name: keys.take(rows) for name, keys in self.lists.items()},
        )

    def between(self, start: int, end: int) -> "Columns":
        """The records from place ``start`` to before ``end``, without copying a key."""
        lists = {}
        for name, held in self.lists.items():
            starts = held.starts[start : end + 1]
            lists[name] = Lists(starts - starts[0], held.keys[starts[0] : starts[-1]])
        singles = {name: keys[start:end] for name, keys in self.singles.items()}
        return Columns(self.ids[start:end], singles, lists)

    def ascending(self) -> "Columns":
        """The same records in the order of their ids."""
        if (self.ids[1:] > self.ids[:-1]).all():
            return self
        return self.take(np.argsort(self.ids, kind="stable"))

    def table(self) -> pa.Table:
        """As a table: null for a missing single, an empty list for an empty one."""
        columns = {"id": pa.array(self.ids)}
        for name, keys in self.singles.items():
            columns[name] = pa.array(keys, mask=keys == 0)
        for name, lists in self.lists.items():
            columns[name] = pa.ListArray.from_arrays(
                pa.array(lists.starts.astype(np.int32)), pa.array(lists.keys)
            )
        return pa.table(columns)

    @classmethod
    def joined(cls, parts: "Sequence[Columns]") -> "Columns":
        """The records of all parts, one part after another; at least one part."""
        first = parts[0]
        return cls(
            np.concatenate([part.ids for part in parts]),
            {
                name: np.concatenate([part.singles[name] for part in parts])
                for name in first.singles
            },
            {name: Lists.joined([part.lists[name] for part in parts]) for name in first.lists},
        )

    @classmethod
    def of(cls, table: pa.Table, threads: int = 1) -> "Columns":
        """The columns of a table as ``identity.features.unpack`` gives it.

        Args:
            table: of features.
            threads: columns that are read side by side.
        """
        names = [name for name in table.column_names if name != "id"]
        with ThreadPoolExecutor(threads) as pool:
            read = dict(zip(names, pool.map(lambda name: _read(table[name]), names), strict=True))
        lists = {name: keys for name, keys in read.items() if isinstance(keys, Lists)}
        singles = {name: keys for name, keys in read.items() if not isinstance(keys, Lists)}
        return cls(table["id"].to_numpy(), singles, lists)


def ordered(keys: Ints) -> Ints:
    """The places of the keys in ascending order; equal keys stay in the order they have.

    What a stable argsort gives, several times faster: as many leading bits of the key as fit
    and its place are sorted as one integer, and the few keys that only differ further down
    are put right afterwards.

    Args:
        keys: not negative. Shape (keys,).
    """
    low_bits = np.int64((1 << max(0, len(keys) - 1).bit_length()) - 1)
    packed = np.sort((keys & ~low_bits) | np.arange(len(keys)))
    places = packed & low_bits
    if len(keys) < 2:
        return places
    held = keys[places]
    alike = (packed[1:] ^ packed[:-1]) <= low_bits
    wrong = np.flatnonzero(alike & (held[1:] != held[:-1]))
    if len(wrong):
        run = np.concatenate(([0], np.cumsum(~alike)))
        mixed = np.zeros(run[-1] + 1, np.bool_)
        mixed[run[wrong]] = True
        here = np.flatnonzero(mixed[run])
        places[here] = places[here[np.argsort(held[here], kind="stable")]]
    return places


def distinct(keys: Ints) -> Ints:
    """The keys ascending and each once; several times faster than numpy's hash table."""
    keys = np.sort(keys)
    each: Ints = keys[np.concatenate((keys[:1] == keys[:1], keys[1:] != keys[:-1]))]
    return each


def _read(column: pa.ChunkedArray) -> Ints | Lists:
    whole = column.combine_chunks()
    if pa.types.is_list(whole.type):
        return _lists(whole)
    keys: Ints = whole.fill_null(0).to_numpy()
    return keys


def _lists(column: pa.ListArray) -> Lists:
    column = column.fill_null([]) if column.null_count else column
    starts = column.offsets.to_numpy().astype(np.int64)
    keys = column.values.to_numpy()[starts[0] : starts[-1]]
    return Lists(starts - starts[0], keys)
