"""Find the rejected rows that are about a record, and delete them.

A rejected row has no record, so nothing in the clear says whose it is: each of the source
is opened and looked at. A row belongs to a record if it was kept as one with its id, or if
the id stands in it as a word. Where that takes one row too many, the next sync of the same
content lists it again.
"""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

import sqlalchemy as sa

from cdp.erasure.targets import Held
from cdp.errors import KithError
from cdp.storage.schema import contact, data_key, record, reject
from cdp.vault import plaintext
from cdp.vault.envelope import WrappedKey
from cdp.vault.keyed import RecordKeys
from cdp.vault.rejects import RejectPlace
from cdp.workspace import Workspace
from connectors.record import Sensitive

REASON: Final = "find the rejected rows of a record that is erased"
_TIER: Final = contact.name


def remove(connection: sa.Connection, workspace: Workspace, records: Sequence[Held]) -> int:
    """Delete the rejected rows of these records; return how many."""
    sources = sorted({one.source for one in records})
    rows = connection.execute(
        sa.select(reject).where(reject.c.source.in_(sources), reject.c.record_id.is_(None))
    ).all()
    if not rows:
        return 0
    about = _About(workspace, records, _names(connection, workspace, records))
    found = [row.id for row in rows if about.row(row)]
    if found:
        connection.execute(sa.delete(reject).where(reject.c.id.in_(found)))
    return len(found)


class _About:
    """Tells whether a rejected row is about one of some records."""

    def __init__(
        self, workspace: Workspace, records: Iterable[Held], names: Iterable[Sensitive]
    ) -> None:
        self._workspace = workspace
        self._record_keys = RecordKeys(workspace.keyring)
        self._keys = {one.key for one in records}
        words = [re.escape(name.reveal(reason=REASON)) for name in names]
        self._words = re.compile(rf"(?<!\w)(?:{'|'.join(words)})(?!\w)") if words else None

    def row(self, row: sa.Row[Any]) -> bool:
        place = RejectPlace(row.source, row.fingerprint, row.position, row.field)
        try:
            text = self._workspace.vault.open_reject(place, bytes(row.sealed))
        except KithError:
            return False  # nobody can read it
        raw = text.reveal(reason=REASON)
        if self._words is not None and self._words.search(raw):
            return True
        return self._named(row.source, raw)

    def _named(self, source: str, raw: str) -> bool:
        """Whether it was kept with a record id, and that is the id of one of them."""
        try:
            name = json.loads(raw)["record_id"]
            return self._record_keys.record_key(source, name) in self._keys
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, KithError):
            return False


def _names(
    connection: sa.Connection, workspace: Workspace, records: Sequence[Held]
) -> list[Sensitive]:
    """The sources' own ids of these records, as far as they open."""
    columns = record.c
    rows = connection.execute(
        sa.select(
            columns.id,
            columns.revision,
            data_key.c.key_version,
            data_key.c.wrapped,
            contact.c.fields[1].label("field"),
            contact.c.cells[1].label("cell"),
        )
        .join(contact, contact.c.record_id == columns.id)
        .join(data_key, sa.and_(data_key.c.record_id == columns.id, data_key.c.tier == _TIER))
        .where(columns.id.in_([one.id for one in records]))
    )
    found = []
    for row in rows:
        wrapped = WrappedKey(row.key_version, bytes(row.wrapped))
        try:
            opened = workspace.vault.open_cell(
                _TIER, row.field, row.id, row.revision, wrapped, bytes(row.cell)
            )
        except KithError:
            continue
        found.append(Sensitive(plaintext.decode(opened.reveal(reason=REASON))[0][0]))
    return found
