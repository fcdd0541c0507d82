"""Events counted and removed in time: invariants of `cdp/resolution/inbound_upkeep.py`."""

import datetime as dt
from typing import Any

import pytest
import sqlalchemy as sa

from cdp.audit import log
from cdp.resolution import inbound_upkeep
from cdp.resolution.inbound_upkeep import EXPIRED, RECEIVED, expire, sources, tally
from cdp.storage import schema
from tests.integration.erasure.household import shred
from tests.integration.in_process import run
from tests.integration.inbound.shop import KEYS, Shop, basic, identify, track
from tests.journeys.commands import Outcome

pytestmark = pytest.mark.integration
DAY = dt.timedelta(days=1)
CANARY = "13912346789"


@pytest.fixture
def clock(shop: Shop) -> list[dt.datetime]:
    """The shop's time, to be turned."""
    turned = [shop.workspace.now()]
    object.__setattr__(shop.workspace, "now", lambda: turned[0])
    return turned


def audited(shop: Shop, action: str) -> list[tuple[str, str | None]]:
    """Actor and person of the events of an action."""
    table = schema.audit_event.c
    asked = sa.select(table.actor, table.profile_id).where(table.action == action)
    with shop.workspace.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(asked.order_by(table.id))]


def kept(shop: Shop) -> list[tuple[str, str]]:
    """Source and kind of every event."""
    return sorted((one["source"], one["kind"]) for one in shop.events())


