"""Records resolved one by one as they come; invariants of `cdp/resolution/online.py`."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from cdp.errors import KithError, Refused
from cdp.ingest.sync import sync
from cdp.resolution import epochs, online
from cdp.resolution.online import Arrivals
from cdp.resolution.run import resolve
from cdp.resolution.sending import MOST
from cdp.storage import schema
from cdp.storage.locks import only_one
from cdp.vault.keyed import RecordKeys
from cdp.workspace import Workspace
from tests.integration.test_repair import TABLES, state
from tests.journeys import tills
from tests.journeys.commands import Shell
from tests.journeys.databases import Databases
from tests.journeys.tills import write_app

pytestmark = pytest.mark.integration
Opener = Callable[[], Workspace]
CRM = {
    "connector": "webhook",
    "location": "http://127.0.0.1:9/hook",
    "purpose": "marketing",
    "fields": ["profile_id", "name", "phone"],
    "secret": "crm",
}


def person(number: int, account: int = 0, **more: str) -> dict[str, str]:
    """One of a person's accounts: the same name, phone and unionid under another openid."""
    names = ["林晓梅", "陈建国", "王丽华", "赵文博", "孙雅婷", "周子轩", "吴佳怡", "郑浩然"]
    return {
        "openid": f"oPerson{number:04}x{account}",
        "name": names[number % len(names)],
        "phones": f"139{57140000 + 7 * number}",
        "unionid": f"uPerson{number:05}",
        **more,
    }


@pytest.fixture(scope="module")
def prepared(
    tmp_path_factory: pytest.TempPathFactory, databases: Databases, template: str
) -> Workspace:
    """A shop with forty people in eighty records, resolved once."""
    folder = tmp_path_factory.mktemp("shop")
    sources = {"till": tills.TILL, "app": {**tills.APP, "consent": tills.TILL["consent"]}}
    more = {"destinations": {"crm": CRM}, "sources": sources}
    tills.write_declaration(folder, tills.declaration(**more))
    workspace = tills.open_shop(folder, databases.copy(template))
    write_app(folder, [person(n, a) for n in range(40) for a in range(2)])
    sync(workspace, "app")
    resolve(workspace)
    workspace.engine.dispose()
    return workspace


@pytest.fixture
def shop(prepared: Workspace, databases: Databases) -> Iterator[Opener]:
    opened: list[Workspace] = []

    def open_one() -> Workspace:
        url = databases.copy_of(str(prepared.settings.database_url))
        settings = replace(prepared.settings, database_url=url)
        opened.append(tills.reopen(prepared, settings))
        return opened[-1]

    yield open_one
    for workspace in opened:
        workspace.engine.dispose()


def send(arrivals: Arrivals, *rows: dict[str, str]) -> online.Arrival:
    return arrivals.resolve([json.dumps(row, ensure_ascii=False) for row in rows])


def profile_count(workspace: Workspace) -> int:
    with workspace.engine.connect() as connection:
        count = connection.scalar(sa.select(sa.func.count()).select_from(schema.profile))
    return count or 0


def assert_as_a_full_run(workspace: Workspace) -> None:
    """Everything that is stored is what a full run under the same epoch would store."""
    before = state(workspace)
    resolve(workspace, full=True)
    after = state(workspace)
    for name in TABLES:
        assert before[name] == after[name], name


def test_a_record_joins_its_person_at_once(shop: Opener) -> None:
    """The answer names the person whom the record belongs to, and nobody new."""
    workspace = shop()
    before = profile_count(workspace)
    arrival = send(Arrivals(workspace, "app"), person(3, 9))
    assert arrival.resolved
    assert (arrival.stored, arrival.unchanged, arrival.refused) == (1, 0, ())
    assert len(arrival.profiles) == 1
    assert profile_count(workspace) == before
    assert_as_a_full_run(workspace)


def test_a_stranger_gets_a_profile_of_their_own(shop: Opener) -> None:
    """A record that resembles nobody is a person."""
    workspace = shop()
    before = profile_count(workspace)
    assert len(send(Arrivals(workspace, "app"), person(900)).profiles) == 1
    assert profile_count(workspace) == before + 1
    assert_as_a_full_run(workspace)


