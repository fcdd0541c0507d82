"""Conditions over the features of two records, said once and read by every engine.

A condition is a small tree. It turns into SQL for DuckDB and for Spark, and it is
evaluated directly over numpy columns where a query would take too long. All of them
answer yes or no, never "unknown": a missing feature makes ``Equal`` false, not null.

Invariants:
    1. SQL and numpy give the same answer for every pair of records.
    2. Every condition is symmetric: exchanging the two records changes nothing.

Conditions are made by the functions at the end of this module. Equal ones are the same
object, so that what two comparisons ask for is found out once.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cache

import numpy as np

from identity.columns import Bools, Columns, Ints
from identity.features import MULTIPLE
from identity.meeting import FEW, in_common, meet_few, meet_many

# Lists that are made from the stored ones, see ``identity.sharing``.
LISTS = frozenset(MULTIPLE) - {"phones", "counted"} | {
    "phones_own",
    "phones_shared",
    "phones_apart",
    "counted_own",
}


class Dialect(Enum):
    """Where the SQL is going to run: (lists have a common key, length, common keys)."""

    DUCKDB = ("list_has_any", "len", "list_intersect")
    SPARK = ("arrays_overlap", "size", "array_intersect")


class Sides:
    """The two records of many pairs, and what was already found out about them."""

    def __init__(self, columns: Columns, left: Ints, right: Ints) -> None:
        """Compare the records at places ``left`` with those at places ``right``."""
        self._columns = columns
        self._left, self._right = left, right
        self._left_end, self._right_end = left + 1, right + 1
        self._known: dict[Condition, Bools] = {}
        self._gathered: dict[str, tuple[Ints, Ints]] = {}
        self._present: dict[str, tuple[Bools, Bools]] = {}
        self._met: dict[str, tuple[Bools, Bools]] = {}
        self.everywhere: Bools = np.ones(len(left), np.bool_)

    def __len__(self) -> int:
        return len(self._left)

    def known(self, condition: "Condition") -> Bools:
        """Evaluate a condition for every pair, once. Shape (pairs,)."""
        if condition not in self._known:
            self._known[condition] = condition.holds(self, self.everywhere)
        return self._known[condition]

    def single(self, feature: str) -> tuple[Ints, Ints]:
        """Both sides' keys of a single feature, 0 for missing. Shape (pairs,) each."""
        if feature not in self._gathered:
            keys = self._columns.singles[feature]
            self._gathered[feature] = keys[self._left], keys[self._right]
        return self._gathered[feature]

    def has(self, feature: str) -> tuple[Bools, Bools]:
        """Whether each side has the feature at all. Shape (pairs,) each."""
        if feature not in self._present:
            if feature in LISTS:
                starts = self._columns.lists[feature].starts
                left = starts[self._left_end] > starts[self._left]
                right = starts[self._right_end] > starts[self._right]
            else:
                left, right = (keys != 0 for keys in self.single(feature))
            self._present[feature] = left, right
        return self._present[feature]

    def share(self, feature: str, where: Bools) -> Bools:
        """Whether the two sides' lists have a key in common, right wherever ``where`` holds."""
        if feature not in self._met:
            # A pair in which one list is empty is answered from the start.
            left, right = self.has(feature)
            self._met[feature] = np.zeros(len(self), np.bool_), left & right
        answer, unasked = self._met[feature]
        rows = np.flatnonzero(unasked & where)
        if len(rows):
            unasked[rows] = False
            lists = self._columns.lists[feature]
            met = meet_few if len(rows) < FEW else meet_many
            answer[rows[met(lists, self._left[rows], self._right[rows])]] = True
        return answer

    def common(self, feature: str, rows: Ints) -> Ints:
        """How many keys the two sides' lists have in common, of the pairs at ``rows``."""
        return in_common(self._columns.lists[feature], self._left[rows], self._right[rows])


