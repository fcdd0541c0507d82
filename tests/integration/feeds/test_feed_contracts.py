"""Freshness of feeds, which are never whole, and where it is told: cdp.ingest.feed_contract."""

import datetime as dt
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cdp.ingest import feed_state
from cdp.ingest.contract import ContractPause
from cdp.ingest.feed_sync import Following
from cdp.running.ending import How, of_error
from cdp.running.prometheus import exposed
from cdp.running.standing import resolving
from cdp.storage import schema
from cdp.storage.source_schema import source_arrival, source_finding, source_watch
from tests.integration import in_process
from tests.integration.feeds.agreed import DAILY, DAY, FRESH, Shop, of_day, rules
from tests.integration.feeds.deliveries import FOLLOWED, bad, deliver, gone, rows_of
from tests.journeys import tills

pytestmark = pytest.mark.integration


def test_a_source_that_went_quiet_is_paused_and_its_rows_are_kept(shop: Shop) -> None:
    """A sync that brings nothing is judged too; what came before stays (2 and 3)."""
    shop.agree(contract=FRESH)
    assert shop.gives(of_day("C1", "2026-03-09")).findings == ()
    shop.at += DAY
    assert shop.gives().findings == ()
    shop.at += DAY
    with pytest.raises(ContractPause) as stopped:
        shop.gives(of_day("C2", "2026-03-08"))
    assert stopped.value.rule == "contract_freshness"
    assert stopped.value.where == {"source": "shop", "column": "updated"}
    assert "cdp source resume" in stopped.value.next_step
    assert of_error(stopped.value).how is How.PAUSE
    assert shop.count(schema.record) == 2
    [_, _, last] = sorted(rows_of(shop.workspace, schema.sync_run), key=lambda one: one.id)
    assert (last.added, last.finished_at is not None) == (1, True)
    assert shop.gives(of_day("C3", "2026-03-12")).findings == ()


def test_a_day_to_come_makes_nothing_fresh(shop: Shop) -> None:
    """One row of 2099 would keep the source fresh for ever; a zone where it is tomorrow may (2)."""
    shop.agree(contract=FRESH, on_breach="warn")
    shop.gives(of_day("C1", "2026-03-10"), of_day("C2", "2099-01-01"))
    shop.at += 3 * DAY
    assert rules(shop.gives()) == [("contract_freshness", "warn")]
    assert shop.gives(of_day("C3", "2026-03-14")).findings == ()
    [watched] = rows_of(shop.workspace, source_watch)
    assert watched.newest == dt.date(2026, 3, 14)


def test_deletions_are_news(shop: Shop) -> None:
    """A source from which people only go is not quiet."""
    shop.agree(contract=FRESH)
    shop.gives(of_day("C1", "2026-03-10"))
    shop.at += 3 * DAY
    assert shop.gives(replace(gone("C1"), day="2026-03-13")).findings == ()


def test_a_column_without_a_day_is_told_at_once_and_silence_in_time(shop: Shop) -> None:
    """Rows without a day are a mistake; where none came, looking has only begun."""
    shop.agree(contract=FRESH, on_breach="warn")
    assert shop.gives().findings == ()
    shop.at += 3 * DAY
    assert rules(shop.gives()) == [("contract_freshness", "warn")]
    [found] = shop.gives(of_day("C1", None)).findings
    assert "No row has a day there" in found.next_step


def test_who_resumes_is_not_paused_again_for_the_same(shop: Shop) -> None:
    """Accepted, it is only told; newer rows that become old in their turn pause again (4)."""
    shop.agree(contract=FRESH)
    with pytest.raises(ContractPause):
        shop.gives(of_day("C1", "2026-03-07"))
    with pytest.raises(ContractPause):
        shop.gives()
    assert shop.resume() == 1
    for _ in range(2):
        shop.at += DAY
        assert rules(shop.gives()) == [("contract_freshness", "warn")]
    assert [one.accepted for one in shop.standing().findings] == [True]
    for _ in range(2):  # newer rows, and old again: nobody knows of that
        with pytest.raises(ContractPause):
            shop.gives(of_day("C9", "2026-03-08"))
    assert [one.accepted for one in shop.standing().findings] == [False]
    assert shop.gives(of_day("C2", "2026-03-12")).findings == ()
    assert shop.count(source_finding) == 0
    shop.at += 9 * DAY
    with pytest.raises(ContractPause):
        shop.gives()


