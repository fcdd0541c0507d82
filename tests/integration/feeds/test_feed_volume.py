"""How many rows feeds bring, against what is usual: cdp.ingest.feed_contract."""

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest

from cdp.ingest import feed_state
from cdp.ingest.contract import ContractPause
from cdp.ingest.feed_contract import spans
from cdp.ingest.feed_sync import Following
from cdp.storage import schema
from cdp.storage.source_schema import source_arrival, source_finding
from connectors.declaration import parse_source
from connectors.errors import DeclarationError
from tests.integration.feeds.agreed import DAILY, DAY, Shop, Table, rules
from tests.integration.feeds.deliveries import FOLLOWED, SHOP, deliver, row, rows_of
from tests.integration.feeds.elsewhere import Elsewhere
from tests.journeys import tills
from tests.journeys.databases import Databases

pytestmark = pytest.mark.integration


def a_week(shop: Shop, sizes: list[int], start: int = 0) -> None:
    """So many new records each day."""
    number = start
    for size in sizes:
        shop.gives(*(row(f"C{number + n}") for n in range(size)))
        number += size
        shop.at += DAY


def test_a_quiet_day_is_told_once_it_is_over(shop: Shop) -> None:
    """The last full day against the median of the days before it; the day that runs never."""
    shop.agree(contract=DAILY)
    a_week(shop, [50, 10, 12, 10, 4])
    with pytest.raises(ContractPause) as stopped:
        shop.gives(row("C900"))
    assert "4 records were new or changed in the 24 hours before 2026-03-15 00:00 UTC" in str(
        stopped.value
    )
    assert "where 10 are usual" in str(stopped.value)
    assert shop.count(schema.record) == 87
    assert shop.resume() == 1
    assert rules(shop.gives()) == [("contract_volume", "warn")]
    shop.at += DAY
    with pytest.raises(ContractPause):
        shop.gives()


def test_rows_that_come_again_are_no_arrivals(shop: Shop) -> None:
    """An overlap that is read each time would hide that nothing is new."""
    shop.agree(contract=DAILY, on_breach="warn")
    a_week(shop, [10, 10, 10, 10])
    assert shop.gives(*(row(f"C{n}") for n in range(40))).findings == ()
    shop.at += DAY
    assert rules(shop.gives()) == [("contract_volume", "warn")]


def test_our_own_absence_is_nobodys_silence(shop: Shop) -> None:
    """A day in which nothing was read, and the one that catches up behind it, are not judged."""
    shop.agree(contract=DAILY)
    a_week(shop, [10, 10, 10, 10])
    shop.at += 2 * DAY
    assert shop.gives(*(row(f"C{n}") for n in range(40, 80))).findings == ()
    shop.at += DAY
    assert shop.gives(*(row(f"C{n}") for n in range(80, 90))).findings == ()
    shop.at += DAY
    assert shop.gives().findings == ()


def test_a_day_of_long_ago_is_not_judged_late(shop: Shop) -> None:
    """What is told is of the last span; who was away since has other things to look at."""
    shop.agree(contract=DAILY)
    a_week(shop, [10, 10, 10, 10, 2])
    shop.at += 2 * DAY
    assert shop.gives().findings == ()


def test_spans_follow_on_one_another() -> None:
    """Spans are aligned to 1970 in UTC; one that runs is left out, and so is one after a gap."""
    day = dt.datetime(2026, 3, 10, tzinfo=dt.UTC)
    hours = {
        day + dt.timedelta(hours=n): rows
        for n, rows in [(-60, 1), (0, 2), (5, 3), (24, 4), (47, 5), (48, 6)]
    }
    assert spans(hours, DAY, day + dt.timedelta(hours=50)) == [(day + DAY, 9)]
    assert spans(hours, dt.timedelta(hours=1), day + dt.timedelta(hours=50)) == [
        (day + dt.timedelta(hours=48), 6)
    ]


def test_another_mapping_is_no_arrival(shop: Shop) -> None:
    """All records change because they are read in another way: the source sent nothing."""
    rows = [row(f"C{n}") for n in range(6)]
    shop.agree(contract=DAILY)
    deliver(shop.workspace, rows)
    shop.at += DAY
    shop.agree(contract=DAILY, fields={"name": "name"})
    report = deliver(shop.workspace, [replace(one, fields={"name": one.fields["name"]})
                                      for one in rows])  # fmt: skip
    assert report.changed == 6
    counts = sorted((one.at, one.rows) for one in rows_of(shop.workspace, source_arrival))
    assert [rows for _, rows in counts] == [6, 0]