class Condition(ABC):
    """Something that two records fulfil or not."""

    @abstractmethod
    def sql(self, dialect: Dialect) -> str:
        """As SQL over columns with ``_l`` and ``_r``; true, or false or null for no."""

    @abstractmethod
    def holds(self, sides: Sides, where: Bools) -> Bools:
        """As numpy, right wherever ``where`` holds. Shape (pairs,)."""

    @abstractmethod
    def features(self) -> Iterator[str]:
        """The features that it reads, some of them more than once."""


@dataclass(frozen=True, slots=True, eq=False)
class Both(Condition):
    """Each of the two records has at least one of the features."""

    any_of: tuple[str, ...]

    def sql(self, dialect: Dialect) -> str:
        """Never null."""
        return f"({self._side(dialect, 'l')} AND {self._side(dialect, 'r')})"

    def _side(self, dialect: Dialect, side: str) -> str:
        told = [
            f"{dialect.value[1]}({feature}_{side}) > 0"
            if feature in LISTS
            else f"{feature}_{side} IS NOT NULL"
            for feature in self.any_of
        ]
        return f"({' OR '.join(told)})" if len(told) > 1 else told[0]

    def holds(self, sides: Sides, where: Bools) -> Bools:  # noqa: ARG002 - cheap everywhere
        """Present on the left and on the right."""
        left, right = sides.has(self.any_of[0])
        for feature in self.any_of[1:]:
            also_left, also_right = sides.has(feature)
            left, right = left | also_left, right | also_right
        return left & right

    def features(self) -> Iterator[str]:
        """The features."""
        yield from self.any_of


@dataclass(frozen=True, slots=True, eq=False)
class Equal(Condition):
    """Both records have the feature, and it is equal."""

    feature: str

    def sql(self, dialect: Dialect) -> str:  # noqa: ARG002 - every dialect says it so
        """Null where one side is missing."""
        return f"{self.feature}_l = {self.feature}_r"

    def holds(self, sides: Sides, where: Bools) -> Bools:  # noqa: ARG002 - cheap everywhere
        """Equal and not 0."""
        left, right = sides.single(self.feature)
        answer: Bools = (left == right) & (left != 0)
        return answer

    def features(self) -> Iterator[str]:
        """The one feature."""
        yield self.feature


@dataclass(frozen=True, slots=True, eq=False)
class Crossed(Condition):
    """Each record's ``one`` equals the other record's ``other``."""

    one: str
    other: str

    def sql(self, dialect: Dialect) -> str:  # noqa: ARG002 - every dialect says it so
        """Null where something is missing."""
        return f"({self.one}_l = {self.other}_r AND {self.one}_r = {self.other}_l)"

    def holds(self, sides: Sides, where: Bools) -> Bools:  # noqa: ARG002 - cheap everywhere
        """Equal both ways and not 0."""
        one, other = sides.single(self.one)
        back, there = sides.single(self.other)
        answer: Bools = (one == there) & (other == back) & (one != 0) & (other != 0)
        return answer

    def features(self) -> Iterator[str]:
        """The two features."""
        yield self.one
        yield self.other


@dataclass(frozen=True, slots=True, eq=False)
class Shared(Condition):
    """The two lists have a key in common."""

    feature: str

    def sql(self, dialect: Dialect) -> str:
        """Null where a list is null, which no feature table has."""
        return f"{dialect.value[0]}({self.feature}_l, {self.feature}_r)"

    def holds(self, sides: Sides, where: Bools) -> Bools:
        """Some key is on both sides."""
        return sides.share(self.feature, where)

    def features(self) -> Iterator[str]:
        """The one feature."""
        yield self.feature


