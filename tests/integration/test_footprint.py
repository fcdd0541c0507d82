"""How much memory it takes to resolve what waits: `cdp/resolution/footprint.py`."""

import tracemalloc
from dataclasses import replace

import pytest
import sqlalchemy as sa

from cdp.resolution import footprint, readiness
from cdp.resolution.learning import learn
from cdp.resolution.repair import Repair
from cdp.resolution.run import resolve
from cdp.storage import schema
from cdp.workspace import Workspace
from identity.errors import NotEnoughMemoryError
from tests.journeys.state import people

pytestmark = pytest.mark.integration


def wait(workspace: Workspace, share: float) -> list[int]:
    """Let a share of the records wait; their ids."""
    record = schema.record
    with workspace.engine.begin() as connection:
        everybody = list(connection.scalars(sa.select(record.c.id).order_by(record.c.id)))
        some = everybody[:: round(1 / share)]
        connection.execute(sa.update(record).where(record.c.id.in_(some)).values(dirty=True))
    return some


def test_a_repair_takes_no_more_than_was_estimated(copied: Workspace) -> None:
    """Everything that it allocates, at every moment, with every record of the sample."""
    some = wait(copied, 0.2)
    with copied.engine.begin() as connection:
        epoch = readiness.ready(connection)
        assert epoch is not None
        told = footprint.needed(connection, copied, epoch, some)
        tracemalloc.start()
        try:
            work = Repair(connection, copied, epoch)
            work.find(some)
            work.store(copied.now())
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < told < 5 * peak


def test_what_would_not_fit_is_left_to_a_full_run(
    copied: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Estimated before it begins; fewer records, or more memory, are repaired as ever."""
    records = len(people(copied)["members"])
    wait(copied, 0.1)
    assert resolve(copied).judged < records
    some = wait(copied, 0.1)
    monkeypatch.setattr(footprint, "NEVER_MANY", len(some) - 1)
    assert resolve(copied).judged < records
    wait(copied, 0.1)
    monkeypatch.setattr(footprint, "OF_A_RECORD", copied.settings.memory_mb * 10**6)
    report = resolve(copied)
    assert report.judged == records
    assert report.nothing_new
    wait(copied, 0.1)
    monkeypatch.setattr(footprint, "NEVER_MANY", len(some))
    assert resolve(copied).judged < records


def test_learning_keeps_to_the_memory_limit(copied: Workspace) -> None:
    """`model learn` is refused where its part does not fit beside the records and pairs."""
    tight = replace(copied, settings=replace(copied.settings, memory_mb=150))
    with pytest.raises(NotEnoughMemoryError, match="raise CDP_MEMORY_MB"):
        learn(tight)
