"""How sources stand, by command and over HTTP: figures, who may see them, and no value."""

import datetime as dt
import re
from dataclasses import replace

import pytest
import sqlalchemy as sa

from cdp.declaration import Declaration
from cdp.running import jobs, prometheus
from cdp.running.ending import Sequel, of_error
from cdp.running.jobs import Taking
from cdp.running.standing import SourceStanding, resolving, standings
from cdp.storage import roles
from cdp.storage.schema import event, event_tally, job, source_state, sync_run
from connectors.errors import Stop
from tests.integration.in_process import run
from tests.integration.running.conftest import Opener
from tests.journeys import tills
from tests.journeys.commands import Outcome

pytestmark = pytest.mark.integration
NOW = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
SENT = {
    "connector": "segment",
    "trust": "events",
    "credentials": {"write_key": "env:SOURCE_BROWSER"},
    "consent": {"basis": "consent", "purposes": ["service"]},
}
SOURCES = {
    "till": {**tills.TILL, "schedule": {"minutes": 60}},
    "app": tills.APP,
    "web": SENT,
}
CANARY = "canary-13957149163"
SERIES = re.compile(r'kith_[a-z_]+(?:\{(?:[a-z]+="[a-z_0-9]+",?)+\})? -?[0-9.e+]+')


def ran(connection: sa.Connection, source: str, rows: int, ago: dt.timedelta) -> None:
    """A run that ended so long ago."""
    counts = {"read": rows, "added": rows - 1, "changed": 0, "unchanged": 0, "rejected": 1}
    connection.execute(
        sync_run.insert().values(
            source=source,
            fingerprint=CANARY,
            declaration="d",
            position=rows,
            set_aside=0,
            started_at=NOW - ago,
            finished_at=NOW - ago,
            **counts,
        )
    )


@pytest.fixture
def stands(shop: Opener) -> tuple[sa.Engine, Declaration]:
    """A till that ran five times and fails now, an app that never ran, a page that sends."""
    workspace = shop(SOURCES)
    declared = workspace.declaration
    with workspace.engine.begin() as connection:
        for hours, rows in enumerate((50, 100, 90, 110, 100)):
            ran(connection, "till", rows, (hours + 2) * HOUR)
        state = {"read_as": "r", "sealed": b"x" * 40, "newest_at": NOW - 3 * HOUR}
        connection.execute(source_state.insert().values(source="till", at=NOW - HOUR, **state))
        jobs.plan(connection, jobs.scheduled(declared), NOW - HOUR)
        ann = Taking("ann", HOUR)
        (lease,) = jobs.take_syncs(connection, ann, ["till"], 1, NOW - HOUR)
        failed = of_error(Stop("till", "file_missing", "Put it there."))
        jobs.end(connection, ann, lease, (failed, Sequel(3, 60.0)), NOW + HOUR, NOW)
        sent = {"kind": "track", "subject": b"s", "properties": {"n": CANARY}, "purposes": []}
        for minutes in (1, 7):
            at = NOW - dt.timedelta(minutes=minutes)
            connection.execute(
                event.insert().values(
                    source="web", message=bytes([minutes]), occurred_at=at, received_at=at, **sent
                )
            )
        connection.execute(
            event_tally.insert().values(source="web", day=NOW.date(), rule="no_id", count=4)
        )
    return workspace.engine, declared


def found(engine: sa.Engine, declared: Declaration) -> dict[str, SourceStanding]:
    """How they stand now."""
    with engine.connect() as connection:
        known = standings(connection, declared, list(declared.sources), NOW)
    return {one.source: one for one in known}


def test_figures_of_each_kind_of_source(stands: tuple[sa.Engine, Declaration]) -> None:
    """Of the till: what is usual, how old; of the page: what came; the app has never run."""
    known = found(*stands)
    till, app, web = (known[name] for name in ("till", "app", "web"))
    assert (till.state, till.failures, till.rule) == ("failing", 3, "file_missing")
    assert (till.rows, till.usual, till.volume) == (100, 95.0, 100 / 95)
    assert (till.read.lag, till.state_age) == (3 * 3600, 3600)
    assert till.succeeded_at == NOW - 2 * HOUR
    assert (till.outcomes["added"], till.outcomes["rejected"]) == (445, 5)
    assert (app.state, app.succeeded_at, app.rows, app.volume) == ("no schedule", None, None, None)
    assert (web.state, web.read.lag, dict(web.outcomes)) == (
        "sent",
        60.0,
        {"added": 2, "rejected": 4},
    )


