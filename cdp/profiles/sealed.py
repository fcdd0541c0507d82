"""The sealed cells that give a person's values, fetched many at a time. Nothing is opened here."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from cdp.storage.schema import contact, data_key, sensitive
from cdp.storage.statements import Statement, array, ask
from cdp.vault.envelope import WrappedKey


@dataclass(slots=True)
class Sealed:
    """The cells to open of one record."""

    revision: int
    wrapped: WrappedKey
    cells: dict[str, bytes]


Candidates = Mapping[str, Mapping[str, Sequence[int]]]


def chosen(
    connection: sa.Connection, table: sa.Table, candidates: Candidates, fields: Sequence[str]
) -> dict[str, dict[int, Sealed]]:
    """Fetch, for each profile and field, the cell of the first candidate that can be opened."""
    holders = {r for by in candidates.values() for field in fields for r in by.get(field, ())}
    if not holders:
        return {}
    sealed = _sealed(connection, table, sorted(holders), fields)
    picked: dict[str, dict[int, Sealed]] = {}
    for profile_id, by_field in candidates.items():
        for field in fields:
            giver = next(
                (r for r in by_field.get(field, ()) if field in sealed.get(r, NOTHING).cells), None
            )
            if giver is not None:
                whole = sealed[giver]
                kept = picked.setdefault(profile_id, {}).setdefault(
                    giver, Sealed(whole.revision, whole.wrapped, {})
                )
                kept.cells[field] = whole.cells[field]
    return picked


NOTHING: Final = Sealed(0, WrappedKey(0, b""), {})


def _statement(table: sa.Table) -> sa.Select[Any]:
    pair = (
        sa.func.unnest(table.c.fields, table.c.cells)
        .table_valued(sa.column("field", sa.Text), sa.column("cell", sa.LargeBinary))
        .render_derived(name="pair")
    )
    return (
        sa.select(
            table.c.record_id,
            table.c.revision,
            data_key.c.key_version,
            data_key.c.wrapped,
            pair.c.field,
            pair.c.cell,
        )
        .join_from(
            table,
            data_key,
            sa.and_(data_key.c.record_id == table.c.record_id, data_key.c.tier == table.name),
        )
        .join(pair, sa.true())
        .where(
            table.c.record_id == sa.any_(sa.bindparam("records", type_=ARRAY(sa.BigInteger))),
            pair.c.field == sa.any_(sa.bindparam("fields", type_=ARRAY(sa.Text))),
        )
    )


_STATEMENTS: Final = {table.name: _statement(table) for table in (contact, sensitive)}


def _sealed(
    connection: sa.Connection, table: sa.Table, records: Sequence[int], fields: Sequence[str]
) -> dict[int, Sealed]:
    """Fetch the cells of these fields and the wrapped keys; a record without a key has none."""
    asked = {"records": list(records), "fields": list(fields)}
    found: dict[int, Sealed] = {}
    for number, revision, version, wrapped, field, cell in connection.execute(
        _STATEMENTS[table.name], asked
    ):
        one = found.setdefault(number, Sealed(revision, WrappedKey(version, bytes(wrapped)), {}))
        one.cells[field] = bytes(cell)
    return found


# Forms of an older revision are of other values than the record has now.
_FORMED: Final = Statement(
    "masked_forms",
    ("bigint[]", "text"),
    """
    SELECT m.record_id, m.revision, k.key_version, k.wrapped, m.fields, m.cells
      FROM kith_vault.masked m
      JOIN kith.record r ON r.id = m.record_id AND r.revision = m.revision
      LEFT JOIN kith_keys.data_key k ON k.record_id = m.record_id AND k.tier = 'masked'
     WHERE m.record_id = ANY($1) AND m.masking = $2
    """,
)


def formed(
    connection: sa.Connection, asked: Mapping[str, Mapping[str, int]], masking: str
) -> Iterator[tuple[str, int, list[str], Sealed]]:
    """Fetch sealed masked forms, where the record has such of these masks.

    Args:
        connection: any.
        asked: {profile id: {field: record that gives it}}.
        masking: version of the masks.

    Yields:
        Profile, record, the fields asked of it, and the cells of those that have a form. Left
        out: a record without such forms, or whose key for them is gone.
    """
    records = {number for givers in asked.values() for number in givers.values()}
    rows = ask(connection, _FORMED, array(records), masking) if records else ()
    held = {row[0]: row[1:] for row in rows if row[3] is not None or not row[4]}
    for profile_id, givers in asked.items():
        for number in sorted(held.keys() & set(givers.values())):
            revision, version, wrapped, fields, cells = held[number]
            names = [field for field, giver in givers.items() if giver == number]
            kept = {f: bytes(c) for f, c in zip(fields, cells, strict=True) if f in names}
            key = WrappedKey(version or 0, bytes(wrapped or b""))
            yield profile_id, number, names, Sealed(revision, key, kept)
