"""The index key rotated and retired by one person: `cdp/keys/index_epochs.py`."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from cdp.access.principals import subject_of
from cdp.ingest import index_state
from cdp.keys import index_epochs
from cdp.storage import schema
from cdp.workspace import open_workspace
from tests.journeys import tills
from tests.journeys.commands import Outcome

pytestmark = pytest.mark.integration
Cdp = Callable[..., Outcome]
BY = ("--as", "operator")


def events(engine: sa.Engine) -> list[tuple[str, str, str, str]]:
    """Actor, action, decision and reason of each event of a key."""
    with engine.connect() as connection:
        columns = schema.audit_event.c
        lines = connection.scalars(sa.select(columns.line).order_by(columns.id))
        found = [json.loads(line) for line in lines]
    return [
        (one["actor"], one["action"], one["decision"], one["reason"])
        for one in found
        if one["action"].startswith("key.")
    ]


def rows(engine: sa.Engine) -> set[int]:
    """The epochs that have rows."""
    with engine.connect() as connection:
        return set(connection.scalars(sa.select(schema.blind_index.c.epoch)))


def test_each_step_is_an_event_of_somebody(cdp: Cdp, engine: sa.Engine) -> None:
    """Invariant 2: the log says who began an epoch and who deleted the rows of the old one."""
    cdp("source", "sync")
    cdp("index", "rotate", *BY)
    cdp("index", "retire", "1", *BY, "--dry-run")
    cdp("index", "retire", "1", *BY)
    assert rows(engine) == {2}
    assert events(engine) == [
        ("operator", "key.rotate-blind-index", "allow", "granted"),
        ("operator", "key.retire-blind-index-rows", "allow", "granted"),
    ]


def test_who_may_not_configure_touches_no_index_key(
    cdp: Cdp, folder: Path, engine: sa.Engine
) -> None:
    """Invariant 1: a clerk puts no key in force and deletes no row; both refusals are kept."""
    cdp("source", "sync")
    ring = (folder / "home" / "keyring.json").read_bytes()
    cdp("index", "rotate", "--as", "clerk", code=1)
    assert (folder / "home" / "keyring.json").read_bytes() == ring
    cdp("index", "rotate", *BY)
    cdp("index", "retire", "1", "--as", "clerk", code=1)
    assert rows(engine) == {1, 2}
    assert [one[:3] for one in events(engine)] == [
        ("clerk", "key.rotate-blind-index", "deny"),
        ("operator", "key.rotate-blind-index", "allow"),
        ("clerk", "key.retire-blind-index-rows", "deny"),
    ]


def test_nobody_rotates_without_a_name(cdp: Cdp) -> None:
    """Invariant 1: without ``--as`` it is a misuse; a name that cdp.yaml lacks is refused."""
    cdp("index", "rotate", code=2)
    cdp("index", "retire", "1", code=2)
    cdp("index", "rotate", "--as", "nobody", code=1)


def test_what_fails_is_in_the_log_twice(cdp: Cdp, engine: sa.Engine) -> None:
    """Invariant 2: the epoch in force is not retired, and the log says that it failed."""
    cdp("source", "sync")
    assert "in force" in cdp("index", "retire", "1", *BY, code=1).err
    assert events(engine) == [
        ("operator", "key.retire-blind-index-rows", "allow", "granted"),
        ("operator", "key.retire-blind-index-rows", "deny", "failed"),
    ]


def test_the_event_is_there_before_the_first_row_goes(
    cdp: Cdp, folder: Path, database_url: str, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariant 2: at the moment of the change its event is committed."""
    cdp("source", "sync")
    shop = open_workspace(tills.settings(folder, database_url))
    seen = []
    monkeypatch.setattr(index_state, "retire", lambda *_, **__: seen.extend(events(engine)) or 0)
    index_epochs.retire(shop, subject_of(shop, "operator"), 1, lambda *_: None)
    shop.engine.dispose()
    assert [one[1:3] for one in seen] == [("key.retire-blind-index-rows", "allow")]
