"""A row that nobody foresaw is set aside, and the rest of its batch is stored once."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from cdp.ingest import parking
from cdp.ingest.parking import MOST, RULE
from cdp.ingest.rejects import count_rejects
from cdp.ingest.storing import Storing
from cdp.ingest.sync import sync
from cdp.storage import schema
from cdp.vault.errors import NotKeyable
from cdp.workspace import Workspace
from connectors.base import Outdated
from connectors.record import RAW_LIMIT
from tests.integration.feeds.deliveries import SHOP, deliver, gone, row, rows_of
from tests.integration.running.conftest import Opener
from tests.journeys import tills
from tests.journeys.state import contents

pytestmark = pytest.mark.integration
POISON = "canary.poison@example.com"
Poison = Callable[..., None]


class FaultError(Exception):
    """What nobody foresaw; its text quotes the value."""


class _RefusedError(Exception):
    """What a driver raises for a statement that the database refuses."""

    def __init__(self, state: str) -> None:
        super().__init__(POISON)
        self.pgcode = state


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> Poison:
    """Have the storing of records with these ids raise an error, made anew each time."""
    genuine: Any = Storing.store

    def poison(ids: set[str], error: Callable[[], Exception] = lambda: FaultError(POISON)) -> None:
        def store(self: Storing, connection: sa.Connection, rows: Any, *given: Any) -> Any:
            if any(record.record_id.reveal(reason="a test") in ids for record, *_ in rows):
                raise error()
            return genuine(self, connection, rows, *given)

        monkeypatch.setattr(Storing, "store", store)

    return poison


def till(shop: Opener, rows: int, batch: int = 50) -> Workspace:
    """A till with so many members."""
    workspace = tills.with_batches(shop({"till": tills.TILL}), batch)
    tills.write_till(workspace.settings.declaration.parent, tills.crowd(rows))
    return workspace


def test_of_a_file_all_other_rows_are_stored_once(
    shop: Opener, poisoned: Poison, capsys: pytest.CaptureFixture[str]
) -> None:
    """Invariants 1 and 5: two rows go aside, the next batch comes, a second sync adds nothing."""
    workspace = till(shop, 80)
    poisoned({"C000007", "C000031"})
    report = sync(workspace, "till")
    assert (report.read, report.added, report.rejected) == (80, 78, 2)
    again = sync(workspace, "till")
    assert (again.added, again.changed, again.unchanged, again.rejected) == (0, 0, 78, 2)
    with workspace.engine.connect() as connection:
        (aside,) = [one for one in count_rejects(connection, "till") if one.rule == RULE]
    assert (aside.count, aside.first) == (2, 8)
    told = capsys.readouterr()
    assert POISON not in f"{told}{aside}"
    raws = [one[-1] for one in contents(workspace)["rejects"] if RULE in one]
    assert any("m7@example.com" in raw for raw in raws)  # sealed, for whoever replays it


def test_what_is_parked_comes_in_once_it_can_be_processed(
    shop: Opener, poisoned: Poison, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the fault is mended, the next sync of the same file stores the row."""
    workspace = till(shop, 10)
    genuine = Storing.store
    poisoned({"C000003"})
    assert sync(workspace, "till").added == 9
    monkeypatch.setattr(Storing, "store", genuine)
    report = sync(workspace, "till")
    assert (report.added, report.unchanged, report.rejected) == (1, 9, 0)
    assert not [one for one in contents(workspace)["rejects"] if RULE in one]


def test_of_a_feed_all_other_rows_are_stored_once(shop: Opener, poisoned: Poison) -> None:
    """The state goes on behind the row that was set aside (invariant 1)."""
    workspace = shop({"shop": SHOP})
    poisoned({"C3"})
    rows = [row(f"C{n}") for n in range(1, 8)]
    report = deliver(workspace, [*rows, gone("C2")])
    assert (report.read, report.added, report.rejected, report.superseded) == (8, 5, 1, 1)
    assert len(contents(workspace)["records"]) == 5
    assert deliver(workspace, [*rows, gone("C2"), row("C9")]).added == 1
    assert [one.rule for one in rows_of(workspace, schema.reject)] == [RULE]


def test_a_value_that_the_database_refuses_is_of_its_row(shop: Opener) -> None:
    """An attribute that PostgreSQL cannot keep stops nobody else."""
    workspace = shop(
        {"shop": {**SHOP, "attributes": {"kind": {"column": "n", "type": "category"}}}}
    )
    rows = [row(f"C{n}") for n in range(1, 6)]
    object.__setattr__(rows[2], "attributes", {"kind": "a\0b"})
    report = deliver(workspace, rows)
    assert (report.added, report.rejected) == (4, 1)


