"""Late and out-of-order rows, and deletions among them."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdp.ingest.feed_sync import Following
from cdp.ingest.orders import Named, newest
from cdp.storage import schema
from cdp.workspace import Workspace
from connectors.base import Deleted
from connectors.record import Record
from connectors.testing_feeds import applied
from tests.integration.feeds.deliveries import FOLLOWED, deliver, gone, left, row, rows_of
from tests.journeys import tills
from tests.journeys.state import contents

pytestmark = pytest.mark.integration
ANEW = Following(departures=FOLLOWED.departures, resumes=False)
NAMES = ("张敏", "李娜", "王芳")


def test_an_older_row_never_replaces_a_newer_one(fed: Workspace) -> None:
    """A late row is counted as superseded, in the same batch or in a later run (invariant 1)."""
    deliver(fed, [row("C1", "李娜", order=5), row("C1", "张敏", order=3)])
    before = contents(fed)
    report = deliver(fed, [row("C1", "王芳", order=4)], how=ANEW)
    assert report.superseded == 1
    assert contents(fed) == before


def test_a_late_row_does_not_bring_a_deleted_record_back(fed: Workspace) -> None:
    """What was written before the deletion comes after it, and changes nothing (1)."""
    deliver(fed, [row("C1", order=1), gone("C1", order=9)])
    report = deliver(fed, [row("C1", order=8)], how=ANEW)
    assert (report.superseded, report.added) == (1, 0)
    assert rows_of(fed, schema.record) == []
    deliver(fed, [row("C1", order=10)], how=ANEW)
    assert len(rows_of(fed, schema.record)) == 1


def test_an_unchanged_row_is_as_new_as_it_says(fed: Workspace) -> None:
    """The same content under a greater order keeps out what lies between."""
    deliver(fed, [row("C1", order=1)])
    deliver(fed, [row("C1", order=7)], how=ANEW)
    report = deliver(fed, [row("C1", "李娜", order=4)], how=ANEW)
    assert report.superseded == 1


def test_of_equal_orders_the_later_counts(fed: Workspace) -> None:
    """Nothing tells two rows of one order apart but their arrival (invariant 2)."""
    deliver(fed, [row("C1", "张敏", order=1), row("C1", "李娜", order=1)])
    assert contents(fed)["cells"].popitem()
    report = deliver(fed, [row("C1", "王芳", order=1)], how=ANEW)
    assert report.changed == 1


CARDS = ("C1", "C2", "C3")
_changes = st.lists(
    st.one_of(
        st.builds(row, st.sampled_from(CARDS), st.sampled_from(NAMES)),
        st.builds(gone, st.sampled_from(CARDS)),
    ),
    min_size=1,
    max_size=8,
)


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Record | Deleted], list[Record | Deleted]]:
    """What happened at the source, in order, and how it was delivered: late, and twice."""
    happened = [replace(one, order=place) for place, one in enumerate(draw(_changes), start=1)]
    again = draw(st.lists(st.sampled_from(happened), max_size=3))
    return happened, draw(st.permutations([*happened, *again]))


@settings(
    max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(history=histories(), batch=st.sampled_from([1, 2, 100]), cut=st.integers(0, 8))
def test_any_order_of_rows_and_deletions_equals_a_load_of_what_is_left(
    fed: Workspace,
    fed_too: Workspace,
    history: tuple[list[Record | Deleted], list[Record | Deleted]],
    batch: int,
    cut: int,
) -> None:
    """Deletions and rows in any order, twice, in any batches, leave what is left (invariant 4)."""
    happened, delivered = history
    for workspace in (fed, fed_too):
        empty(workspace)
    small = tills.with_batches(fed, batch)
    deliver(small, delivered[:cut], 2, ANEW)
    deliver(small, delivered[cut:], 2, ANEW)
    standing = applied(happened)
    last = {one.record_id.reveal(reason="test"): one for one in happened}
    deliver(fed_too, [replace(last[name], order=None) for name in standing], 2, ANEW)
    assert left(fed) == left(fed_too)
    assert applied(delivered) == standing


def empty(workspace: Workspace) -> None:
    """Take everything out that an earlier example left."""
    with workspace.engine.begin() as connection:
        for table in (schema.record, schema.source_order, schema.source_state, schema.sync_run):
            connection.execute(table.delete())


@given(history=histories(), cut=st.integers(0, 8))
def test_which_row_counts_does_not_depend_on_batches(
    history: tuple[list[Record | Deleted], list[Record | Deleted]], cut: int
) -> None:
    """The newest of all is the newest of the newest of two parts (invariant 3)."""
    _, delivered = history
    named = [Named(one.record_id.reveal(reason="test").encode(), one) for one in delivered]
    whole = newest(named)
    parts = newest([*newest(named[:cut]).values(), *newest(named[cut:]).values()])
    assert {key: one.row.order for key, one in whole.items()} == {
        key: one.row.order for key, one in parts.items()
    }
