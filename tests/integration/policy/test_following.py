"""Processes follow the policy while they serve: `cdp/policy/following.py`, `cdp/policy/live.py`."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from api.app import create_app
from cdp.policy import changing, following, live, versions
from cdp.workspace import Workspace
from tests.integration.api.site import TestClient
from tests.integration.policy.office import Office, narrower, sees, wider
from tests.journeys.commands import ROOT

pytestmark = pytest.mark.integration
PATIENCE = 20.0  # seconds that a busy machine may take for what takes milliseconds
FOLLOWER = """
import os, sys, time, json
from cdp.settings import Settings
from cdp.workspace import open_workspace
workspace = open_workspace(Settings.from_environment(os.environ))
workspace.policies.follow()
while not workspace.policies.status().following:
    time.sleep(0.01)
print("ready", flush=True)
for number in (1, 2, 3):
    until = time.monotonic() + 60
    while workspace.policies.status().changes < number and time.monotonic() < until:
        time.sleep(0.005)
    print(workspace.policies.status().staleness, flush=True)
status = workspace.policies.status()
workspace.policies.stop()
print(json.dumps([status.changes, status.serial, status.longest]))
"""


def until(true: Callable[[], bool]) -> bool:
    """Wait for something that takes a moment."""
    end = time.monotonic() + PATIENCE
    while not true() and time.monotonic() < end:
        time.sleep(0.01)
    return true()


@contextmanager
def followed(workspace: Workspace) -> Iterator[Workspace]:
    """The workspace, hearing of changes."""
    workspace.policies.follow()
    assert until(lambda: workspace.policies.status().following)
    try:
        yield workspace
    finally:
        workspace.policies.stop()


def listeners(office: Office) -> list[int]:
    """Processes of the server that somebody's follower is connected to."""
    text = "SELECT pid FROM pg_stat_activity WHERE application_name = :name AND datname = "
    found = office.sql(f"{text} current_database()", {"name": following.NAME})
    return [one.pid for one in found]


def followers() -> list[threading.Thread]:
    """The threads that follow, in this process."""
    return [one for one in threading.enumerate() if one.name == "policy"]


def test_a_change_is_heard_of_at_once(office: Office) -> None:
    """Following 1: long before the next look, and how long it took is told."""
    with followed(office.process()) as process:
        office.change(wider())
        assert until(lambda: sees(process, "postcode") == "clear")
        assert until(lambda: process.policies.status().changes == 1)
        found = process.policies.status()
        assert (found.serial, found.refusal) == (2, None)
        assert found.staleness is not None
        assert 0 <= found.staleness < following.LOOK / 2
    process.engine.dispose()


