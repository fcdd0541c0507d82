"""How many people use a phone number.

A number with one name on it is strong evidence. A family's number is weaker, and a
clerk's own number, typed in for every member who would not give one, is none at all.
Whether two names can be one person's is judged the same way as in the comparison of
names: equal, sounding alike, one slip apart, or a masked form of the other.

Invariants:
    1. A number used by more than ``most_people`` people is no evidence and no block.
    2. The count depends on the records that hold the number and on nothing else.
"""

from collections.abc import Iterable
from typing import Any

import duckdb
import pyarrow as pa

NAME_PARTS = ("name", "sound", "surname", "given", "name_near")


def prepare(
    connection: duckdb.DuckDBPyConnection, features: str, table: str, most_people: int
) -> None:
    """Make ``table``: ``features`` plus ``phones_own`` and ``phones_shared``.

    Args:
        connection: where ``features`` lives.
        features: a table as ``identity.features.unpack`` gives it.
        table: the table to make; its ``phones`` column is gone.
        most_people: see invariant 1.
    """
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE phone_use AS SELECT unnest(phones) AS phone, id, "
        f"{', '.join(NAME_PARTS)}, unionid FROM {features}"
    )
    parts = ", ".join(f"list({part} ORDER BY id)" for part in NAME_PARTS)
    busy = connection.execute(
        f"SELECT phone, count(DISTINCT unionid), {parts} FROM phone_use GROUP BY phone "
        "HAVING count(DISTINCT name) > 1 OR count(DISTINCT surname) > 1 "
        "OR count(DISTINCT unionid) > 2 ORDER BY phone"
    ).fetchall()
    # One spare unionid: a second WeChat account is common and no second person.
    people = [max(count_people(zip(*names, strict=True)), ids - 1) for _, ids, *names in busy]
    counted = pa.table(
        {
            "phone": pa.array([row[0] for row in busy], pa.int64()),
            "people": pa.array(people, pa.int32()),
        }
    )
    connection.register("phone_people", counted)
    connection.execute(
        f"""
        CREATE OR REPLACE TABLE {table} AS
        WITH judged AS (
            SELECT u.id,
                   list(u.phone ORDER BY u.phone) FILTER (coalesce(p.people, 1) = 1) AS own,
                   list(u.phone ORDER BY u.phone)
                       FILTER (p.people BETWEEN 2 AND {most_people}) AS shared,
                   bool_or(p.people > {most_people}) AS nobody
            FROM phone_use u LEFT JOIN phone_people p USING (phone) GROUP BY u.id
        )
        SELECT f.* EXCLUDE (phones, phones_near),
               coalesce(j.own, []::BIGINT[]) AS phones_own,
               coalesce(j.shared, []::BIGINT[]) AS phones_shared,
               CASE WHEN j.nobody THEN []::BIGINT[] ELSE f.phones_near END AS phones_near
        FROM {features} f LEFT JOIN judged j USING (id) ORDER BY f.id
        """
    )
    connection.execute("DROP TABLE phone_use")
    connection.unregister("phone_people")


def wrong_shares(
    connection: duckdb.DuckDBPyConnection, table: str, most_people: int
) -> tuple[float, float]:
    """Measure how often a number leads to somebody else, by hiding one name at a time.

    On every number with at least two named records, each record in turn is taken as if it
    had no name. If the other names are one person's, the number looks like one person's:
    was the hidden record that person? If the others are several people's: was it the one
    that a given other record belongs to? Numbers that name nobody are left out.

    Returns:
        The share of wrong answers for numbers of one person, and of several, each with
        one wrong and one right answer added.
    """
    parts = ", ".join(f"list({part} ORDER BY id)" for part in NAME_PARTS)
    own, shared = [1, 2], [1, 2]
    rows = connection.execute(
        f"WITH named AS (SELECT unnest(list_concat(phones_own, phones_shared)) AS phone, id, "
        f"{', '.join(NAME_PARTS)} FROM {table} WHERE name IS NOT NULL) "
        f"SELECT {parts} FROM named GROUP BY phone HAVING count(*) > 1"
    ).fetchall()
    for row in rows:
        names = list(zip(*row, strict=True))
        if count_people(names) > most_people:
            continue
        for place, hidden in enumerate(names):
            others = names[:place] + names[place + 1 :]
            if count_people(others) == 1:
                own[0] += not any(compatible(hidden, other) for other in others)
                own[1] += 1
            else:
                shared[0] += sum(not compatible(hidden, other) for other in others)
                shared[1] += len(others)
    return own[0] / own[1], shared[0] / shared[1]


def count_people(names: Iterable[tuple[Any, ...]]) -> int:
    """Count the people behind the names on one number; at least 1.

    Args:
        names: one tuple of (name, sound, surname, given, name_near) per record, None
            where the record has none.
    """
    whole: list[list[tuple[Any, ...]]] = []
    masked: list[tuple[Any, ...]] = []
    for candidate in names:
        if candidate[0] is None:
            masked.append(candidate)
            continue
        same = [group for group in whole if any(compatible(candidate, other) for other in group)]
        joined = [candidate, *(member for group in same for member in group)]
        whole = [group for group in whole if not any(group is found for found in same)] + [joined]
    # A masked name may be anybody of its surname: it is one person more only where nobody
    # has that surname, and it never makes two people one.
    surnames = {member[2] for group in whole for member in group}
    unknown = {candidate[2] for candidate in masked} - surnames - {None}
    return max(1, len(whole) + len(unknown))


def compatible(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """Tell whether two names can be one person's."""
    name, sound, surname, given, near = one
    other_name, other_sound, other_surname, other_given, other_near = other
    if name is None or other_name is None:
        return surname is not None and surname == other_surname
    return (
        name == other_name
        or (sound is not None and sound == other_sound)
        or not set(near or ()).isdisjoint(other_near or ())
        or (given is not None and given == other_surname and surname == other_given)
    )
