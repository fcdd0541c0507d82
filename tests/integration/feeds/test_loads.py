"""A load that replaces the one before, and what it may not end."""

import datetime as dt
import itertools
from dataclasses import replace

import pytest

from cdp.ingest.feed_sync import Following
from cdp.ingest.loads import EMPTY, Load, refusal
from cdp.storage import schema
from cdp.workspace import Workspace
from connectors.base import Outdated
from connectors.record import Rejection, Sensitive
from tests.integration.feeds.deliveries import FOLLOWED, bad, deliver, row, rows_of

pytestmark = pytest.mark.integration
ANEW = replace(FOLLOWED, resumes=False)
ALL = replace(ANEW, all_may_go=True)


def over(load: int) -> Outdated:
    """The sender says: what came before this load is gone."""
    return Outdated("shop", 1, load)


def rejected(number: str, load: int | None) -> Rejection:
    """A row of a record that broke the contract in this load."""
    return replace(bad(number), record_id=Sensitive(number), load=load)


def left(workspace: Workspace) -> int:
    """How many records there are."""
    return len(rows_of(workspace, schema.record))


def rules(workspace: Workspace) -> list[str]:
    """What stands among the rejected rows."""
    return sorted(one.rule for one in rows_of(workspace, schema.reject))


def test_a_load_replaces_the_one_before(fed: Workspace) -> None:
    """What it lacks is gone, and what it has stays."""
    deliver(fed, [row(f"C{n}", load=1) for n in range(1, 6)])
    report = deliver(fed, [row(f"C{n}", load=2) for n in range(1, 5)] + [over(2)], how=ANEW)
    assert (report.deleted, report.rejected) == (1, 0)
    assert left(fed) == 4


@pytest.mark.parametrize("every", [1, 100])
def test_a_load_without_a_row_destroys_nobody(fed: Workspace, every: int) -> None:
    """A table that is empty for a moment looks like people who left (invariants 1 and 5)."""
    deliver(fed, [row(f"C{n}", load=1) for n in range(1, 6)])
    for _ in range(2):
        report = deliver(fed, [over(2)], every, how=ANEW)
        assert (report.deleted, report.rejected) == (0, 1)
    assert (left(fed), rules(fed)) == (5, [EMPTY])
    assert deliver(fed, [over(2)], every, how=ALL).deleted == 5


@pytest.mark.parametrize("every", [1, 100])
@pytest.mark.parametrize("how", [ANEW, ALL])
def test_a_load_that_begins_destroys_nobody(fed: Workspace, every: int, how: Following) -> None:
    """Taps say it before the first row of a stream they think new, and again behind the last."""
    deliver(fed, [row(f"C{n}", load=1) for n in range(1, 6)])
    records = {one.id for one in rows_of(fed, schema.record)}
    load = [row(f"C{n}", load=2) for n in range(1, 6)]
    report = deliver(fed, [over(2), *load, over(2)], every, how=how)
    assert (report.deleted, report.unchanged, report.rejected) == (0, 5, 0)
    assert {one.id for one in rows_of(fed, schema.record)} == records
    broken_off = [over(3), row("C1", load=3), row("C2", load=3)]
    deliver(fed, broken_off, every, how=how)
    assert left(fed) == 5


@pytest.mark.parametrize("every", [1, 100])
def test_a_record_whose_row_was_rejected_is_not_gone(fed: Workspace, every: int) -> None:
    """The source still has it, though its row broke a rule (2)."""
    deliver(fed, [row(f"C{n}", load=1) for n in range(1, 4)])
    report = deliver(fed, [row("C1", load=2), rejected("C2", 2), over(2)], every, how=ANEW)
    assert (report.deleted, report.rejected) == (1, 1)  # C3 is gone
    report = deliver(fed, [row("C1", load=3), over(3)], every, how=ANEW)
    assert report.deleted == 1
    assert left(fed) == 1


@pytest.mark.parametrize("every", [1, 100])
def test_a_row_of_nobody_knows_whom_keeps_everybody(fed: Workspace, every: int) -> None:
    """It may be of any record that the load seems to lack (3)."""
    deliver(fed, [row(f"C{n}", load=1) for n in range(1, 4)])
    load = [row("C1", load=2), row("C2", load=2)]
    report = deliver(fed, [*load, bad("{"), over(2)], every, how=ALL)
    assert report.deleted == 0
    assert rules(fed) == ["load_unread", "record_id_missing"]
    assert deliver(fed, [*load, over(2)], every, how=ANEW).deleted == 1


def test_a_row_that_a_broken_run_rejected_counts_too(fed: Workspace) -> None:
    """The load goes on in the next run; what could not be read before is of it (3)."""
    deliver(fed, [row(f"C{n}", load=1) for n in range(1, 4)])
    with fed.engine.begin() as connection:
        connection.execute(schema.sync_run.insert().values(
            source="shop", fingerprint="fed", declaration="x", position=1, read=1, added=0,
            changed=0, unchanged=0, rejected=1, set_aside=0,
            started_at=dt.datetime(2026, 3, 1, tzinfo=dt.UTC),
        ))  # fmt: skip
    assert deliver(fed, [row("C1", load=2), over(2)], how=ANEW).deleted == 0
    assert deliver(fed, [row("C1", load=2), over(2)], how=ANEW).deleted == 2


def test_a_load_that_lost_most_of_its_rows_destroys_nobody(fed: Workspace) -> None:
    """A query that broke half-way; a person may say that it is right (4)."""
    deliver(fed, [row(f"C{n}", load=1) for n in range(1, 51)], 100)
    broken = [row(f"C{n}", load=2) for n in range(1, 25)] + [over(2)]
    assert deliver(fed, broken, 100, how=ANEW).deleted == 0
    assert rules(fed) == ["load_shrunk"]
    assert left(fed) == 50
    assert deliver(fed, broken, 100, how=ALL).deleted == 26


def test_what_is_followed_is_only_what_can_be_believed() -> None:
    """Every combination, in one place: nobody is destroyed on a doubt."""
    for came, older, unread in itertools.product((0, 1, 30, 31), (0, 1, 20, 21, 31), (0, 1)):
        told = Load(came, older, unread, ended=False, confirmed=False)
        if older == 0:
            assert refusal(told) is None
        elif came == 0:
            assert refusal(told) == refusal(replace(told, confirmed=True)) == EMPTY
        elif unread:
            assert refusal(told) == refusal(replace(told, confirmed=True)) == "load_unread"
        else:
            shrunk = older > 20 and older > came
            assert refusal(told) == ("load_shrunk" if shrunk else None)
            assert refusal(replace(told, confirmed=True)) is None
    last = Load(0, 5, 0, ended=True, confirmed=True)
    assert refusal(last) is None
    assert refusal(replace(last, unread=1)) == "load_unread"
    assert refusal(replace(last, confirmed=False)) == EMPTY