def test_an_event_is_removed_when_its_time_is_over(
    shop: Shop, clock: list[dt.datetime], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariants 1 and 2: by source, counted, with its audit event; the rest stays."""
    monkeypatch.setattr(inbound_upkeep, "AT_ONCE", 2)
    object.__setattr__(shop.workspace.declaration.sources["bag"], "keep_events", 30)
    shop.send(identify("u3", "m1"), *(track("u3", f"t{n}") for n in range(5)))
    shop.send(track("u3", "b1"), to="bag")
    clock[0] += 31 * DAY
    shop.send(track("u3", "b2"), to="bag")
    with shop.workspace.engine.connect() as connection:
        assert sources(connection) == ["bag", "web"]
    rehearsed = list(expire(shop.workspace, ["bag", "web"], rehearse=True))
    assert [one.count for one in rehearsed] == [1, 0]
    assert (len(kept(shop)), audited(shop, EXPIRED)) == (8, [])
    done = list(expire(shop.workspace, ["bag", "web"]))
    assert [one.events for one in done] == [(("track", "Order Completed", 1),), ()]
    assert audited(shop, EXPIRED) == [("source:bag", None)]
    clock[0] += 370 * DAY
    done = list(expire(shop.workspace, ["bag", "web", "gone"]))
    assert [one.count for one in done] == [1, 6, 0]
    assert done[1].events == (("identify", "", 1), ("track", "Order Completed", 5))
    assert kept(shop) == []


def test_a_removal_goes_on_where_it_was_broken_off(
    shop: Shop, clock: list[dt.datetime], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariant 3."""
    monkeypatch.setattr(inbound_upkeep, "AT_ONCE", 2)
    shop.send(*(track("u3", f"t{n}") for n in range(5)))
    clock[0] += 401 * DAY
    statement = inbound_upkeep._REMOVE
    calls: list[Any] = []
    original = sa.Connection.execute

    def execute(self: sa.Connection, asked: Any, *more: Any, **named: Any) -> Any:
        if asked is statement:
            calls.append(more)
            if len(calls) == 2:
                raise KeyboardInterrupt
        return original(self, asked, *more, **named)

    monkeypatch.setattr(sa.Connection, "execute", execute)
    with pytest.raises(KeyboardInterrupt):
        list(expire(shop.workspace, ["web"]))
    assert len(kept(shop)) == 3
    assert [one.count for one in expire(shop.workspace, ["web"])] == [3]
    assert [one.count for one in expire(shop.workspace, ["web"])] == [0]
    assert kept(shop) == []


def test_what_happened_too_long_ago_is_not_taken_in(shop: Shop, clock: list[dt.datetime]) -> None:
    """What was removed cannot come again; who somebody is counts, however late it is told."""
    old = {"timestamp": (clock[0] - 401 * DAY).isoformat()}
    answer = shop.send(track("u3", "t1", **old), identify("u3", "m1", phone="13900000003") | old)
    assert answer.json()["left_out"] == {"too_old": 1}
    assert kept(shop) == [("web", "identify")]


def test_events_are_counted_by_name_and_day(shop: Shop, clock: list[dt.datetime]) -> None:
    """Invariant 4: by declared names and rules, never by what was sent."""
    yesterday = {"timestamp": (clock[0] - DAY).isoformat()}
    shop.send(
        identify("u3", "m1", phone=CANARY),
        track("u3", "t1", **yesterday),
        track("u3", "t2"),
        track(CANARY, "t3", event=CANARY),
        track(CANARY, "t4"),
    )
    with shop.workspace.engine.connect() as connection:
        whole = tally(connection, shop.workspace, "web")
        by_day = tally(connection, shop.workspace, "web", by_day=True)
    assert [(one.kind, one.name, one.count, one.of_somebody) for one in whole.events] == [
        ("identify", "", 1, 1), ("track", "Order Completed", 3, 2),
    ]  # fmt: skip
    days = [(one.day, one.count) for one in by_day.events if one.name]
    assert days == [(clock[0].date() - DAY, 1), (clock[0].date(), 2)]
    assert whole.left_out == ((clock[0].date(), "event_not_declared", 1),)
    assert (whole.kept_for, whole.over, whole.used) == (400, 0, (clock[0],))
    assert CANARY not in repr(whole)


def test_the_use_of_a_key_is_in_the_audit_log_once_an_hour(
    shop: Shop, clock: list[dt.datetime]
) -> None:
    """Invariant 2 of `admission.py`: before anything that came with it, and of no bad key."""
    clock[0] = clock[0].replace(minute=10)
    shop.client.post("/v1/track", json=track("u3", "t0"), headers=basic("wrong"))
    assert audited(shop, RECEIVED) == []
    for minute, to in ((10, "web"), (59, "web"), (59, "bag")):
        clock[0] = clock[0].replace(minute=minute)
        shop.send(track("u3", f"t{minute}"), to=to)
    assert audited(shop, RECEIVED) == [("source:web", None), ("source:bag", None)]
    clock[0] += dt.timedelta(hours=1)
    shop.send(track("u3", "t2"))
    assert len(audited(shop, RECEIVED)) == 3


def test_no_audit_event_no_message(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Invariant 2 of `admission.py`: where it cannot be written nothing is stored."""

    def refuse(*_: object) -> int:
        raise sa.exc.OperationalError("", None, Exception())

    monkeypatch.setattr(log, "append", refuse)
    assert shop.send(track("u3", "t1")).status_code == 503
    assert shop.events() == []
    monkeypatch.undo()
    assert shop.send(track("u3", "t1")).status_code == 200
    assert audited(shop, RECEIVED) == [("source:web", None)]


def test_what_was_erased_is_counted_no_more(shop: Shop) -> None:
    """Erasure covers events: none of the person is left to be counted."""
    shop.send(identify("u3", "m1", phone="13900000003"), track("u3", "t1"), track("u4", "t2"))
    shred(shop.workspace, "web:u3")
    with shop.workspace.engine.connect() as connection:
        found = tally(connection, shop.workspace, "web").events
    assert [(one.kind, one.count, one.of_somebody) for one in found] == [("track", 1, 0)]


def test_the_command_counts_and_removes(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`cdp source events`: a tally, a rehearsal, a removal; `--json` of each."""
    shop.send(identify("u3", "m1", phone=CANARY), track("u3", "t1"), track("u3", "t2", event="x"))
    settings = shop.workspace.settings
    where = {
        "CDP_HOME": str(settings.home),
        "CDP_CONFIG": str(settings.declaration),
        "CDP_DATABASE_URL": str(settings.database_url),
    }

    def events(*words: str, code: int = 0) -> Outcome:
        return run(monkeypatch, capsys, ("source", "events", *words), where, code)

    (told,) = events("web", "--tally", "--json").json
    assert [(one["name"], one["count"]) for one in told["events"]] == [
        ("", 1), ("Order Completed", 1),
    ]  # fmt: skip
    assert told["left_out"][0]["rule"] == "event_not_declared"
    assert len(told["key_used_in_hour_of"]) == 1
    shown = events()
    assert "Order Completed" in shown.out
    assert not [one for one in (CANARY, KEYS["web"]) if one in shown.out + shown.err]
    (would,) = events("--expire", "--json", "--dry-run").json
    assert (would["removed"], would["dry_run"], would["kept_for_days"]) == (0, True, 400)
    assert "web" in events("--expire").out
    events("--tally", "--expire", code=2)
    events("--dry-run", code=2)
    events("nowhere", code=1)