def test_another_freshness_reads_nothing_again(shop: Shop) -> None:
    """Only what is asked of rows decides how they are read (5)."""
    rows = [of_day(f"C{n}", "2026-03-01") for n in range(4)]
    assert deliver(shop.workspace, rows).read == 4
    shop.agree(contract=FRESH, on_breach="warn")
    assert deliver(shop.workspace, rows).read == 0
    shop.agree(contract={**FRESH, "columns": {"name": {"required": True}}}, on_breach="warn")
    assert deliver(shop.workspace, rows).read == 4


def test_a_reset_forgets_how_new_rows_were(shop: Shop) -> None:
    """Everything is read again; another column's days say nothing either."""
    shop.agree(contract=FRESH, on_breach="warn")
    shop.gives(of_day("C1", "2026-03-10"))
    other = {"freshness": {"column": "seen", "days": 2}}
    shop.at += 3 * DAY
    shop.agree(contract=other, on_breach="warn")
    assert shop.gives().findings == ()
    with shop.workspace.engine.begin() as connection:
        feed_state.forget(connection, "shop")
    assert shop.count(source_watch) == 0


def test_what_is_noted_is_committed_with_its_rows(shop: Shop) -> None:
    """A batch that is not stored makes nothing fresh (1)."""
    shop.agree(contract={**FRESH, **DAILY})

    class PulledPlugError(Exception):
        pass

    def pull(done: int, _expected: int | None) -> None:
        if done >= 2:
            raise PulledPlugError

    shop.workspace = tills.with_batches(shop.workspace, 2)
    given = [of_day(f"C{n}", f"2026-03-{n:02}") for n in range(5, 10)]
    with pytest.raises(PulledPlugError):
        deliver(shop.workspace, given, 2, Following(pull, FOLLOWED.departures))
    [watched] = rows_of(shop.workspace, source_watch)
    assert watched.newest == dt.date(2026, 3, 6)
    assert [one.rows for one in rows_of(shop.workspace, source_arrival)] == [2]


# ── where it is told ────────────────────────────────────────────────────────


def test_what_is_found_stands_in_status_and_metrics(shop: Shop) -> None:
    """Found again it changes nothing, over it is forgotten; stale without a sync it is told."""
    demands = {"columns": {"name": {"required": True}}}
    shop.agree(contract={**FRESH, **demands}, on_breach="warn")
    shop.gives(of_day("C1", "2026-03-10"))
    assert shop.standing().findings == ()
    shop.at += 3 * DAY
    assert [one.found.rule for one in shop.standing().findings] == ["contract_freshness"]
    first = shop.at
    shop.gives(bad("of nobody"))
    shop.at += DAY
    shop.gives()
    [found] = shop.standing().to_dict()["findings"]
    assert found["first_at"] == first.isoformat()
    with shop.workspace.engine.connect() as connection:
        told = exposed([shop.standing()], resolving(connection), shop.at)
    assert 'kith_source_findings{source="shop",rule="contract_freshness"} 1' in told
    shop.agree()
    shop.gives()
    assert shop.standing().findings == ()


def test_resumed_by_hand_it_goes_on(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """`cdp source resume` says that a person knows; without anything to know it says so."""
    shop.agree(contract=FRESH)
    with pytest.raises(ContractPause):
        shop.gives(of_day("C1", "2026-03-01"))
    settings = shop.workspace.settings
    (tmp_path / "fed" / ".cdp").symlink_to(settings.home)
    monkeypatch.chdir(settings.declaration.parent)
    environment = {"CDP_DATABASE_URL": str(settings.database_url)}

    def told(*words: str, code: int = 0) -> Any:
        return in_process.run(monkeypatch, capsys, ("source", *words), environment, code)

    table = told("status", "shop").out
    assert "contract_freshness" in table
    assert told("resume", "shop", "--json").json == {
        "source": "shop",
        "resumed": False,
        "accepted": 1,
    }
    assert "not_scheduled" in told("resume", "shop", code=1).err
    assert rules(shop.gives()) == [("contract_freshness", "warn")]