def test_what_is_known_changes_nothing(shop: Opener) -> None:
    """The same record again is unchanged: nothing is stored and nobody is announced."""
    workspace = shop()
    before = state(workspace)
    arrival = send(Arrivals(workspace, "app"), person(3))
    assert (arrival.stored, arrival.unchanged, arrival.profiles) == (0, 1, ())
    assert state(workspace) == before


def test_a_changed_record_moves(shop: Opener) -> None:
    """Corrected, a record leaves one person and joins another."""
    workspace = shop()
    arrivals = Arrivals(workspace, "app")
    moved = {**person(5), "openid": person(4, 1)["openid"]}
    arrival = send(arrivals, moved)
    assert arrival.profiles == send(arrivals, person(5, 9)).profiles
    assert_as_a_full_run(workspace)


def test_several_at_once_are_one_transaction(shop: Opener) -> None:
    """Rows that are no record are named to their sender; the others are taken in."""
    workspace = shop()
    arrivals = Arrivals(workspace, "app")
    rows = [json.dumps(person(n, 5), ensure_ascii=False) for n in (950, 951)]
    arrival = arrivals.resolve([rows[0], '{"name": "nobody"}', rows[1], rows[1]])
    assert (arrival.stored, len(arrival.profiles)) == (2, 2)
    assert [(one.position, one.rule) for one in arrival.refused] == [(2, "record_id_missing")]
    assert_as_a_full_run(workspace)


def test_the_outbox_hears_of_it_in_the_same_transaction(shop: Opener) -> None:
    """Whoever changed has one message waiting for each message destination."""
    workspace = shop()
    arrivals = Arrivals(workspace, "app")
    changed = send(arrivals, person(3, 9)).profiles
    send(arrivals, person(3, 10))
    with workspace.engine.connect() as connection:
        waiting = connection.execute(
            sa.select(schema.outbox.c.destination, schema.outbox.c.profile_id)
        ).all()
    assert [tuple(row) for row in waiting] == [("crm", changed[0])]


@pytest.mark.parametrize("together", [1, 3])
def test_many_writers_end_as_one_would(shop: Opener, together: int) -> None:
    """Invariant 1: four writers on the same eight people leave what a full run would find."""
    workspace = shop()
    rows = [person(n, account) for n in range(996, 1004) for account in range(6)]
    # Bridges: two people's records that a third one joins, sent by different writers.
    rows += [{**person(n, 7), "unionid": person(n + 1)["unionid"]} for n in range(996, 1003)]
    # Records that are there already, changed, beside new ones of the same people.
    rows += [{**person(n, a), "name": person(n + 1)["name"]} for n in range(4) for a in range(2)]
    rows += [person(n, account) for n in range(4) for account in (7, 8)]
    order = np.random.default_rng(together).permutation(len(rows))
    shares = [[rows[at] for at in order[start::4]] for start in range(4)]

    def write(mine: list[dict[str, str]]) -> None:
        arrivals = Arrivals(workspace, "app")
        for start in range(0, len(mine), together):
            assert send(arrivals, *mine[start : start + together]).resolved

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, shares))
    assert_as_a_full_run(workspace)


def wait_for_a_waiter(workspace: Workspace) -> None:
    """Until another connection of this database waits for a lock."""
    waits = sa.text(
        "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) "
        "WHERE NOT l.granted AND a.datname = current_database()"
    )
    deadline = time.monotonic() + 20
    with workspace.engine.connect() as connection:
        while not connection.scalar(waits):
            assert time.monotonic() < deadline, "nobody waits"
            time.sleep(0.01)