@pytest.mark.parametrize(
    "fault",
    [
        sa.exc.OperationalError("COPY", None, Exception(POISON)),
        OSError(28, "No space left on device"),
        MemoryError(),
    ],
    ids=["database", "disk", "memory"],
)
def test_a_fault_of_the_machine_is_not_a_poison_row(
    shop: Opener, poisoned: Poison, fault: Exception
) -> None:
    """The sync stops, nothing is set aside; it goes on once the machine is well (invariant 2)."""
    workspace = till(shop, 10)
    poisoned({"C000003"}, lambda: fault)
    with pytest.raises(type(fault)):
        sync(workspace, "till")
    state = contents(workspace)
    assert (state["records"], state["rejects"]) == ({}, [])


def test_a_deletion_is_never_set_aside(shop: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its record would stay, unnoticed: the sync fails instead (invariant 3)."""
    workspace = shop({"shop": SHOP})
    deliver(workspace, [row("C1"), row("C2")])

    def fail(*_: object) -> None:
        raise FaultError(POISON)

    monkeypatch.setattr("cdp.erasure.departing.destroy", fail)
    with pytest.raises(FaultError):
        deliver(workspace, [row("C1"), row("C2"), gone("C1"), row("C3")])
    assert rows_of(workspace, schema.reject) == []
    assert len(contents(workspace)["records"]) == 2


def test_a_fault_of_the_program_sets_nothing_aside(shop: Opener, poisoned: Poison) -> None:
    """Where too many rows of a batch fail, they are not at fault (invariant 4)."""
    workspace = till(shop, 60, batch=60)
    poisoned({f"C{n:06}" for n in range(MOST + 1)})
    with pytest.raises(FaultError):
        sync(workspace, "till")
    assert contents(workspace)["rejects"] == []


def test_rows_that_fail_only_together_are_not_at_fault(engine: sa.Engine) -> None:
    """Where no half fails, nobody can be blamed (invariant 4)."""

    def store(_: sa.Connection, rows: Any) -> None:
        if len(rows) > 2:
            raise FaultError

    with pytest.raises(FaultError):
        parking.committed_but(engine, [row(f"C{n}") for n in range(4)], store)


def test_who_was_slower_than_another_is_not_at_fault(shop: Opener, poisoned: Poison) -> None:
    """A key that somebody else stored first is no fault of a row (invariant 2)."""
    workspace = till(shop, 4)
    poisoned({"C000001"}, lambda: sa.exc.IntegrityError("COPY", None, _RefusedError("23505")))
    with pytest.raises(sa.exc.IntegrityError):
        sync(workspace, "till")
    assert contents(workspace)["rejects"] == []
    poisoned({"C000001"}, lambda: sa.exc.DataError("COPY", None, _RefusedError("22P02")))
    assert sync(workspace, "till").rejected == 1


def test_an_id_that_cannot_be_keyed_is_of_its_row(shop: Opener, poisoned: Poison) -> None:
    """It is ours and typed, and of one row all the same."""
    workspace = till(shop, 4)
    poisoned({"C000001"}, lambda: NotKeyable("not_keyable", "write it in Unicode"))
    assert sync(workspace, "till").rejected == 1


def test_nobody_is_found_where_nobody_fails_alone(engine: sa.Engine) -> None:
    """Nor where what fails is no row that may be set aside (invariants 3 and 4)."""

    def store(_: sa.Connection, rows: Any) -> None:
        if len(rows) > 2:
            raise FaultError

    def fail(_: sa.Connection, rows: Any) -> None:
        raise FaultError

    with pytest.raises(FaultError):
        parking.failing(engine, [row(f"C{n}") for n in range(4)], FaultError(), store)
    with pytest.raises(FaultError):
        parking.failing(engine, [gone("C1")], FaultError(), fail)
    assert len(parking.failing(engine, [gone("C1")], FaultError(), fail, "shop")) == 1


def test_a_parked_row_of_a_load_keeps_its_record(shop: Opener, poisoned: Poison) -> None:
    """The row came, though it could not be processed: its record is not gone."""
    workspace = shop({"shop": SHOP})
    first = [row("C1", load=1), row("C2", load=1)]
    deliver(workspace, first)
    poisoned({"C2"})
    second = [row("C1", load=2), row("C2", "王伟", load=2), Outdated("shop", 3, 2)]
    report = deliver(workspace, [*first, *second])
    assert report.rejected == 1
    assert len(contents(workspace)["records"]) == 2


def test_what_is_kept_of_a_row_is_bounded() -> None:
    """One row cannot fill the vault."""
    kept = parking.parked(row("C1", "x" * (RAW_LIMIT + 9)), "n")
    assert len(kept.raw.reveal(reason="a test")) == RAW_LIMIT