def test_another_process_follows_within_a_second(office: Office) -> None:
    """Following 1: three changes in a row, measured by the database's clock in that process."""
    environment = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(ROOT),
        "CDP_HOME": str(office.settings.home),
        "CDP_CONFIG": str(office.settings.declaration),
        "CDP_DATABASE_URL": str(office.settings.database_url),
    }
    process = subprocess.Popen(
        [sys.executable, "-c", FOLLOWER],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        mine, took = office.process(), []
        for text in (wider(), narrower(), wider()):
            office.change_in(mine, text)
            took.append(float(process.stdout.readline()))
        changes, serial, longest = json.loads(process.stdout.readline())
    assert (changes, serial, process.returncode) == (3, 4, 0)
    assert longest == max(took) < 5.0
    # The third is a policy that the process compiled before: nothing is left but hearing of it.
    assert 0 <= took[-1] < 1.0
    mine.engine.dispose()


def test_a_connection_that_broke_is_opened_again(office: Office) -> None:
    """Following 2: terminated by an administrator, it is back within moments and misses nothing."""
    with followed(office.process()) as process:
        (before,) = listeners(office)
        office.sql(f"SELECT pg_terminate_backend({before})")
        office.change(wider())
        assert until(lambda: sees(process, "postcode") == "clear")
        assert until(lambda: bool(listeners(office)) and before not in listeners(office))
        assert until(lambda: process.policies.status().following)
        office.change(narrower())
        assert until(lambda: sees(process, "phone") == "omit")
        assert len(followers()) == 1
    process.engine.dispose()


def test_a_lost_notification_delays_and_hides_nothing(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Following 1: without a word from the database the next look finds the change."""
    monkeypatch.setattr(live, "LOOK", 0.2)
    silent = sa.text("SELECT CAST(:channel AS text), CAST(:serial AS text)")
    monkeypatch.setattr(changing, "_TELL", silent)
    with followed(office.process()) as process:
        office.change(wider())
        assert until(lambda: sees(process, "postcode") == "clear")
    process.engine.dispose()


def test_what_came_while_it_connected_is_seen(office: Office) -> None:
    """Following 1: a change between opening the workspace and following is not missed."""
    process = office.process()
    _ = process.policy
    office.change(wider())
    with followed(process):
        assert until(lambda: sees(process, "postcode") == "clear")
    process.engine.dispose()


def test_stopping_ends_it_and_leaves_nothing(office: Office) -> None:
    """Following 3 and 4: within moments no thread and no connection is left, pool or not."""
    process = office.process()
    before = len(followers())
    with followed(process):
        assert process.engine.pool.checkedout() == 0
        assert len(listeners(office)) == 1
        assert len(followers()) == before + 1
        process.policies.follow()  # again and again is once
        assert len(followers()) == before + 1
        began = time.monotonic()
    assert time.monotonic() - began < following.PATIENCE
    assert len(followers()) == before
    process.engine.dispose()
    assert until(lambda: listeners(office) == [])
    process.policies.stop()  # what is stopped stays so
    with followed(process):
        assert len(followers()) == before + 1
    process.engine.dispose()


def test_while_the_database_is_away_the_policy_stays(office: Office) -> None:
    """Live 2: who is asked meanwhile decides as before, and stopping does not wait for it."""
    with followed(office.process()) as process:
        # What a follower sees when nothing answers: every new connection fails.
        process.policies._follower._engine = sa.create_engine(
            "postgresql+psycopg2://nobody@127.0.0.1:9/none"
        )
        office.sql(f"SELECT pg_terminate_backend({listeners(office)[0]})")
        assert until(lambda: not process.policies.status().following)
        assert sees(process, "phone") == "mask"
        began = time.monotonic()
    assert time.monotonic() - began < following.PATIENCE
    process.engine.dispose()


def test_a_look_that_does_not_end_is_told(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """Following 5, Live 6: a connection that says nothing is not following, however open it is."""
    with followed(office.process()) as process:
        looked = process.policies.status().looked
        assert looked is not None
        assert 0 <= looked < following.LATE
        ended, began = threading.Event(), threading.Event()
        real = versions.news

        def silent(*given: object) -> object:
            if threading.current_thread().name == "policy":
                began.set()
                assert ended.wait(PATIENCE)
            return real(*given)

        monkeypatch.setattr(versions, "news", silent)
        monkeypatch.setattr(live, "LATE", 0.3)
        office.change(wider())
        assert began.wait(PATIENCE)
        assert until(lambda: not process.policies.status().following)
        assert process.policies.status().looked > 0.3
        assert sees(process, "postcode") == "omit"
        monkeypatch.setattr(live, "LATE", following.LATE)
        ended.set()
        assert until(lambda: process.policies.status().following)
        assert until(lambda: sees(process, "postcode") == "clear")
    process.engine.dispose()


def test_a_connection_whose_other_end_is_gone_is_given_up(office: Office) -> None:
    """Following 5: the system gives it up within seconds, also where nothing is sent."""
    with followed(office.process()) as process:
        pass
    with process.engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver.info.dsn_parameters["connect_timeout"] == "10"
        with socket.socket(fileno=os.dup(driver.fileno())) as line:
            if line.family == socket.AF_UNIX:  # has no other end that could be gone
                assert driver.info.dsn_parameters["tcp_user_timeout"] == "10000"
                return
            options = {
                name: line.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))
                for name in ("TCP_USER_TIMEOUT", "TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT")
            }
            assert line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    assert options["TCP_USER_TIMEOUT"] == 10_000
    silence = options["TCP_KEEPIDLE"] + options["TCP_KEEPINTVL"] * options["TCP_KEEPCNT"]
    assert silence <= 20
    process.engine.dispose()


def test_a_command_starts_no_thread(office: Office) -> None:
    """Opening a workspace, deciding and changing the policy need no thread."""
    before = followers()
    office.change(wider())
    assert sees(office.process(), "postcode") == "clear"
    assert followers() == before


def test_the_application_follows_while_it_serves(office: Office) -> None:
    """Serving starts the thread and ending ends it; a refused policy leaves the service ready."""
    process = office.process()
    with TestClient(create_app(process)) as client:
        assert until(lambda: process.policies.status().following)
        office.change(wider())
        assert until(lambda: sees(process, "postcode") == "clear")
        office.forced("UPDATE kith.policy_activation SET reason = 'x' WHERE serial = 2")
        office.sql("SELECT pg_notify('kith_policy', '2')")
        assert until(lambda: process.policies.status().refusal is not None)
        assert client.get("/readyz").status_code == 200
        assert sees(process, "postcode") == "clear"
    assert not process.policies.status().following
    assert followers() == []
    process.engine.dispose()
