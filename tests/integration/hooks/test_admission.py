"""Webhooks and what SDKs send at once: invariants of ``cdp/resolution/admission.py``."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from cdp.resolution import admission
from cdp.resolution.admission import AT_ONCE, REFRESH, SOON, Admission
from cdp.storage import schema
from connectors.credentials import NoCredentialError, Reference
from connectors.record import Sensitive
from tests.integration.hooks.world import World, member
from tests.journeys.databases import administrator

pytestmark = pytest.mark.integration
END_ALL = sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name")


def test_together_they_hold_no_more_connections_than_there_are_turns(world: World) -> None:
    """Invariant 1: thirty senders of both kinds; each is answered, one connection at a time."""
    held: list[int] = []
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            held.append(world.workspace.engine.pool.checkedout())  # type: ignore[attr-defined]
            time.sleep(0.001)

    def send(number: int) -> int:
        who = {"userId": f"u{number}", "messageId": f"m{number}", "type": "identify"}
        for _ in range(60):
            answer = (
                world.standard({"data": [member(number)]}, f"m{number}")
                if number % 2
                else world.events({**who, "traits": {"phone": member(number)["phone"]}})
            )
            if answer.status_code != 429:
                return answer.status_code
            time.sleep(0.05)
        return 429

    watching = threading.Thread(target=watch)
    watching.start()
    with ThreadPoolExecutor(30) as pool:
        statuses = list(pool.map(send, range(30)))
    done.set()
    watching.join()
    assert set(statuses) == {200}
    assert 1 < max(held) <= AT_ONCE


def test_webhooks_and_sdks_share_their_turns(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Invariant 1: where one kind has them all the other waits; who proves nothing takes none."""
    monkeypatch.setattr(admission, "PATIENCE", 0.01)
    shared: list[Admission] = []
    take = Admission.turn
    monkeypatch.setattr(Admission, "turn", lambda self: (shared.append(self), take(self))[1])
    assert world.standard({"data": []}, "a").status_code == 200
    assert world.events().status_code == 200
    assert shared[0] is shared[1]
    turns = [take(shared[0]) for _ in range(AT_ONCE)]
    assert [one.__enter__() for one in turns] == [None] * AT_ONCE
    for answer in (world.standard({"data": []}, "b"), world.events()):
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    assert world.post("crm", b"{}", {}).status_code == 401
    for one in turns:
        one.__exit__(None, None, None)
    assert world.standard({"data": []}, "b").status_code == 200


class Made:
    """What is made of secrets."""

    def __init__(self, found: Any) -> None:
        self.found = found
        self.whole = None not in found["crm"].values()


def test_secrets_are_fetched_again(world: World) -> None:
    """Invariant 3: after a minute, after seconds where one is lacking, and by a clock set back."""
    fetched: list[str] = []
    there = True

    def lookup(reference: Reference) -> Sensitive:
        fetched.append(reference.name)
        if not there:
            raise NoCredentialError("credential_not_set", "Set it.")
        return Sensitive("canary")

    declared = {"crm": world.workspace.declaration.source("crm")}
    secrets = Admission(world.workspace, lookup).secrets(declared, Made)
    now = datetime(2026, 1, 1, tzinfo=UTC)

    def times(at: datetime) -> int:
        fetched.clear()
        secrets.at(at)
        return len(fetched)

    moment = timedelta(milliseconds=1)
    assert (times(now), times(now), times(now + REFRESH)) == (2, 0, 0)
    there = False
    assert times(now + REFRESH + moment) == 2
    now += REFRESH + moment
    assert (times(now + SOON), times(now + SOON + moment)) == (0, 2)
    assert times(now - timedelta(days=1)) == 2


def test_the_note_of_a_use_is_written_before_what_came_with_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariant 2: where it cannot be written, nothing is stored, of webhooks as of SDKs."""

    def fail(*_: object) -> None:
        raise sa.exc.OperationalError("", None, Exception())

    body = {"data": [member(3)]}
    with monkeypatch.context() as broken:
        broken.setattr(admission.log, "append", fail)
        answer = world.standard(body, "a")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert world.events({"type": "track", "userId": "u", "event": "E"}).status_code == 503
    assert world.record("crm", "m3") is None
    assert world.standard(body, "a").status_code == 200
    assert world.record("crm", "m3") is not None


def test_while_the_database_is_away_nothing_is_acknowledged_or_lost(
    world: World, server: sa.URL
) -> None:
    """503 and when to come again, of both kinds; the same, sent again, has its effect once."""
    name = world.workspace.engine.url.database
    order = {"type": "track", "userId": "u3", "messageId": "t1", "event": "Order Completed"}
    body = {"data": [member(3)]}
    assert world.standard({"data": []}, "before").status_code == 200
    with administrator(server).connect() as connection:
        connection.execute(sa.text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS FALSE"))
        connection.execute(END_ALL, {"name": name})
        try:
            for _ in range(2):
                for answer in (world.standard(body, "a"), world.events(order)):
                    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        finally:
            connection.execute(sa.text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS TRUE"))
    for _ in range(2):
        assert world.standard(body, "a").status_code == 200
        assert world.events(order).status_code == 200
    assert world.person("crm", "m3") == world.person("till", "C000003")
    assert len(world.all(sa.select(schema.event.c.kind))) == 1


def test_connections_that_break_at_any_moment_lose_nothing(world: World, server: sa.URL) -> None:
    """Every connection ends again and again; what was answered with 200 is there, and once."""
    done = threading.Event()

    def break_off() -> None:
        with administrator(server).connect() as connection:
            while not done.wait(0.05):
                connection.execute(END_ALL, {"name": world.workspace.engine.url.database})

    def send(number: int) -> list[int]:
        order = {"type": "track", "userId": f"u{number}", "messageId": f"t{number}",
                 "event": "Order Completed"}  # fmt: skip
        who = {**order, "type": "identify", "messageId": f"i{number}", "traits": {}}
        statuses = []
        for _ in range(8):
            statuses.append(world.standard({"data": [member(number)]}, f"m{number}").status_code)
            statuses.append(world.events(order, who).status_code)
        return statuses

    breaking = threading.Thread(target=break_off)
    breaking.start()
    with ThreadPoolExecutor(6) as pool:
        statuses = {one for several in pool.map(send, range(6)) for one in several}
    done.set()
    breaking.join()
    assert statuses <= {200, 429, 503}
    send(0)  # whoever is given a connection that ended last of all is told to come again
    assert {200} == {one for number in range(6) for one in send(number)}
    for number in range(6):
        assert world.person("crm", f"m{number}") == world.person("till", f"C{number:06}")
    kinds = sorted(world.all(sa.select(schema.event.c.kind)))
    assert kinds == ["identify"] * 6 + ["track"] * 6
