"""Where a feed stands: sealed, bound, forgotten on request."""

import json

import pytest
import sqlalchemy as sa

from cdp.errors import Stop
from cdp.ingest import feed_state
from cdp.keys import usage
from cdp.keys.carrying_out import carry_out
from cdp.storage import schema
from cdp.workspace import Workspace
from connectors.base import Mark, State
from tests.integration.feeds.deliveries import deliver, row, rows_of
from tests.integration.keys.rotated import new_version

pytestmark = pytest.mark.integration
CANARY = "13957140286"


def keep(workspace: Workspace, source: str, read_as: str = "one") -> None:
    """Keep a state that holds a value of a row."""
    mark = Mark(State({"version": 1, "after": CANARY}))
    with workspace.engine.begin() as connection:
        feed_state.keep(connection, workspace, source, read_as, mark)


def kept(workspace: Workspace, source: str, read_as: str = "one") -> State | None:
    """The state that is kept."""
    with workspace.engine.connect() as connection:
        return feed_state.kept(connection, workspace, source, read_as)


def test_a_state_is_sealed_and_bound_to_its_source(fed: Workspace) -> None:
    """No value is readable in the database, and another source's state does not open (1)."""
    keep(fed, "shop")
    [stored] = rows_of(fed, schema.source_state)
    assert CANARY not in repr(stored)
    found = kept(fed, "shop")
    assert found is not None
    assert found.value["after"] == CANARY
    with fed.engine.begin() as connection:
        connection.execute(sa.update(schema.source_state).values(source="other"))
    with pytest.raises(Stop, match="state_unreadable") as stopped:
        kept(fed, "other")
    assert CANARY not in str(stopped.value)
    assert "cdp source reset" in stopped.value.next_step


def test_another_way_of_reading_voids_a_state(fed: Workspace) -> None:
    """A new mapping holds for every row: the feed is read from the beginning (2)."""
    keep(fed, "shop")
    assert kept(fed, "shop", "two") is None


def test_a_state_that_does_not_open_is_a_stop(fed: Workspace) -> None:
    """It is never taken for no state: that would read everything without a word (3)."""
    deliver(fed, [row("C1")])
    with fed.engine.begin() as connection:
        connection.execute(sa.update(schema.source_state).values(sealed=b"\1\0\1" + b"x" * 60))
    with pytest.raises(Stop, match="cdp source reset"):
        deliver(fed, [row("C1")])


def test_a_reset_forgets_the_state_and_leaves_the_records(fed: Workspace) -> None:
    """The next sync reads everything, and nothing is new."""
    rows = [row("C1", order=4), row("C2", order=5)]
    deliver(fed, rows)
    with fed.engine.begin() as connection:
        forgotten = feed_state.forget(connection, "shop")
    assert (forgotten.state, forgotten.orders) == (True, 2)
    report = deliver(fed, rows)
    assert (report.read, report.unchanged) == (2, 2)


def test_a_standing_says_nothing_of_the_state(fed: Workspace) -> None:
    """Run, position, ages and the rejected share; never what the state holds."""
    deliver(fed, [row("C1")])
    keep(fed, "shop")
    with fed.engine.connect() as connection:
        shop, other = feed_state.standings(connection, ["shop", "other"], fed.now())
    assert (shop.position, shop.rejected_share, shop.lag is not None) == (1, 0.0, True)
    assert (other.started_at, other.state_at, other.lag) == (None, None, None)
    assert CANARY not in json.dumps(shop.to_dict())


def test_a_state_goes_with_a_rotation_of_the_reject_key(fed: Workspace) -> None:
    """It is counted under its version, sealed anew, and still read on from."""
    keep(fed, "shop")
    new_version(fed, "rejects")
    with fed.engine.connect() as connection:
        assert usage.in_use(connection)["rejects"] == {1: 1}
    report = carry_out(fed, "rejects", lambda *_: None)
    assert (report.complete, report.rows) == (True, 1)
    with fed.engine.connect() as connection:
        assert usage.in_use(connection)["rejects"] == {2: 1}
    found = kept(fed, "shop")
    assert found is not None
    assert found.value["after"] == CANARY