def test_the_text_is_what_prometheus_reads(stands: tuple[sa.Engine, Declaration]) -> None:
    """Invariants 1 and 2: each series once, one type a name, and no label but closed words."""
    known = list(found(*stands).values())
    with stands[0].connect() as connection:
        text = prometheus.exposed(known, resolving(connection), NOW)
    lines = text.splitlines()
    told = [line for line in lines if not line.startswith("#")]
    assert all(SERIES.fullmatch(line) for line in told), told
    assert len({line.rsplit(" ", 1)[0] for line in told}) == len(told)
    types = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(set(types)) == len(types)
    assert {re.split(r"[{ ]", line)[0] for line in told} == set(types)
    assert 'kith_source_rows_total{source="till",outcome="added"} 445' in told
    assert 'kith_source_state{source="till",state="failing"} 1' in told
    assert 'kith_source_lag_seconds{source="web"} 60.0' in told
    assert CANARY not in text


def test_a_role_that_serves_clerks_can_tell_them(stands: tuple[sa.Engine, Declaration]) -> None:
    """It needs no key and no event; of what SDKs sent it tells nothing."""
    engine, declared = stands
    for role in roles.ROLES:
        with engine.connect() as connection:
            connection.execute(sa.text(f"SET LOCAL ROLE {role}"))
            known = standings(connection, declared, list(declared.sources), NOW)
            resolving(connection)
        assert {one.source: one.rows for one in known}["till"] == 100
        assert {one.source: one.read.lag for one in known}["web"] is None


@pytest.mark.parametrize("leased", [dt.timedelta(seconds=-1), HOUR])
def test_states_of_a_source(stands: tuple[sa.Engine, Declaration], leased: dt.timedelta) -> None:
    """Running while a lease holds; else paused before failing before due before waiting."""
    engine, declared = stands
    told = []
    for changed in (
        {"worker": "ann", "leased_until": NOW + leased},
        {"paused_at": NOW},
        {"paused_at": None},
        {"failures": 0, "due_at": NOW},
        {"due_at": NOW + HOUR},
    ):
        with engine.begin() as connection:
            connection.execute(sa.update(job).values(changed))
        told.append(found(engine, declared)["till"].state)
    idle = ["failing", "paused", "failing", "due", "waiting"]
    assert told == (["running"] * 5 if leased > dt.timedelta(0) else idle)


def test_the_command_shows_them(
    shop: Opener, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a person reads and what a tool reads; paused and resumed by hand, it says so."""
    workspace = shop(SOURCES)
    environment = {
        "CDP_HOME": str(workspace.settings.home),
        "CDP_CONFIG": str(workspace.settings.declaration),
        "CDP_DATABASE_URL": str(workspace.settings.database_url),
    }

    def told(*arguments: str, code: int = 0) -> Outcome:
        return run(monkeypatch, capsys, arguments, environment, code)

    assert told("source", "pause", "till", "--json").json["paused"]
    [till, app, web] = told("source", "status", "--json").json
    assert (till["state"], app["state"], web["state"]) == ("paused", "no schedule", "sent")
    assert {"lag", "usual", "volume", "outcomes", "next_step", "state_at"} <= set(till)
    assert "paused_by_hand" in told("source", "status").out
    assert told("source", "resume", "till", "--json").json["resumed"]
    assert not told("source", "resume", "till", "--json").json["resumed"]
    assert told("source", "pause", "app", code=1).err.count("not_scheduled") == 1


def test_what_is_usual_takes_a_few_runs_and_looks_at_ten(shop: Opener) -> None:
    """Two earlier runs make nothing usual; the eleventh is too long ago to count."""
    workspace = shop({"few": tills.TILL, "many": tills.TILL, "till": SOURCES["till"]})
    rows = [20, *range(1, 11), 10_000]  # the newest first
    with workspace.engine.begin() as connection:
        for hours in reversed(range(3)):
            ran(connection, "few", 5, hours * HOUR)
        for hours in reversed(range(len(rows))):
            ran(connection, "many", rows[hours], hours * HOUR)
        jobs.pause(connection, "many", NOW)  # it had a schedule once
    known = found(workspace.engine, workspace.declaration)
    assert (known["few"].rows, known["few"].usual) == (5, None)
    assert (known["many"].rows, known["many"].usual) == (20, 5.5)
    assert (known["many"].state, known["many"].rule) == ("no schedule", None)
    assert replace(known["many"], rows=None).volume is None
