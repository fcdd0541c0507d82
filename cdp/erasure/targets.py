"""What somebody names: a record, or a person with all their records."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from cdp.errors import Refused, Stop
from cdp.profiles import reader
from cdp.storage.schema import membership, record, shred
from cdp.vault.keyed import RecordKeys
from cdp.vault.shreds import Kind
from cdp.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Held:
    """A stored record, as far as erasing needs it."""

    id: int
    key: bytes
    source: str
    state: str
    profile_id: str | None  # None: not resolved yet


def find(connection: sa.Connection, workspace: Workspace, name: str) -> list[Held]:
    """Find what ``name`` means: ``SOURCE:RECORD_ID``, or a profile id for all its records.

    Returns:
        Records, the oldest first; of a name that is nobody's, none.

    Raises:
        Stop: no such source, or no record id.
    """
    if ":" in name:
        return by_key(connection, [key_of(workspace, name)])
    current = reader.current_id(connection, name) if reader.is_profile_id(name) else None
    return _held(connection, membership.c.profile_id == current) if current else []


def key_of(workspace: Workspace, name: str) -> bytes:
    """The key of the record ``SOURCE:RECORD_ID``, whether it is stored or not.

    Raises:
        Stop: no such source, or no record id.
    """
    source, _, record_id = name.partition(":")
    workspace.declaration.source(source)
    if not record_id:
        raise Stop("record_name", "write it as SOURCE:RECORD_ID")
    return RecordKeys(workspace.keyring).record_key(source, record_id)


def by_key(connection: sa.Connection, keys: Sequence[bytes]) -> list[Held]:
    """Those of the records of these keys that are stored, the oldest first."""
    return _held(connection, record.c.key == sa.any_(sa.cast(list(keys), sa.ARRAY(sa.LargeBinary))))


def missing(connection: sa.Connection, workspace: Workspace, name: str) -> Stop | Refused:
    """Say why ``name`` means nothing that is stored."""
    if ":" in name and stands(connection, key_of(workspace, name)):
        return Refused("already_shredded", "nothing is left to do")
    return Stop("no_such_record", "name SOURCE:RECORD_ID or a profile id, as delivered or shown")


def stands(connection: sa.Connection, key: bytes) -> bool:
    """Whether the record of this key stands as destroyed."""
    last = (
        sa.select(shred.c.kind).where(shred.c.key == key).order_by(shred.c.sequence.desc()).limit(1)
    )
    return connection.scalar(last) == Kind.SHRED.value


def _held(connection: sa.Connection, which: sa.ColumnElement[bool]) -> list[Held]:
    columns = record.c
    statement = (
        sa.select(columns.id, columns.key, columns.source, columns.state, membership.c.profile_id)
        .outerjoin(membership, membership.c.record_id == columns.id)
        .where(which)
        .order_by(columns.id)
    )
    return [
        Held(number, bytes(key), source, state, profile)
        for number, key, source, state, profile in connection.execute(statement)
    ]
