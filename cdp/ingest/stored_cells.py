"""The cells of stored records, opened many at a time, whoever they belong to.

For the platform's own work on whole tables: nothing that is opened here is shown to anybody.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from cdp.ingest.indexing import Cell, Cells
from cdp.storage.schema import contact, data_key, sensitive
from cdp.vault import plaintext
from cdp.vault.envelope import WrappedKey
from cdp.vault.errors import CellGarbled, CellRefused, WrappedKeyRefused
from cdp.workspace import Workspace
from connectors.vocabulary import SENSITIVE_FIELDS

REASON: Final = "make blind indexes anew"
_BROKEN: Final = (CellGarbled, CellRefused, WrappedKeyRefused)


def open_stored(
    connection: sa.Connection, workspace: Workspace, ids: Sequence[int], names: Iterable[str]
) -> tuple[dict[int, Cells], dict[int, str]]:
    """Open the named cells of these records.

    Returns:
        The cells of each record that has any, and why others do not open: rule by record.

    Raises:
        KeyWithheld, KeyMissing: the ring lacks a key, so no record of its kind would open.
    """
    asked = frozenset(names)
    cells: dict[int, dict[str, Cell]] = {}
    broken: dict[int, str] = {}
    tiers = (contact, asked - SENSITIVE_FIELDS), (sensitive, asked & SENSITIVE_FIELDS)
    for table, wanted in tiers:
        for row in (
            connection.execute(_STATEMENTS[table.name], {"ids": list(ids)}) if wanted else ()
        ):
            sealed = {
                name: bytes(cell)
                for name, cell in zip(row.fields, row.cells, strict=True)
                if name in wanted
            }
            if not sealed:
                continue
            wrapped = WrappedKey(row.key_version, bytes(row.wrapped))
            try:
                opened = workspace.vault.open_cells(
                    table.name, row.record_id, row.revision, wrapped, sealed
                )
            except _BROKEN as error:
                broken[row.record_id] = error.rule
                continue
            cells.setdefault(row.record_id, {}).update(
                {n: plaintext.decode(v.reveal(reason=REASON)) for n, v in opened.items()}
            )
    return {number: held for number, held in cells.items() if number not in broken}, broken


def _statement(table: sa.Table) -> sa.Select[tuple[int, int, list[str], list[bytes], int, bytes]]:
    key = data_key
    return (
        sa.select(
            table.c.record_id,
            table.c.revision,
            table.c.fields,
            table.c.cells,
            key.c.key_version,
            key.c.wrapped,
        )
        .join(key, sa.and_(key.c.record_id == table.c.record_id, key.c.tier == table.name))
        .where(table.c.record_id == sa.any_(sa.bindparam("ids", type_=ARRAY(sa.BigInteger))))
        .order_by(table.c.record_id)
    )


_STATEMENTS: Final = {table.name: _statement(table) for table in (contact, sensitive)}
