"""Decisions about people who are gone, among writers, and rehearsed."""

import json
from concurrent.futures import ThreadPoolExecutor
from time import monotonic, sleep

import pytest
import sqlalchemy as sa

from cdp.access.answers import Denial, DenialKind
from cdp.access.principals import subject_of
from cdp.cli.decisions import REPAIR
from cdp.resolution import decisions
from cdp.resolution.at_once import forget
from cdp.resolution.deciding import LOOK, Decided, Decider
from cdp.storage import schema
from cdp.storage.locks import SHARED, share_if_free
from cdp.workspace import Workspace
from tests.integration.decisions.town import (
    AGAIN,
    ANNA,
    BELLA,
    decide,
    homes,
    merge,
    number,
    own_id,
    settle,
    stored,
)
from tests.journeys.commands import Shell

pytestmark = pytest.mark.integration
THIRD = {**ANNA, "openid": "oAnna0003"}
Event = tuple[str, str | None, str]  # decision, profile id, detail


def events(workspace: Workspace, action: str) -> list[Event]:
    """The events of an action, oldest first."""
    table = schema.audit_event
    statement = sa.select(table.c.line).where(table.c.action == action).order_by(table.c.id)
    with workspace.engine.connect() as connection:
        lines = [json.loads(line) for line in connection.scalars(statement)]
    return [(one["decision"], one.get("profile_id"), one["detail"]) for one in lines]


def split_and_erase(workspace: Workspace, *erased: dict[str, str]) -> int:
    """Split two records off Anna's, then erase some; the number of the decision."""
    settle(workspace, ANNA, AGAIN, THIRD)
    taken = [number(workspace, AGAIN), number(workspace, THIRD)]
    anna = own_id(workspace, ANNA)
    made = decide(workspace, lambda by, on: by.split(on, anna, taken, "mother and daughter"))
    with workspace.engine.begin() as connection:
        forget(connection, workspace, [number(workspace, one) for one in erased])
    return made.decision.id


def undo_as(workspace: Workspace, who: str, decision: int) -> Decided | Denial:
    decider = Decider(workspace, subject_of(workspace, who), REPAIR)
    with workspace.engine.begin() as connection:
        return decider.undo(connection, decision, "a mistake")


def counts(workspace: Workspace, decision: int) -> bool:
    with workspace.engine.connect() as connection:
        return decisions.read(connection, number=decision)[0].counts


def test_an_undo_asks_about_the_people_whom_the_decision_still_holds(shop: Workspace) -> None:
    """With the named person erased, who holds the linked records is checked and logged."""
    decision = split_and_erase(shop, ANNA)
    held = own_id(shop, AGAIN)
    assert homes(shop, AGAIN, THIRD) == [held, held]
    refused = undo_as(shop, "clerk", decision)
    assert isinstance(refused, Denial)
    assert refused.kind is DenialKind.FORBIDDEN
    assert counts(shop, decision)
    assert isinstance(undo_as(shop, "headquarters", decision), Decided)
    assert not counts(shop, decision)
    assert events(shop, "identity.undo") == [
        ("deny", held, "a mistake"),
        ("allow", held, "a mistake"),
    ]


def test_an_undo_about_nobody_still_needs_the_permission_and_an_event(shop: Workspace) -> None:
    """With everybody erased, the role decides, and one event without a person is kept."""
    decision = split_and_erase(shop, ANNA, AGAIN, THIRD)
    refused = undo_as(shop, "clerk", decision)
    assert isinstance(refused, Denial)
    assert refused.kind is DenialKind.FORBIDDEN
    assert counts(shop, decision)
    assert isinstance(undo_as(shop, "headquarters", decision), Decided)
    assert not counts(shop, decision)
    assert events(shop, "identity.undo") == [
        ("deny", None, "a mistake"),
        ("allow", None, "a mistake"),
    ]


def waits_for_a_lock(workspace: Workspace) -> bool:
    """Whether somebody comes to wait for a lock by name, within a few seconds."""
    statement = sa.text(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted "
        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    end = monotonic() + 8
    with workspace.engine.connect() as connection:
        while monotonic() < end:
            if connection.scalar(statement):
                return True
            sleep(0.02)
    return False


def test_a_decision_that_waits_holds_no_record(shop: Workspace) -> None:
    """A writer of single records goes on while a decision waits for it (invariant 6)."""
    settle(shop, ANNA, BELLA)
    anna, bella = own_id(shop, ANNA), own_id(shop, BELLA)
    both = [number(shop, ANNA), number(shop, BELLA)]
    table = schema.record
    wanted = sa.select(table.c.id).where(table.c.id.in_(both)).with_for_update(nowait=True)
    with ThreadPoolExecutor(1) as pool:
        with shop.engine.begin() as writer:
            share_if_free(writer, "repair")
            assert writer.scalar(sa.text(f"SELECT {SHARED}"))
            decided = pool.submit(merge, shop, anna, bella)
            assert waits_for_a_lock(shop)
            assert sorted(writer.scalars(wanted)) == sorted(both)
        assert decided.result(timeout=30).outcome.merges == ((anna, bella),)


def shell_in(workspace: Workspace) -> Shell:
    settings = workspace.settings
    return Shell(settings.declaration.parent, settings.database_url, settings.home)


def test_a_rehearsal_leaves_the_event_of_a_look(shop: Workspace) -> None:
    """Nothing is kept of what was rehearsed but who saw whom, and why (invariant 7)."""
    settle(shop, ANNA, AGAIN, BELLA)
    before, anna, again = stored(shop), own_id(shop, ANNA), own_id(shop, AGAIN)
    words = ("--as", "headquarters", "--reason", "mother and daughter", "--dry-run", "--json")
    shown = shell_in(shop).run("identity", "split", anna, f"app:{AGAIN['openid']}", *words).json
    assert shown["split"] == [{"new": again, "out_of": anna}]
    assert stored(shop) == before
    assert sorted(events(shop, LOOK)) == sorted(
        ("allow", one, "mother and daughter") for one in (anna, again)
    )
    assert events(shop, "identity.split") == []


def test_a_rehearsal_that_cannot_be_logged_shows_nobody(shop: Workspace) -> None:
    """The look is committed before anything is shown (invariant 7)."""
    settle(shop, ANNA, BELLA)
    anna, bella = own_id(shop, ANNA), own_id(shop, BELLA)
    with shop.engine.begin() as connection:
        refuse = f"ALTER TABLE kith.audit_event ADD CHECK (action <> '{LOOK}') NOT VALID"
        connection.execute(sa.text(refuse))
    shell = shell_in(shop)
    words = ("--as", "headquarters", "--reason", "seen", "--dry-run")
    command = ("identity", "merge", anna, bella, *words)
    outcome = shell.finish(shell.start(*command), *command)
    assert outcome.code != 0
    assert "Would change" not in outcome.out + outcome.err