# ── tables that are read whole ──────────────────────────────────────────────


@pytest.fixture
def crm(shop: Shop, databases: Databases) -> Table:
    """A table of members in another database."""
    return Table(shop, Elsewhere(databases.copy(None)))


WHOLE: dict[str, Any] = {"mode": "full", "cursor": None, "contract": DAILY}


def test_an_unusual_table_is_held_back_before_it_is_read(shop: Shop, crm: Table) -> None:
    """A table says how many rows it has: nothing of half a table is stored (3)."""
    crm.agree(**WHOLE)
    for rows in (20, 19, 18):
        crm.fill(rows)
        assert crm.sync().read == rows
    crm.fill(5)
    crm.members.run("UPDATE crm.members SET name = '李娜'")
    for _ in range(2):
        with pytest.raises(ContractPause, match="5 rows where 19 are usual"):
            crm.sync()
    assert [one.read for one in rows_of(shop.workspace, schema.sync_run)][3:] == [0, 0]
    assert shop.resume("crm") == 1
    report = crm.sync()
    assert (report.read, report.changed) == (5, 5)
    assert rules(report) == [("contract_volume", "warn")]
    crm.fill(6)
    assert rules(crm.sync()) == [("contract_volume", "warn")]
    crm.fill(2)
    with pytest.raises(ContractPause):
        crm.sync()


def test_an_unusual_query_is_told_when_it_was_read(shop: Shop, crm: Table) -> None:
    """Counting a query costs all of it once more: it is judged at its end, and kept."""
    crm.agree(**WHOLE, table=None, query="SELECT * FROM crm.members")
    for _ in range(3):
        crm.fill(6)
        assert crm.sync().findings == ()
    crm.fill(20)
    with pytest.raises(ContractPause, match="20 rows where 6 are usual"):
        crm.sync()
    assert shop.count(schema.record) == 20


def test_a_reading_that_was_broken_off_counts_once_and_whole(shop: Shop, crm: Table) -> None:
    """What earlier runs of it committed belongs to it (1)."""
    crm.agree(**WHOLE)
    crm.fill(10)
    whole, shop.workspace = shop.workspace, tills.with_batches(shop.workspace, 3)

    def pull(done: int, _expected: int | None) -> None:
        if done >= 3:  # of which two stand before a mark
            raise InterruptedError

    with pytest.raises(InterruptedError):
        crm.sync(Following(pull, FOLLOWED.departures))
    assert shop.count(source_arrival) == 0
    shop.workspace = whole
    assert crm.sync().read == 8
    assert crm.sync().read == 10
    assert [one.rows for one in rows_of(shop.workspace, source_arrival)] == [10, 10]


def test_a_backfill_says_nothing_of_how_the_feed_goes(shop: Shop, crm: Table) -> None:
    """It neither counts nor is judged."""
    crm.agree(contract={"freshness": {"column": "updated_at", "days": 2}, **DAILY})
    crm.fill(3)
    assert crm.sync().findings == ()
    before = rows_of(shop.workspace, source_arrival)
    shop.at += 30 * DAY
    again = replace(FOLLOWED, backfill=feed_state.Backfill())
    assert crm.sync(again).findings == ()
    assert rows_of(shop.workspace, source_arrival) == before
    with pytest.raises(ContractPause, match="contract_freshness"):
        crm.sync()
    assert crm.sync(again).findings == ()
    assert [one.rule for one in rows_of(shop.workspace, source_finding)] == ["contract_freshness"]


@pytest.mark.parametrize(
    ("schedule", "hours", "fits"),
    [({"minutes": 15}, 1, True), ({"minutes": 90}, 1, False), ({"daily": "03:00"}, 23, False)],
)
def test_a_span_is_at_least_as_long_as_from_one_sync_to_the_next(
    schedule: dict[str, Any], hours: int, *, fits: bool
) -> None:
    """Else no two follow on one another, and none would ever be judged."""
    entry = {
        **SHOP,
        "schedule": schedule,
        "contract": {"volume": {"least": 0.5, "hours": hours}},
    }
    if fits:
        assert parse_source("shop", entry).contract is not None
        return
    with pytest.raises(DeclarationError, match="volume_too_short"):
        parse_source("shop", entry)
