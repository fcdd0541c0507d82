"""Names of what was sent: invariants of ``cdp/ingest/remembered.py``."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import sqlalchemy as sa

from cdp.ingest import remembered
from cdp.ingest.remembered import COUNTED, counted, forget_old, is_known, remember
from cdp.storage import schema
from tests.integration.hooks.world import World

pytestmark = pytest.mark.integration
NAME = b"sixteen bytes, a"
HOUR = timedelta(hours=1)


def test_one_alone_is_told_that_a_name_is_new(world: World) -> None:
    """Invariant 1: eight at once, each in a transaction of its own."""
    now = world.workspace.now()

    def ask(_: int) -> bool:
        with world.workspace.engine.begin() as connection:
            return remember(connection, "crm", NAME, now + HOUR, now)

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(ask, range(8))) == [False] * 7 + [True]


def test_what_is_over_is_new_again(world: World) -> None:
    """Invariant 2: another source's is its own."""
    now = world.workspace.now()
    with world.workspace.engine.begin() as connection:
        assert remember(connection, "crm", NAME, now + HOUR, now)
        assert remember(connection, "forge", NAME, now + HOUR, now)
        assert is_known(connection, "crm", NAME, now + HOUR)
        later = now + HOUR + timedelta(seconds=1)
        assert not is_known(connection, "crm", NAME, later)
        assert remember(connection, "crm", NAME, later + HOUR, later)
        assert not remember(connection, "crm", NAME, later + HOUR, later)


def test_what_is_over_is_forgotten_a_day_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariant 3: some at a time; what was only counted is no message."""
    monkeypatch.setattr(remembered, "_FORGET", 2)
    now = world.workspace.now()
    with world.workspace.engine.begin() as connection:
        for number in range(3):
            remember(connection, "crm", NAME[:-1] + bytes([number]), now, now - HOUR)
        remember(connection, "crm", b"=" + NAME, now, now - HOUR)
        assert counted(connection, "crm", now - HOUR) == (3, now)
        assert counted(connection, "crm", now) == (0, None)
        left = sa.select(sa.func.count()).select_from(schema.hook_message)
        found = []
        for at in (now + COUNTED, now + COUNTED + HOUR, now + COUNTED + HOUR):
            forget_old(connection, now=at)
            found.append(connection.scalar(left))
    assert found == [4, 2, 0]
