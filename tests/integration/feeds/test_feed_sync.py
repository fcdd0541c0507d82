"""Following a feed: what is committed together, and what delivering again does."""

import datetime as dt
import itertools
from dataclasses import replace

import pytest

from cdp.errors import Refused
from cdp.ingest.feed_sync import Following
from cdp.storage import schema
from cdp.storage.locks import only_one
from cdp.workspace import Workspace
from connectors.base import Outdated
from connectors.errors import Stop
from tests.integration.feeds.deliveries import (
    FOLLOWED,
    bad,
    deliver,
    gone,
    left,
    row,
    rows_of,
    runs,
)
from tests.journeys import tills
from tests.journeys.state import contents, rows_as_stored

pytestmark = pytest.mark.integration


class PulledPlugError(Exception):
    """Stands for a process that ends in the middle."""


def pull_at(rows: int) -> Following:
    """End the run after so many committed rows."""

    def pull(done: int, _expected: int | None) -> None:
        if done >= rows:
            raise PulledPlugError

    return Following(pull, FOLLOWED.departures)


MANY = [
    row("C1"),
    row("C2"),
    bad("first"),
    row("C3"),
    row("C1", "李敏"),
    gone("C2"),
    row("C4"),
    bad("second"),
    row("C5"),
    gone("C9"),
]


def test_a_broken_off_run_goes_on_from_the_last_state(fed: Workspace, fed_too: Workspace) -> None:
    """Rows up to a mark and its state are one commit: the rest gives the same (invariant 1)."""
    deliver(fed_too, MANY)
    small = tills.with_batches(fed, 2)
    for moment in (3, 3):
        with pytest.raises(PulledPlugError):
            deliver(small, MANY, how=pull_at(moment))
    last = deliver(small, MANY)
    assert last.read == len(MANY) - 6
    assert left(fed) == left(fed_too)
    assert contents(fed)["rejects"]
    assert len(contents(fed)["rejects"]) == 2
    assert [run.finished_at is None for run in runs(fed)] == [True, True, False]


def test_delivered_again_nothing_changes(fed: Workspace) -> None:
    """From the beginning once more, every row is known (invariant 2)."""
    rows = [row("C1", order=1), row("C2", order=5), bad("first"), gone("C3", order=4)]
    deliver(fed, rows)
    before = rows_as_stored(fed.engine)
    how = Following(departures=FOLLOWED.departures, resumes=False)
    report = deliver(fed, [*rows, *rows[::-1]], how=how)
    after = rows_as_stored(fed.engine)
    for table in ("kith.sync_run", "kith.source_state", "kith.workspace"):
        del before[table], after[table]
    assert before == after
    assert report.nothing_new
    assert (report.unchanged, report.rejected, report.superseded) == (3, 2, 3)


def test_every_row_is_counted_once(fed: Workspace) -> None:
    """What was read is what was added, changed, left, rejected, deleted or overtaken (3)."""
    deliver(fed, MANY[:3], every=1)
    report = deliver(
        tills.with_batches(fed, 4),
        MANY,
        how=Following(departures=FOLLOWED.departures, resumes=False),
    )
    ended = (report.accepted, report.rejected, report.shredded, report.deleted, report.superseded)
    assert sum(ended) == report.read == len(MANY)
    assert report.deleted == 1
    [*_, run] = runs(fed)
    assert (run.read, run.deleted, run.superseded) == (len(MANY), 1, report.superseded)


def test_a_load_replaces_the_one_before(fed: Workspace) -> None:
    """What a whole load does not give again is gone; what never was of a load stays."""
    deliver(fed, [row("C1", load=1), row("C2", load=1), row("C3")])
    how = Following(departures=FOLLOWED.departures, resumes=False)
    report = deliver(fed, [row("C1", load=2), row("C4", load=2), Outdated("shop", 1, 2)], how=how)
    names = {one.id for one in rows_of(fed, schema.record)}
    assert report.deleted == 1
    assert len(names) == 3


def test_two_syncs_of_one_feed_never_run_at_once(fed: Workspace) -> None:
    """The second is refused with the next step (invariant 6)."""
    with only_one(fed.engine, "sync shop", "wait"), pytest.raises(Refused, match="already_running"):
        deliver(fed, MANY)


def test_a_state_is_heard_once_its_rows_are_committed(fed: Workspace) -> None:
    """Whoever waits for a state gets it behind the commit, in order (invariant 7)."""
    heard = []

    def hear(state: object) -> None:
        heard.append((state.value["after"], len(rows_of(fed, schema.record))))  # type: ignore[attr-defined]

    small = tills.with_batches(fed, 2)
    deliver(small, [row(f"C{n}") for n in range(1, 7)], 2, Following(hear=hear))
    assert heard == [(2, 2), (4, 4), (6, 6), (6, 6)]


def test_rows_without_a_mark_do_not_fill_the_memory(fed: Workspace) -> None:
    """A feed that gives no mark for long is committed without a state meanwhile."""
    seen = []
    small = tills.with_batches(fed, 2)
    how = Following(progress=lambda done, _: seen.append(done))
    deliver(small, [row(f"C{n}") for n in range(1, 10)], 100, how)
    assert seen == [0, 4, 8, 9]


def test_deletions_need_somebody_who_destroys(fed: Workspace) -> None:
    """A caller who is not prepared for deletions is stopped, and nothing is lost."""
    with pytest.raises(Exception, match="deletions_not_expected"):
        deliver(fed, [row("C1"), gone("C1")], how=Following())
    assert rows_of(fed, schema.record) == []


def test_a_feed_that_stops_keeps_what_was_committed(fed: Workspace) -> None:
    """A Stop in the middle leaves the rows and the state of the last mark."""
    small = tills.with_batches(fed, 1)
    deliver(small, [row("C1")], every=1)
    foreign = row("C1")
    object.__setattr__(foreign, "source", "elsewhere")
    with pytest.raises(Stop, match="other_source"):
        deliver(small, [row("C1"), foreign])
    assert len(rows_of(fed, schema.source_state)) == 1


def test_a_clock_that_is_put_back_holds_nothing_up(fed: Workspace) -> None:
    """Rows of a quiet feed do not wait until it comes round again."""
    noon = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
    times = itertools.count()
    back = replace(fed, now=lambda: noon - next(times) * dt.timedelta(hours=1))
    heard: list[object] = []
    how = Following(departures=FOLLOWED.departures, hear=heard.append)
    deliver(back, [row(f"C{n}") for n in range(1, 5)], 1, how)
    assert len(heard) == 5
