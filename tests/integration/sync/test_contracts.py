"""Data contracts while syncing, one test for each invariant of cdp.ingest.contract."""

import datetime as dt
import json
from typing import Any

import pytest
import sqlalchemy as sa

from cdp.errors import Stop
from cdp.ingest import findings
from cdp.ingest.contract import ContractPause, Delivery, delivery_of, judged
from cdp.ingest.rejects import count_rejects
from cdp.ingest.sync import sync
from cdp.resolution.online import Arrivals
from cdp.storage.schema import record
from cdp.workspace import Workspace
from connectors.contract_terms import Contract, Freshness, Volume
from connectors.record import Record, Sensitive
from tests.integration.sync.deliveries import Opener, deliver, folder_of
from tests.journeys import tills
from tests.journeys.state import contents
from tests.journeys.tills import crowd, member, write_declaration

pytestmark = pytest.mark.integration
TODAY = dt.date(2026, 3, 10)


def agreed(shop: Opener, workspace: Workspace | None = None, **contract: Any) -> Workspace:
    """A workspace whose till has this contract."""
    workspace = workspace or shop()
    folder = folder_of(workspace)
    till = {**tills.TILL, **contract}
    write_declaration(folder, tills.declaration(sources={"till": till}))
    return tills.open_shop(folder, str(workspace.settings.database_url))


def stored(workspace: Workspace) -> int:
    """How many records there are."""
    with workspace.engine.connect() as connection:
        return int(connection.scalar(sa.select(sa.func.count()).select_from(record)) or 0)


def test_1_of_a_batch_that_pauses_nothing_is_stored(shop: Opener) -> None:
    """Invariant 1: the batch before is stored, that one is not; put right, the rest follows."""
    terms = {"columns": {"store": {"allowed": ["BJ01", "SZ01"], "on_breach": "pause"}}}
    workspace = agreed(shop, contract=terms)
    size = workspace.settings.batch_rows
    rows = crowd(size + 20)
    rows[size + 15]["store"] = "canary"
    with pytest.raises(Stop) as stopped:
        deliver(workspace, *rows)
    shown = str(stopped.value)
    assert "till" in shown
    assert "contract_allowed" in shown
    assert stopped.value.where["position"] == size + 16
    assert stopped.value.where["column"] == "store"
    assert "canary" not in shown
    assert stored(workspace) == size
    rows[size + 15]["store"] = "BJ01"
    assert deliver(workspace, *rows).accepted == len(rows)
    workspace.engine.dispose()


def test_1_a_stale_delivery_is_not_stored_at_all(shop: Opener) -> None:
    """Invariant 1: where freshness pauses, nothing of a stale delivery is stored."""
    workspace = agreed(shop, contract={"freshness": {"column": "birthday", "days": 30}})
    day = workspace.now().date()
    with pytest.raises(Stop) as stopped:
        deliver(workspace, member("C1", birthday=str(day - dt.timedelta(31))))
    assert stopped.value.where["column"] == "birthday"
    assert "last 30 days" in stopped.value.next_step
    assert stored(workspace) == 0
    report = deliver(workspace, member("C1", birthday=str(day - dt.timedelta(30))))
    assert (report.added, report.findings) == (1, ())
    workspace.engine.dispose()


def test_1_an_unusual_volume_is_not_stored_at_all(shop: Opener) -> None:
    """Invariant 1: half a file does not pass for the whole one; before there is a usual, all do."""
    workspace = agreed(shop, contract={"volume": {"least": 0.5, "most": 2}})
    rows = crowd(20)
    for count in (20, 19, 18):
        assert deliver(workspace, *rows[:count]).read == count
    for count in (9, 39):
        with pytest.raises(Stop) as stopped:
            deliver(workspace, *crowd(count))
        assert "19 are usual" in str(stopped.value)
    assert deliver(workspace, *rows[:10]).read == 10
    workspace.engine.dispose()


def test_2_what_breaks_is_told_and_never_the_value(shop: Opener) -> None:
    """Invariant 2: the report counts breaches by rule and column; rejected rows are listed."""
    terms = {
        "columns": {"spent": {"type": "decimal", "range": {"least": 0}}},
        "fields": {"birth_date": {"required": True, "on_breach": "warn"}},
    }
    workspace = agreed(shop, contract=terms)
    report = deliver(
        workspace,
        member("C1", spent="canary", birthday="1990-03-14"),
        member("C2", spent="-4"),
        member("C3"),
    )
    told = [(one["rule"], one["subject"], one["action"], one["rows"]) for one in
            report.to_dict()["findings"]]  # fmt: skip
    assert told == [
        ("contract_range", "spent", "reject", 1),
        ("contract_required", "birth_date", "warn", 2),
        ("contract_type", "spent", "reject", 1),
    ]
    assert (report.added, report.rejected) == (1, 2)
    assert "canary" not in str(report)
    with workspace.engine.connect() as connection:
        assert {one.rule for one in count_rejects(connection)} == {
            "contract_range",
            "contract_type",
        }
    # without the contract, the same file is judged anew and nothing stays on the list
    again = agreed(shop, workspace)
    report = sync(again, "till")
    assert (report.added, report.unchanged, report.rejected) == (2, 1, 0)
    with again.engine.connect() as connection:
        assert [one.rule for one in count_rejects(connection)] == ["not_decimal"]
    for one in (workspace, again):
        one.engine.dispose()


