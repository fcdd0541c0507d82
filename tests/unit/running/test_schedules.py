"""Which sources a worker runs, and for how long."""

from pathlib import Path
from typing import Any

import pytest

from cdp import declaration as declarations
from cdp.errors import Stop
from cdp.running.jobs import scheduled, text_of
from connectors.schedule import TIME_LIMIT, Schedule
from tests.journeys.tills import TILL, declaration

SENT: dict[str, Any] = {
    "connector": "segment",
    "trust": "events",
    "credentials": {"write_key": "env:SOURCE_WEB"},
    "consent": {"basis": "consent", "purposes": ["service"]},
}
OFTEN = {"minutes": 5, "time_limit": 30}


def declared(**sources: Any) -> declarations.Declaration:
    """A declaration with these sources."""
    return declarations.parse(declaration(sources=sources), Path("cdp.yaml"))


def test_a_worker_runs_what_is_read_by_a_schedule() -> None:
    """Not what has none, what is piped in, or what is sent to us."""
    piped = {**TILL, "connector": "piped", "schedule": OFTEN}
    for key in ("location", "encoding"):
        del piped[key]
    read = {**TILL, "schedule": OFTEN}
    found = scheduled(declared(read=read, none=TILL, piped=piped, sent={**SENT}))
    assert found == {"read": Schedule(minutes=5, time_limit=30)}


def test_a_run_may_take_two_hours_unless_declared() -> None:
    """The limit is in minutes, and within a week."""
    known = scheduled(declared(till={**TILL, "schedule": {"daily": "03:00"}}))
    assert known["till"].time_limit == TIME_LIMIT == 120
    with pytest.raises(Stop):
        declared(till={**TILL, "schedule": {**OFTEN, "time_limit": 0}})


def test_another_rhythm_is_another_text_and_another_limit_is_not() -> None:
    """What is planned anew is told by the text of a schedule."""
    one, other = Schedule(minutes=5), Schedule(daily="03:00", time_zone="Asia/Shanghai")
    assert text_of(one) == text_of(Schedule(minutes=5, time_limit=7)) == "every 5 minutes"
    assert text_of(other) == "daily 03:00 Asia/Shanghai"
