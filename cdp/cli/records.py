"""Records and people as somebody types them."""

import sqlalchemy as sa

from cdp.errors import Stop
from cdp.storage import schema
from cdp.vault.keyed import RecordKeys
from cdp.workspace import Workspace


def find_record(workspace: Workspace, name: str) -> tuple[int, str]:
    """The record ``SOURCE:RECORD_ID``: its id and its profile."""
    source, _, record_id = name.partition(":")
    workspace.declaration.source(source)
    if not record_id:
        raise Stop("record_name", "write it as SOURCE:RECORD_ID")
    key = RecordKeys(workspace.keyring).record_key(source, record_id)
    record, member = schema.record, schema.membership
    with workspace.engine.connect() as connection:
        row = connection.execute(
            sa.select(record.c.id, member.c.profile_id)
            .join(member, member.c.record_id == record.c.id)
            .where(record.c.key == key)
        ).one_or_none()
    if row is None:
        raise Stop("no_such_record", "check the id, sync the source and resolve", source=source)
    return row.id, row.profile_id


def find_person(workspace: Workspace, name: str) -> str | int:
    """A profile id as it stands, or the id of the record ``SOURCE:RECORD_ID``."""
    return find_record(workspace, name)[0] if ":" in name else name
