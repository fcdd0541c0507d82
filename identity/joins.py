"""What two records must have in common for a condition to hold, as keys to join on.

A condition is brought into a disjunction of clauses. A clause holds only for records that
agree on its positive parts, so that its pairs are found by a join on keys and every other pair
is known not to fulfil it. That is what lets ``identity.chance`` count all pairs of records
without looking at each.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from identity.candidates import blocks
from identity.columns import Columns, Ints
from identity.conditions import (
    Both,
    Condition,
    Crossed,
    Either,
    Equal,
    Every,
    Not,
    Outnumbered,
    Shared,
    shared,
)

Atom = Equal | Crossed | Shared


@dataclass(frozen=True, slots=True)
class Clause:
    """Parts that must hold together; what only asks whether a feature is there is left out.

    Attributes:
        alike: what two records must agree on.
        unlike: what they must not agree on.
    """

    alike: tuple[Atom, ...] = ()
    unlike: tuple[Atom, ...] = ()


def clauses(condition: Condition, *, negative: bool = False) -> tuple[Clause, ...]:
    """The condition, or its opposite, as clauses of which at least one must hold."""
    if isinstance(condition, Not):
        return clauses(condition.condition, negative=not negative)
    if isinstance(condition, Every | Either):
        parts = [clauses(one, negative=negative) for one in condition.conditions]
        if isinstance(condition, Either) is not negative:  # any of the parts is enough
            return _distinct(clause for part in parts for clause in part)
        return _distinct(_together(chosen) for chosen in product(*parts))
    if isinstance(condition, Equal | Crossed | Shared):
        return (Clause(unlike=(condition,)) if negative else Clause(alike=(condition,)),)
    if isinstance(condition, Outnumbered):
        # Lists that are outnumbered meet; whether they are is asked of every pair that does.
        return clauses(shared(condition.more), negative=negative)
    if isinstance(condition, Both):
        return (Clause(),)
    raise TypeError(f"no clauses of a {type(condition).__name__}")


def _together(chosen: Sequence[Clause]) -> Clause:
    alike = dict.fromkeys(atom for clause in chosen for atom in clause.alike)
    unlike = dict.fromkeys(atom for clause in chosen for atom in clause.unlike)
    return Clause(tuple(alike), tuple(unlike))


def _distinct(found: Iterable[Clause]) -> tuple[Clause, ...]:
    return tuple(dict.fromkeys(found))


def keys_alike(person: Columns, alike: Iterable[Atom]) -> tuple[Ints, Ints]:
    """Keys that two records share whenever they agree on all of ``alike``.

    The converse need not hold: who joins on the keys looks at the pairs.

    Returns:
        Places of records and their keys, a place once for each of its keys.
    """
    row, key = np.arange(len(person)), np.zeros(len(person), np.int64)
    for atom in alike:
        if isinstance(atom, Shared):
            held = person.lists[atom.feature].take(row)
            row, key = row[held.rows()], key[held.rows()] ^ held.keys
        else:
            told = np.ones(len(row), np.bool_)
            for feature in atom.features():
                part = person.singles[feature][row]
                told &= part != 0
                key = key ^ part  # symmetric, as a crossed condition is
            row, key = row[told], key[told]
    return row, key


def joins(key: Ints) -> int:
    """How many pairs a join on the keys gives, one counted for each key that it shares."""
    _, sizes = blocks(np.sort(key))
    return int((sizes * (sizes - 1) // 2).sum())