@dataclass(frozen=True, slots=True, eq=False)
class Outnumbered(Condition):
    """The two lists ``fewer`` have fewer keys in common than the two lists ``more``."""

    fewer: str
    more: str

    def sql(self, dialect: Dialect) -> str:
        """Null where a list is null, which no feature table has."""
        _, size, common = dialect.value
        fewer, more = (f"{size}({common}({f}_l, {f}_r))" for f in (self.fewer, self.more))
        return f"{fewer} < {more}"

    def holds(self, sides: Sides, where: Bools) -> Bools:
        """Counted where the lists of ``more`` meet at all: most do not."""
        answer: Bools = np.zeros(len(sides), np.bool_)
        rows = np.flatnonzero(where & sides.share(self.more, where))
        answer[rows] = sides.common(self.fewer, rows) < sides.common(self.more, rows)
        return answer

    def features(self) -> Iterator[str]:
        """The two features."""
        yield self.fewer
        yield self.more


@dataclass(frozen=True, slots=True, eq=False)
class Not(Condition):
    """The condition does not hold."""

    condition: Condition

    def sql(self, dialect: Dialect) -> str:
        """Never null: what is unknown does not hold."""
        return f"NOT coalesce({self.condition.sql(dialect)}, FALSE)"

    def holds(self, sides: Sides, where: Bools) -> Bools:
        """The opposite."""
        return ~self.condition.holds(sides, where)

    def features(self) -> Iterator[str]:
        """Those of the condition."""
        return self.condition.features()


@dataclass(frozen=True, slots=True, eq=False)
class Every(Condition):
    """All of the conditions hold."""

    conditions: tuple[Condition, ...]

    def sql(self, dialect: Dialect) -> str:
        """Joined by AND."""
        return f"({' AND '.join(one.sql(dialect) for one in self.conditions)})"

    def holds(self, sides: Sides, where: Bools) -> Bools:
        """All of them; a later one is asked only where the earlier ones hold."""
        for one in self.conditions:
            where = where & one.holds(sides, where)
        return where

    def features(self) -> Iterator[str]:
        """Those of all conditions."""
        for one in self.conditions:
            yield from one.features()


@dataclass(frozen=True, slots=True, eq=False)
class Either(Condition):
    """At least one of the conditions holds."""

    conditions: tuple[Condition, ...]

    def sql(self, dialect: Dialect) -> str:
        """Joined by OR."""
        return f"({' OR '.join(one.sql(dialect) for one in self.conditions)})"

    def holds(self, sides: Sides, where: Bools) -> Bools:
        """Any of them; a later one is asked only where no earlier one holds."""
        answer = ~sides.everywhere
        for one in self.conditions:
            answer = answer | (where & one.holds(sides, where))
            where = where & ~answer
        return answer

    def features(self) -> Iterator[str]:
        """Those of all conditions."""
        for one in self.conditions:
            yield from one.features()


@cache
def both(*any_of: str) -> Condition:
    """Each of the two records has at least one of the features."""
    return Both(any_of)


@cache
def equal(feature: str) -> Condition:
    """Both records have the feature, and it is equal."""
    return Equal(feature)


@cache
def crossed(one: str, other: str) -> Condition:
    """Each record's ``one`` equals the other record's ``other``."""
    return Crossed(one, other)


@cache
def shared(feature: str) -> Condition:
    """The two lists have a key in common."""
    return Shared(feature)


@cache
def outnumbered(fewer: str, more: str) -> Condition:
    """The lists ``fewer`` have fewer keys in common than the lists ``more``."""
    return Outnumbered(fewer, more)


@cache
def negated(condition: Condition) -> Condition:
    """The condition does not hold."""
    return Not(condition)


@cache
def every(*conditions: Condition) -> Condition:
    """All of the conditions hold."""
    return Every(conditions)


@cache
def either(*conditions: Condition) -> Condition:
    """At least one of the conditions holds."""
    return Either(conditions)


def lacking(*any_of: str) -> Condition:
    """One record, or both, has none of the features."""
    return negated(both(*any_of))


def unless_told(feature: str) -> Condition:
    """The feature is equal, or one of the records does not tell it."""
    return either(lacking(feature), equal(feature))


def unequal(feature: str) -> Condition:
    """Both records have the feature, and it is not equal."""
    return every(both(feature), negated(equal(feature)))
