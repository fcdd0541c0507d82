"""The sealed cells that give a person's values, fetched many at a time. Nothing is opened here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from cdp.storage.schema import contact, data_key, sensitive
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
    holders = {r for by in candidates.values() for field in fields for r in by[field]}
    if not holders:
        return {}
    sealed = _sealed(connection, table, sorted(holders), fields)
    picked: dict[str, dict[int, Sealed]] = {}
    for profile_id, by_field in candidates.items():
        for field in fields:
            giver = next(
                (r for r in by_field[field] if field in sealed.get(r, NOTHING).cells), None
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
