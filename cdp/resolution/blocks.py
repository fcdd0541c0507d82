"""Blocking keys at rest: who shares one, without opening every record.

Invariants:
    1. What is stored is a keyed pseudonym of a compound of keyed features: it names a
       block, and neither a value nor a feature.
    2. The stored keys of a record are those that a full run would give it: they follow
       from its features and from how many people use its numbers.
    3. Whoever holds a number is found, even if the number names nobody.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import sqlalchemy as sa
from pyarrow import csv

from cdp.vault.keyed import BlockKeyer
from identity import features
from identity.blocking import MOST, RULES, keys_of
from identity.columns import Columns, Ints
from identity.sharing import PhoneUse

HOLDER = len(RULES)  # the rule of "holds this number", which makes no pairs by itself
VERSION = 2
_PARAMETER = "CAST(:keys AS bigint[])"


def made_with(most_people: int) -> str:
    """What the stored keys depend on beside the records: another answer, and they are remade."""
    rules = "/".join(f"{rule.name}:{'+'.join(rule.together)}:{rule.each}" for rule in RULES)
    return f"{VERSION} {features.VERSION} {most_people} {MOST} {rules}"


@dataclass(frozen=True, slots=True)
class Blocked:
    """Stored keys of records, each pair of record and key once, by key and then record.

    Attributes:
        key: stored form. Shape (keys,).
        record: record ids. Shape (keys,).
        rule: numbers of the blocking rules, ``HOLDER`` for a number. Shape (keys,).
    """

    key: Ints
    record: Ints
    rule: Ints

    def __len__(self) -> int:
        return len(self.key)

    def take(self, rows: "Ints | np.typing.NDArray[np.bool_]") -> "Blocked":
        """The keys at ``rows``."""
        return Blocked(self.key[rows], self.record[rows], self.rule[rows])

    def and_also(self, other: "Blocked") -> "Blocked":
        """These keys followed by the others."""
        return Blocked(
            np.concatenate((self.key, other.key)),
            np.concatenate((self.record, other.record)),
            np.concatenate((self.rule, other.rule)),
        )

    def making_pairs(self) -> "Blocked":
        """The keys that candidates are made of."""
        return self.take(self.rule != HOLDER)

    def without(self, other: "Blocked") -> "Blocked":
        """The keys that ``other`` does not have."""
        mine, theirs = _paired(self), _paired(other)
        return self.take(~np.isin(mine, theirs))


def _paired(blocked: Blocked) -> "np.typing.NDArray[np.void]":
    both = np.ascontiguousarray(np.stack((blocked.key, blocked.record), axis=1))
    return both.view(np.dtype((np.void, 16))).reshape(-1)


def blocked_by(keyer: BlockKeyer, raw: Columns, judged: Columns) -> Blocked:
    """The keys of records, as they are stored.

    Args:
        keyer: makes the stored form.
        raw: features as they were delivered; ``ids`` are record ids.
        judged: the same records as ``identity.sharing.judged`` gives them.
    """
    keys = keys_of(judged)
    phones = raw.lists["phones"]
    rule = np.concatenate((keys.rule.astype(np.int64), np.full(len(phones.keys), HOLDER)))
    stored = keyer.keys(rule, np.concatenate((keys.key, phones.keys)))
    record = raw.ids[np.concatenate((keys.row, phones.rows()))]
    order = np.lexsort((record, stored))
    found = Blocked(stored[order], record[order], rule[order])
    same = (found.key[1:] == found.key[:-1]) & (found.record[1:] == found.record[:-1])
    return found.take(np.concatenate((np.ones(min(1, len(found)), np.bool_), ~same)))


def number_keys(keyer: BlockKeyer, phones: Ints) -> Ints:
    """The stored form of phone numbers. Shape (phones,)."""
    return keyer.keys(np.full(len(phones), HOLDER), phones)


# ── all records ─────────────────────────────────────────────────────────────


def store_all(
    connection: sa.Connection, keyer: BlockKeyer, blocked: Blocked, use: PhoneUse, made: str
) -> None:
    """Make the stored keys and the counted numbers exactly these."""
    # Not TRUNCATE: a backup that began before must not see keys of nobody.
    connection.execute(sa.text("DELETE FROM kith.block"))
    connection.execute(sa.text("DELETE FROM kith.shared_number"))
    append(connection, blocked)
    numbers = number_keys(keyer, use.phones)
    _copy(connection, "shared_number (key, people)", numbers, use.people)
    connection.execute(sa.text("UPDATE kith.workspace SET blocked_with = :made"), {"made": made})


def append(connection: sa.Connection, blocked: Blocked) -> None:
    """Store keys that are not stored yet."""
    if len(blocked):
        _copy(connection, "block (key, record_id, rule)", blocked.key, blocked.record, blocked.rule)


def _copy(connection: sa.Connection, columns: str, *values: Ints) -> None:
    buffer = io.BytesIO()
    table = pa.table({str(place): column for place, column in enumerate(values)})
    csv.write_csv(table, buffer, csv.WriteOptions(include_header=False))
    buffer.seek(0)
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor:
        cursor.copy_expert(f"COPY kith.{columns} FROM STDIN (FORMAT csv)", buffer)


# ── a few records ───────────────────────────────────────────────────────────


def stored_of(connection: sa.Connection, records: Ints) -> Blocked:
    """The stored keys of these records."""
    if not len(records):
        return Blocked(records, records, records)
    rows = connection.execute(
        sa.text(
            "SELECT key, record_id, rule FROM kith.block "
            "WHERE record_id = ANY(CAST(:ids AS bigint[])) ORDER BY key, record_id"
        ),
        {"ids": records.tolist()},
    ).all()
    key, record, rule = np.array([tuple(row) for row in rows], np.int64).reshape(-1, 3).T
    return Blocked(key, record, rule)


def remove(connection: sa.Connection, blocked: Blocked) -> None:
    """Forget stored keys."""
    if len(blocked):
        connection.execute(
            sa.text(
                "DELETE FROM kith.block b USING unnest(CAST(:keys AS bigint[]), "
                "CAST(:ids AS bigint[])) AS x(key, id) WHERE b.key = x.key AND b.record_id = x.id"
            ),
            {"keys": blocked.key.tolist(), "ids": blocked.record.tolist()},
        )


def members(connection: sa.Connection, keys: Ints, most: int | None) -> tuple[Ints, Ints]:
    """The records with each of these stored keys: (place in ``keys``, record id).

    Args:
        connection: in a transaction.
        keys: stored keys.
        most: at most so many records of each; None gives all.
    """
    if not len(keys):
        return keys, keys
    limit = "" if most is None else f"LIMIT {int(most)}"
    rows = connection.execute(
        sa.text(
            f"SELECT x.place - 1, b.record_id FROM unnest({_PARAMETER}) "
            "WITH ORDINALITY AS x(key, place) CROSS JOIN LATERAL "
            f"(SELECT record_id FROM kith.block WHERE key = x.key {limit}) b"
        ),
        {"keys": keys.tolist()},
    ).all()
    place, record = np.array([tuple(row) for row in rows], np.int64).reshape(-1, 2).T
    return place, record


def pairs_with(place: Ints, member: Ints, records: Ints) -> tuple[Ints, Ints]:
    """The pairs in a common block of which at least one is among ``records``, each once."""
    order = np.argsort(place, kind="stable")
    place, member = place[order], member[order]
    mine = np.flatnonzero(np.isin(member, records))
    starts = np.searchsorted(place, place[mine], side="left")
    sizes = np.searchsorted(place, place[mine], side="right") - starts
    one = np.repeat(member[mine], sizes)
    within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    other = member[np.repeat(starts, sizes) + within]
    both = np.stack((np.minimum(one, other), np.maximum(one, other)), axis=1)[one != other]
    both = np.unique(both, axis=0)
    return both[:, 0], both[:, 1]


def people_on(connection: sa.Connection, numbers: Ints) -> dict[int, int]:
    """How many people use each of these stored numbers; left out where it is one."""
    if not len(numbers):
        return {}
    rows = connection.execute(
        sa.text(f"SELECT key, people FROM kith.shared_number WHERE key = ANY({_PARAMETER})"),
        {"keys": numbers.tolist()},
    )
    return {row.key: row.people for row in rows}


def store_people(connection: sa.Connection, counted: Mapping[int, int]) -> None:
    """Write down how many people use each of these stored numbers."""
    gone = [key for key, people in counted.items() if people == 1]
    several = {key: people for key, people in counted.items() if people != 1}
    if gone:
        connection.execute(
            sa.text(f"DELETE FROM kith.shared_number WHERE key = ANY({_PARAMETER})"),
            {"keys": gone},
        )
    if several:
        connection.execute(
            sa.text(
                "INSERT INTO kith.shared_number (key, people) "
                f"SELECT * FROM unnest({_PARAMETER}, CAST(:people AS integer[])) "
                "ON CONFLICT (key) DO UPDATE SET people = excluded.people"
            ),
            {"keys": list(several), "people": list(several.values())},
        )
