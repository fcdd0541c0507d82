"""Two partitions of the same records, held against each other.

A partition is a label for each record. How two of them meet is the contingency table:
for each pair of groups that share records, how many. Everything that compares partitions
is counted from it; no pair of records is ever enumerated, so time and memory grow with
records, not with pairs.
"""

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Labels = Sequence[Hashable] | npt.NDArray[np.generic]
# Labels all of one of these types are numbered by Arrow, four times as fast.
_FAST: tuple[set[type], ...] = ({int}, {str}, {bytes})


@dataclass(frozen=True, slots=True)
class Contingency:
    """How the groups of a left and a right partition share records.

    Attributes:
        records: how many records there are.
        left_sizes, right_sizes: records of each group.
        left, right: the two groups of each cell; only cells with records are held.
        shared: records of each cell, at least 1.
    """

    records: int
    left_sizes: Ints
    right_sizes: Ints
    left: Ints
    right: Ints
    shared: Ints

    @property
    def exact(self) -> npt.NDArray[np.bool_]:
        """Per cell, whether it is a whole group of both sides."""
        same: npt.NDArray[np.bool_] = (self.shared == self.left_sizes[self.left]) & (
            self.shared == self.right_sizes[self.right]
        )
        return same

    @property
    def left_meets(self) -> Ints:
        """Per left group, how many right groups it shares records with."""
        return np.bincount(self.left, minlength=len(self.left_sizes))

    @property
    def right_meets(self) -> Ints:
        """Per right group, how many left groups it shares records with."""
        return np.bincount(self.right, minlength=len(self.right_sizes))


def numbered(labels: Labels) -> Ints:
    """Labels as numbers from 0 on; equal labels get equal numbers."""
    if isinstance(labels, np.ndarray):
        return np.unique(labels, return_inverse=True)[1].astype(np.int64).reshape(-1)
    if set(map(type, labels)) in _FAST:
        with suppress(pa.ArrowException, OverflowError, UnicodeError):
            codes = pa.chunked_array([pa.array(labels)]).dictionary_encode().combine_chunks()
            return np.asarray(codes.indices, np.int64)
    numbers = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    return np.fromiter(map(numbers.__getitem__, labels), np.int64, len(labels))


def numbered_or_alone(partition: Mapping[Hashable, Hashable], records: Iterable[Hashable]) -> Ints:
    """The labels of these records as numbers; a record without label is a group of its own."""
    lost = object()
    labels = [partition.get(record, lost) for record in records]
    numbers = numbered(labels)
    alone = np.flatnonzero(np.fromiter((label is lost for label in labels), np.bool_, len(labels)))
    # The first of them may keep the number they were all given.
    numbers[alone[1:]] = numbers.max(initial=0) + np.arange(1, max(len(alone), 1))
    return numbers


def contingency(left: Ints, right: Ints) -> Contingency:
    """The table of two partitions, given as ``numbered`` gives them, in record order."""
    left_sizes, right_sizes = np.bincount(left), np.bincount(right)
    cells, shared = np.unique(left * max(len(right_sizes), 1) + right, return_counts=True)
    rows, columns = np.divmod(cells, max(len(right_sizes), 1))
    return Contingency(len(left), left_sizes, right_sizes, rows, columns, shared)


def pairs_within(sizes: Ints) -> int:
    """Pairs of records inside groups of these sizes: sum of n (n - 1) / 2."""
    return int((sizes * (sizes - 1) // 2).sum())


def exact_sum(terms: Floats) -> float:
    """The sum, rounded once: the order of the terms, and so of the labels, is no matter."""
    return math.fsum(terms.tolist())


def share(part: float, whole: float) -> float:
    """``part / whole``; 1 where there is no whole."""
    return part / whole if whole else 1.0


def harmonic(one: float, other: float) -> float:
    """The harmonic mean of two shares; 0 if both are."""
    return 2 * one * other / (one + other) if one + other else 0.0
