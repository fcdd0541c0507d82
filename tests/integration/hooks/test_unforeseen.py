"""One row that nobody foresaw does not make its webhook fail for ever."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from cdp.ingest import happenings
from cdp.ingest.parking import MOST, RULE
from cdp.ingest.prepare import Preparer, Revision
from cdp.ingest.rejects import list_rejects
from cdp.ingest.replaying import replay_rows
from cdp.resolution import hooks_storing
from cdp.storage import schema
from tests.integration.hooks.test_hooks import update
from tests.integration.hooks.world import World, member
from tests.integration.running.test_parking import POISON, FaultError

pytestmark = pytest.mark.integration
Poison = Callable[[set[str]], None]


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> Poison:
    """Have the preparing of records with these ids raise what nobody foresaw."""
    genuine: Any = Preparer.prepare_all

    def poison(ids: set[str]) -> None:
        def prepare(self: Preparer, revisions: Sequence[Revision], *given: Any) -> Any:
            if any(one.record.record_id.reveal(reason="a test") in ids for one in revisions):
                raise FaultError(POISON)
            return genuine(self, revisions, *given)

        monkeypatch.setattr(Preparer, "prepare_all", prepare)

    return poison


def rejected(world: World) -> list[str]:
    """The rules of the rejected rows of the sender."""
    with world.workspace.engine.connect() as connection:
        return [one.rule for one in list_rejects(connection, "crm", None, 100)]


def test_a_row_is_set_aside_and_the_others_are_acknowledged(
    world: World, poisoned: Poison, capfd: pytest.CaptureFixture[str]
) -> None:
    """Invariant 8: once, however often it is sent; the log names a number and no value."""
    poisoned({"m4"})
    body = update(member(3), member(4, email=POISON), member(5))
    answers = [world.standard(body) for _ in range(2)]
    assert [one.status_code for one in answers] == [200, 200]
    assert [world.record("crm", f"m{n}") is not None for n in (3, 4, 5)] == [True, False, True]
    assert world.person("crm", "m3") == world.person("till", "C000003")
    assert rejected(world) == [RULE]
    told = "".join(capfd.readouterr())
    assert told.count("row_parked") == 1
    assert POISON not in told


def test_what_was_set_aside_is_tried_again(
    world: World, poisoned: Poison, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariant 8: its cells are kept, since nobody will send it once more."""
    poisoned({"m4"})
    assert world.standard(update(member(4, changed=7), member(3))).status_code == 200
    monkeypatch.undo()
    done = replay_rows(world.workspace, "crm")
    assert (done.tried, done.stored) == (1, 1)
    assert world.record("crm", "m4") is not None
    assert rejected(world) == []


def test_a_rejection_that_cannot_be_kept_stops_nobody(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariant 8: what fails is the keeping of a row that is no record."""
    genuine = hooks_storing.possible_keys

    def fails(*given: Any) -> Any:
        if "poison" in given[-1] and "row" not in given[-1]:
            raise FaultError(POISON)
        return genuine(*given)

    monkeypatch.setattr(hooks_storing, "possible_keys", fails)
    assert world.standard(update({"id": "", "name": "poison"}, member(3))).status_code == 200
    assert world.record("crm", "m3") is not None
    assert len(rejected(world)) == 1


def test_a_deletion_is_never_set_aside(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Invariant 8: its record would stay, unnoticed: the sender is told to send it again."""
    assert world.standard(update(member(3))).status_code == 200

    def fail(*_: object) -> None:
        raise FaultError(POISON)

    with monkeypatch.context() as broken:
        broken.setattr("cdp.erasure.departing.destroy", fail)
        gone = update(member(3), kind="member.deleted")
        assert world.standard(gone, "msg_2").status_code == 500
    assert rejected(world) == []
    assert world.standard(gone, "msg_2").status_code == 200
    assert world.record("crm", "m3") is None


def test_a_fault_of_the_program_sets_nothing_aside(world: World, poisoned: Poison) -> None:
    """Where too many rows fail they are not at fault: the message is not acknowledged."""
    poisoned({f"m{n}" for n in range(MOST + 1)})
    assert world.standard(update(*(member(n) for n in range(MOST + 2)))).status_code == 500
    assert rejected(world) == []
    with world.workspace.engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(schema.record)) == 60
        assert not list(happenings.tallied(connection))