@pytest.mark.parametrize("turn", ["alone_or_shared", "_lock"])
def test_who_waits_for_a_turn_holds_nothing_that_it_needs(
    shop: Opener, monkeypatch: pytest.MonkeyPatch, turn: str
) -> None:
    """Invariant 1: a changed record and a new one of one person go one after the other.

    Neither is ended by the database for waiting in a circle: each has one attempt.
    """
    workspace = shop()
    has_turn = threading.Event()
    take = getattr(online, turn)

    def taken(*given: Any) -> Any:
        answer = take(*given)
        if not has_turn.is_set():
            has_turn.set()
            wait_for_a_waiter(workspace)
        return answer

    monkeypatch.setattr(online, "ATTEMPTS", 1)
    if turn == "_lock":
        monkeypatch.setattr(online, "alone_or_shared", lambda *_: False)
    monkeypatch.setattr(online, turn, taken)
    arrivals = [Arrivals(workspace, "app") for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        new = pool.submit(send, arrivals[0], person(3, 9))
        assert has_turn.wait(20)
        changed = pool.submit(send, arrivals[1], {**person(3), "phones": "13957140001"})
        assert new.result().resolved
        assert changed.result().resolved
    assert_as_a_full_run(workspace)


@pytest.mark.parametrize("busy", [False, True])
def test_a_consent_that_is_withdrawn_counts_at_once(shop: Opener, busy: bool) -> None:  # noqa: FBT001
    """Whether or not its turn has come, a changed record changes what its person allows."""
    workspace = shop()
    arrivals = Arrivals(workspace, "app")
    profile = send(arrivals, person(3, 9)).profiles[0]
    purposes = sa.select(schema.profile.c.purposes).where(schema.profile.c.id == profile)
    with workspace.engine.connect() as connection:
        assert "marketing" in (connection.scalar(purposes) or ())
    changed = {**person(3), "no_ads": "yes"}
    if busy:
        with only_one(workspace.engine, "repair", "wait"):
            assert send(arrivals, changed).waiting == 1
    else:
        assert send(arrivals, changed).profiles == (profile,)
    with workspace.engine.connect() as connection:
        assert "marketing" not in (connection.scalar(purposes) or ())


DAMAGES = {
    "no data key": "DELETE FROM kith_keys.data_key WHERE record_id = :id",
    "altered features": "UPDATE kith.record SET features = features || '\\x00' WHERE id = :id",
    "altered key": "UPDATE kith_keys.data_key SET wrapped = wrapped || '\\x00' "
    "WHERE record_id = :id",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_beside_a_record_that_cannot_be_read_a_record_waits(shop: Opener, damage: str) -> None:
    """Invariant 2: it is stored, others go on, and a run names the record that is damaged."""
    workspace = shop()
    key = RecordKeys(workspace.keyring).record_key("app", person(3)["openid"])
    with workspace.engine.begin() as connection:
        record = connection.scalar(sa.select(schema.record.c.id).where(schema.record.c.key == key))
        connection.execute(sa.text(DAMAGES[damage]), {"id": record})
    arrivals = Arrivals(workspace, "app")
    beside = send(arrivals, person(3, 9))
    assert (beside.stored, beside.waiting, beside.resolved, beside.profiles) == (1, 1, False, ())
    again = send(arrivals, person(3, 9))
    assert (again.stored, again.unchanged, again.waiting) == (0, 1, 1)
    assert send(arrivals, person(900)).resolved
    with pytest.raises(KithError, match=rf"record {record}\b"):
        resolve(workspace)


def test_a_turn_that_does_not_come_is_not_waited_for(
    shop: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariant 3: while somebody is slow, others are told to send again, and hold nothing."""
    workspace = shop()
    before = state(workspace)
    arrivals = Arrivals(workspace, "app")
    with (
        monkeypatch.context() as patch,
        ThreadPoolExecutor(1) as pool,
        only_one(workspace.engine, "arrivals", "wait"),
    ):
        patch.setattr(online, "TURN", 0.1)
        with pytest.raises(Refused, match="send it again"):
            pool.submit(send, arrivals, person(3, 9)).result(20)
    assert state(workspace) == before
    assert send(arrivals, person(3, 9)).resolved
    with workspace.engine.connect() as connection:
        assert connection.scalar(sa.text("SHOW lock_timeout")) == "0"


def test_while_everybody_is_resolved_a_record_waits(shop: Opener) -> None:
    """Invariant 2: it is stored, the answer says so, and the next resolve finds its person."""
    workspace = shop()
    with only_one(workspace.engine, "repair", "wait"):
        arrival = send(Arrivals(workspace, "app"), person(3, 9))
    assert (arrival.stored, arrival.resolved, arrival.profiles) == (1, False, ())
    report = resolve(workspace)
    assert (report.created, report.records) == (0, 81)
    assert_as_a_full_run(workspace)


def test_sent_again_a_record_that_waits_is_resolved(shop: Opener) -> None:
    """Invariant 2: the same record, sent once more when nobody is in the way, gets its person."""
    workspace = shop()
    arrivals = Arrivals(workspace, "app")
    with only_one(workspace.engine, "repair", "wait"):
        assert not send(arrivals, person(3, 9)).resolved
        assert not send(arrivals, person(3, 9)).resolved
    again = send(arrivals, person(3, 9))
    assert (again.stored, again.unchanged, again.resolved) == (0, 1, True)
    assert again.profiles == send(arrivals, person(3, 10)).profiles
    assert_as_a_full_run(workspace)


def test_before_the_first_resolve_a_record_waits(shop: Opener) -> None:
    """Invariant 2: without an epoch nothing can be compared."""
    workspace = shop()
    with workspace.engine.begin() as connection:
        connection.execute(sa.update(schema.epoch).values(active=False))
    assert not send(Arrivals(workspace, "app"), person(3, 9)).resolved


def test_who_gets_no_turn_changes_nothing(shop: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """Invariant 3: after too many attempts the sender is told to send again."""
    workspace = shop()
    before = state(workspace)

    def busy(*_: Any) -> None:
        raise online._Busy({(online._KEYS, 1)})

    monkeypatch.setattr(online, "alone_or_shared", lambda *_: False)
    monkeypatch.setattr(online, "_try", busy)
    with pytest.raises(Refused, match="send it again"):
        send(Arrivals(workspace, "app"), person(3, 9))
    assert state(workspace) == before


def shell_of(workspace: Workspace) -> Shell:
    settings = workspace.settings
    return Shell(settings.declaration.parent, settings.database_url, settings.home)


def test_push_counts_what_waits(shop: Opener, tmp_path: Path) -> None:
    """Records that are known and wait still are counted, with the next step."""
    workspace = shop()
    shell = shell_of(workspace)
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(person(3, 9), ensure_ascii=False), encoding="utf-8")
    with only_one(workspace.engine, "repair", "wait"):
        assert send(Arrivals(workspace, "app"), person(3, 9)).waiting == 1
        outcome = shell.run("source", "push", "app", str(file))
    assert "cdp identity resolve" in outcome.err


def test_push_takes_no_more_at_once_than_others_wait_for(shop: Opener, tmp_path: Path) -> None:
    """As many lines in one transaction as a request may have records; more is a misuse."""
    (tmp_path / "rows.jsonl").touch()
    arguments = "source", "push", "app", str(tmp_path / "rows.jsonl"), "--together", str(MOST + 1)
    shell_of(shop()).run(*arguments, code=2)


def test_push_resolves_what_it_reads(shop: Opener, tmp_path: Path) -> None:
    """`cdp source push` takes JSON lines from a file and says whom they belong to."""
    workspace = shop()
    shell = shell_of(workspace)
    file = tmp_path / "rows.jsonl"
    rows = [json.dumps(person(n, 9), ensure_ascii=False) for n in (1, 2)]
    file.write_text("\n".join([*rows, "{}"]), encoding="utf-8")
    outcome = shell.run("source", "push", "app", str(file), "--json", code=1)
    assert (outcome.json["stored"], outcome.json["people"]) == (2, 2)
    assert [one["line"] for one in outcome.json["refused"]] == [3]
    with workspace.engine.connect() as connection:
        assert epochs.active(connection) is not None
    assert_as_a_full_run(workspace)