def test_3_a_warning_changes_nothing_of_what_is_stored(shop: Opener) -> None:
    """Invariant 3: with a contract that warns, the database is as it is without one."""
    rows = [member("C1"), member("C2", spent="-4"), member("C3", birthday="1990-03-14")]
    without = shop()
    deliver(without, *rows)
    terms = {
        "columns": {"spent": {"type": "decimal", "range": {"least": 0}}},
        "freshness": {"column": "birthday", "days": 1},
    }
    warned = agreed(shop, contract=terms, on_breach="warn")
    report = deliver(warned, *rows)
    assert [(one.rule, one.action) for one in report.findings] == [
        ("contract_freshness", "warn"),
        ("contract_range", "warn"),
    ]
    assert contents(warned) == contents(without)
    warned.engine.dispose()


def test_who_resumes_takes_a_file_as_it_is(shop: Opener) -> None:
    """Resumed, an unusual file is stored and told; one that is unusual beside it pauses again."""
    workspace = agreed(shop, contract={"volume": {"least": 0.5, "most": 2}})

    def resume() -> int:
        with workspace.engine.begin() as connection:
            return findings.accept(connection, "till", workspace.now())

    for count in (20, 19, 18):
        deliver(workspace, *crowd(count))
    for _ in range(2):
        with pytest.raises(ContractPause, match="cdp source resume"):
            deliver(workspace, *crowd(8))
    assert (resume(), resume()) == (1, 0)
    report = deliver(workspace, *crowd(8))
    assert [(one.rule, one.action) for one in report.findings] == [("contract_volume", "warn")]
    assert deliver(workspace, *crowd(7)).read == 7
    with pytest.raises(ContractPause, match="2 rows where"):
        deliver(workspace, *crowd(2))
    assert deliver(workspace, *crowd(17)).findings == ()
    with pytest.raises(ContractPause):
        deliver(workspace, *crowd(6))
    workspace.engine.dispose()


def test_a_day_to_come_makes_nothing_fresh() -> None:
    """One row of 2099 would have every later delivery pass for fresh."""
    days = (TODAY - dt.timedelta(9), TODAY + dt.timedelta(2))
    rows = [Record("till", Sensitive("1"), 1, {}, day=day.isoformat()) for day in days]
    assert delivery_of(rows, TODAY + dt.timedelta(1)) == Delivery(2, days[0])


def test_a_record_that_is_sent_and_would_pause_is_refused(shop: Opener) -> None:
    """Nothing stops behind a single record: it is not stored, and its sender is told why."""
    terms = {"columns": {"store": {"allowed": ["BJ01"], "on_breach": "pause"}}}
    workspace = agreed(shop, contract=terms)
    rows = [json.dumps(member("C1", store="canary")), json.dumps(member("C2"))]
    done = Arrivals(workspace, "till").resolve(rows)
    assert [(one.position, one.rule) for one in done.refused] == [(1, "contract_allowed")]
    assert "canary" not in str(done)
    assert stored(workspace) == done.stored == 1
    workspace.engine.dispose()


FRESH = Contract(freshness=Freshness("day", 3, "warn"))
SIZED = Contract(volume=Volume("pause", 0.5, 2.0))


@pytest.mark.parametrize(
    ("contract", "delivery", "usual", "rules"),
    [
        (FRESH, Delivery(1, TODAY - dt.timedelta(3)), [], []),
        (FRESH, Delivery(1, TODAY - dt.timedelta(4)), [], ["contract_freshness"]),
        (FRESH, Delivery(0, None), [], ["contract_freshness"]),
        (FRESH, Delivery(1, TODAY + dt.timedelta(9)), [], []),
        (SIZED, Delivery(0, None), [], []),
        (SIZED, Delivery(0, None), [9, 9], []),
        (SIZED, Delivery(0, None), [9, 9, 9], ["contract_volume"]),
        (SIZED, Delivery(5, None), [10, 0, 10], []),
        (SIZED, Delivery(4, None), [10, 0, 10], ["contract_volume"]),
        (SIZED, Delivery(20, None), [10, 10, 10_000], []),
        (SIZED, Delivery(21, None), [10, 10, 10_000], ["contract_volume"]),
    ],
)
def test_a_delivery_is_judged_by_its_day_and_size(
    contract: Contract, delivery: Delivery, usual: list[int], rules: list[str]
) -> None:
    """Freshness counts days to today; the usual is the median, once there are three deliveries."""
    assert [one.rule for one in judged(contract, delivery, usual, TODAY)] == rules
