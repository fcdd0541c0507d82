"""A few people of one shop, and what is done to them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from cdp.access.principals import subject_of
from cdp.erasure.replaying import Replayed, replay
from cdp.erasure.shredding import Changed, Eraser, Shredded
from cdp.ingest.sync import sync
from cdp.resolution.run import resolve
from cdp.storage import schema
from cdp.tags import run as tags
from cdp.vault.keyed import RecordKeys
from cdp.workspace import Workspace
from tests.journeys import tills
from tests.journeys.tills import member, write_app, write_till

WHY = "asked for at the counter, ticket L-7"
WHO = [
    {"id": "headquarters", "role": "headquarters", "node": "kith"},
    {"id": "manager", "role": "manager", "node": "BJ01"},
    {"id": "officer", "role": "compliance", "node": "kith"},
    {"id": "crm", "role": "service", "node": "kith", "destination": "crm"},
]
# Anna is three records: her card, her account, and a second account.
CARD = member(
    "C900001",
    name="欧阳晓梅",
    phone="13957140286",
    email="anna.marked@example.com",
    id_number="11010519491231002X",
    birthday="1949-12-31",
    spent="4711.07",
)
ACCOUNT = {
    "openid": "oAnnaMarked01",
    "name": "欧阳晓梅",
    "phones": "13957140286",
    "unionid": "uMarkedOne01",
}
SECOND = {**ACCOUNT, "openid": "oAnnaMarked02"}
# Bella is one record, and stays.
BELLA = {
    "openid": "oBellaStays1",
    "name": "陈思远",
    "phones": "13611228397",
    "unionid": "uStaysTwo002",
}
CANARIES = (
    "欧阳晓梅",
    "13957140286",
    "anna.marked@example.com",
    "anna.marked",
    "11010519491231002X",
    "1949-12-31",
    "oAnnaMarked01",
    "oAnnaMarked02",
    "uMarkedOne01",
    "C900001",
    "4711.07",
)
CARD_NAME, ACCOUNT_NAME, SECOND_NAME = "till:C900001", "app:oAnnaMarked01", "app:oAnnaMarked02"
BELLA_NAME = "app:oBellaStays1"
ALL = (CARD_NAME, ACCOUNT_NAME, SECOND_NAME)


def declared(**more: Any) -> dict[str, Any]:
    """``cdp.yaml`` of the shop: a till, an app, and a file that goes out."""
    crm = {
        "connector": "csv_file",
        "location": "exports/crm.csv",
        "purpose": "marketing",
        "fields": ["profile_id", "name", "phone", "email", "attributes", "stores"],
    }
    return tills.declaration(principals=WHO, **{"destinations": {"crm": crm}, **more})


def deliver(folder: Path) -> None:
    """Write what the sources deliver, the same every time."""
    write_till(folder, [CARD])
    write_app(folder, [ACCOUNT, SECOND, BELLA])


def settle(workspace: Workspace) -> None:
    """Deliver, sync, resolve and tag."""
    deliver(workspace.settings.declaration.parent)
    for name in ("till", "app"):
        sync(workspace, name)
    resolve(workspace)
    tag(workspace)


def tag(workspace: Workspace) -> None:
    """Bring tags up to date."""
    rules = tags.load(workspace.declaration.folder, workspace.declaration.sources.values())
    with workspace.engine.begin() as connection:
        tags.run(connection, rules, workspace.now())


def eraser(workspace: Workspace, who: str = "officer") -> Eraser:
    return Eraser(workspace, subject_of(workspace, who))


def shred(workspace: Workspace, *names: str) -> list[Shredded]:
    """Destroy each; policy says yes."""
    done = [eraser(workspace).shred(name, WHY) for name in names]
    assert all(isinstance(one, Shredded) for one in done)
    return [one for one in done if isinstance(one, Shredded)]


def freeze(workspace: Workspace, name: str) -> Changed:
    done = eraser(workspace).freeze(name, WHY)
    assert isinstance(done, Changed)
    return done


def unfreeze(workspace: Workspace, name: str) -> Changed:
    done = eraser(workspace).unfreeze(name, WHY)
    assert isinstance(done, Changed)
    return done


def replayed(workspace: Workspace) -> Replayed:
    done = replay(workspace, subject_of(workspace, "officer"), WHY)
    assert isinstance(done, Replayed)
    return done


def key(workspace: Workspace, name: str) -> bytes:
    source, _, record_id = name.partition(":")
    return RecordKeys(workspace.keyring).record_key(source, record_id)


def home_of(workspace: Workspace, name: str) -> str | None:
    """The profile of a record, if it is stored."""
    record, member_of = schema.record, schema.membership
    statement = (
        sa.select(member_of.c.profile_id)
        .join(record, record.c.id == member_of.c.record_id)
        .where(record.c.key == key(workspace, name))
    )
    with workspace.engine.connect() as connection:
        return connection.scalar(statement)


def stored_keys(workspace: Workspace) -> set[bytes]:
    """The keys of all stored records."""
    with workspace.engine.connect() as connection:
        return {bytes(one) for one in connection.scalars(sa.select(schema.record.c.key))}


def count(workspace: Workspace, table: sa.Table) -> int:
    with workspace.engine.connect() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0


def as_text(workspace: Workspace, without: Iterable[str] = ()) -> str:
    """Every row of every table but those named, as text."""
    found = []
    with workspace.engine.connect() as connection:
        for table in schema.metadata.sorted_tables:
            if table.name not in without:
                rows = connection.scalars(sa.text(f"SELECT t::text FROM {table.fullname} t"))
                found += [f"{table.name}: {row}" for row in rows]
    return "\n".join(found)
