"""A few people and what is done to them."""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from cdp.access.answers import Denial
from cdp.access.principals import subject_of
from cdp.cli.decisions import REPAIR
from cdp.ingest.sync import sync
from cdp.resolution.deciding import Decided, Decider
from cdp.resolution.run import resolve
from cdp.storage import schema
from cdp.tags import run as tags
from cdp.vault.keyed import RecordKeys
from cdp.workspace import Workspace
from tests.journeys import tills
from tests.journeys.state import people

ORGANISATION = [
    {"id": "kith", "kind": "brand", "name": "Kith Retail"},
    {"id": "north", "kind": "region", "parent": "kith", "name": "华北"},
    {"id": "BJ01", "kind": "store", "parent": "north", "name": "朝阳店"},
    {"id": "south", "kind": "region", "parent": "kith", "name": "华南"},
    {"id": "SZ01", "kind": "store", "parent": "south", "name": "南山店"},
]
WHO = [
    {"id": "headquarters", "role": "headquarters", "node": "kith"},
    {"id": "zhao", "role": "headquarters", "node": "kith"},
    {"id": "north", "role": "headquarters", "node": "north"},
    {"id": "clerk", "role": "clerk", "node": "BJ01"},
    {"id": "wires", "role": "operator", "node": "kith"},
    {"id": "officer", "role": "compliance", "node": "kith"},
]
ANNA = {"openid": "oAnna0001", "name": "林晓梅", "phones": "13957140286", "unionid": "uOne00001"}
BELLA = {"openid": "oBella001", "name": "陈思远", "phones": "13957140397", "unionid": "uTwo00002"}
CARLA = {"openid": "oCarla001", "name": "吴海燕", "phones": "13957140508", "unionid": "uThree003"}
AGAIN = {**ANNA, "openid": "oAnna0002"}  # another account of Anna's


def settle(workspace: Workspace, *rows: dict[str, str]) -> None:
    """Deliver exactly these rows, sync, resolve and tag."""
    tills.write_app(workspace.settings.declaration.parent, rows)
    sync(workspace, "app")
    resolve(workspace)
    tag(workspace)


def tag(workspace: Workspace) -> None:
    """Bring tags up to date."""
    declared = workspace.declaration
    rules = tags.load(declared.folder, declared.sources.values())
    with workspace.engine.begin() as connection:
        tags.run(connection, rules, workspace.now())


def own_id(workspace: Workspace, row: dict[str, str]) -> str:
    """The id of the profile that this record is the anchor of."""
    keys = RecordKeys(workspace.keyring)
    return keys.profile_id(keys.record_key("app", row["openid"]))


def number(workspace: Workspace, row: dict[str, str]) -> int:
    """The id of this record."""
    key = RecordKeys(workspace.keyring).record_key("app", row["openid"])
    with workspace.engine.connect() as connection:
        statement = sa.select(schema.record.c.id).where(schema.record.c.key == key)
        return int(connection.execute(statement).scalar_one())


def homes(workspace: Workspace, *rows: dict[str, str]) -> list[str]:
    """The profile of each row's record."""
    members = people(workspace)["members"]
    keys = RecordKeys(workspace.keyring)
    return [members[keys.record_key("app", row["openid"]).hex()] for row in rows]


def decide(
    workspace: Workspace,
    work: Callable[[Decider, sa.Connection], Decided | Denial],
    who: str = "headquarters",
) -> Decided:
    """Decide as somebody may; the answer is no refusal."""
    with workspace.engine.begin() as connection:
        answer = work(Decider(workspace, subject_of(workspace, who), REPAIR), connection)
    assert isinstance(answer, Decided)
    return answer


def merge(workspace: Workspace, one: str, other: str, who: str = "headquarters") -> Decided:
    return decide(workspace, lambda by, on: by.merge(on, one, other, "seen at the till"), who)


def not_same(workspace: Workspace, one: str | int, other: str | int) -> Decided:
    return decide(workspace, lambda by, on: by.not_same(on, one, other, "two passports"))


def undo(workspace: Workspace, decided: Decided) -> Decided:
    return decide(workspace, lambda by, on: by.undo(on, decided.decision.id, "a mistake"))


def stored(workspace: Workspace) -> dict[str, Any]:
    """What people are made of, as bytes: nothing of when it was written."""
    found = {}
    with workspace.engine.connect() as connection:
        for name, columns in (
            ("profile", "id, anchor_id, size, stores, golden, attributes, purposes"),
            ("membership", "record_id, profile_id"),
            ("redirect", "old_id, new_id"),
            ("tag", "profile_id, name, value, rule_version"),
            ("edge", "low_id, high_id, weight, levels, weights, epoch"),
        ):
            statement = f"SELECT ROW({columns})::text FROM kith.{name} ORDER BY 1"
            found[name] = list(connection.scalars(sa.text(statement)))
        statement = "SELECT count(*) FROM kith.record WHERE dirty"
        found["dirty"] = [str(connection.scalar(sa.text(statement)))]
    return found
