"""The HTTP API: records sent as they come; invariants of `cdp/resolution/sending.py`."""

import datetime as dt
import json
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
import structlog

from api import edge
from api.app import create_app
from api.errors import MEDIA_TYPE
from api.rows import LINES
from cdp.access import keys
from cdp.access.principals import sync_principals
from cdp.errors import Retry
from cdp.ingest.sync import sync
from cdp.resolution import online
from cdp.resolution.online import Arrivals
from cdp.resolution.run import resolve
from cdp.resolution.sending import MOST, Sending
from cdp.storage import schema
from cdp.storage.locks import only_one
from cdp.vault.keyed import RecordKeys
from cdp.workspace import Workspace
from policies.decision import Decision, Policy
from policies.reasons import Reason
from policies.vocabulary import Treatment
from tests.integration.api.site import TestClient
from tests.integration.erasure.household import shred
from tests.integration.served import served
from tests.integration.test_online import assert_as_a_full_run, person
from tests.integration.test_repair import state
from tests.journeys import tills
from tests.journeys.databases import Databases

pytestmark = pytest.mark.integration
PATH = "/v1/sources/app/records"
WHO = [
    {"id": "wires", "role": "operator", "node": "kith"},
    {"id": "headquarters", "role": "headquarters", "node": "kith"},
    {"id": "clerk", "role": "clerk", "node": "BJ01"},
    {"id": "officer", "role": "compliance", "node": "kith"},
    {"id": "stray", "role": "service", "node": "kith"},
]
CANARY = {**person(3, 9), "name": "欧阳金丝", "phones": "13912346789"}
CANARIES = ("欧阳金丝", "13912346789", CANARY["openid"])


class App:
    """The shop's API, and a key for each principal."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.client = TestClient(create_app(workspace), raise_server_exceptions=False)
        self._keys: dict[str, str] = {}
        with workspace.engine.begin() as connection:
            sync_principals(connection, workspace.declaration, workspace.now())

    def key(self, who: str) -> dict[str, str]:
        """The header that lets ``who`` in."""
        if who not in self._keys:
            rings = RecordKeys(self.workspace.keyring)
            with self.workspace.engine.begin() as connection:
                self._keys[who] = keys.issue(connection, rings, who, self.workspace.now()).text
        return {"Authorization": f"Bearer {self._keys[who]}"}

    def send(
        self, rows: object, who: str = "wires", path: str = PATH, kind: str = "application/json"
    ) -> httpx.Response:
        """Send rows: bytes as they are, anything else as JSON."""
        body = rows if isinstance(rows, bytes) else json.dumps(rows, ensure_ascii=False).encode()
        headers = {**self.key(who), "Content-Type": kind}
        return self.client.post(path, headers=headers, content=body)

    def events(self, who: str = "wires") -> list[dict[str, Any]]:
        """The audit events of one principal."""
        event = schema.audit_event.c
        statement = sa.select(event.line).where(event.actor == who).order_by(event.id)
        with self.workspace.engine.connect() as connection:
            return [json.loads(line) for line in connection.scalars(statement)]


@pytest.fixture(scope="module")
def prepared(
    tmp_path_factory: pytest.TempPathFactory, databases: Databases, template: str
) -> Workspace:
    """A shop with forty people in eighty records, resolved once."""
    folder = tmp_path_factory.mktemp("shop")
    tills.write_declaration(folder, tills.declaration(principals=WHO))
    workspace = tills.open_shop(folder, databases.copy(template))
    tills.write_app(folder, [person(n, a) for n in range(40) for a in range(2)])
    sync(workspace, "app")
    resolve(workspace)
    workspace.engine.dispose()
    return workspace


@pytest.fixture
def app(prepared: Workspace, databases: Databases, tmp_path: Path) -> Iterator[App]:
    """A copy of the shop with a folder of its own, so that its ledger is its own."""
    url = databases.copy_of(str(prepared.settings.database_url))
    home = shutil.copytree(prepared.settings.home, tmp_path / "home")
    app = App(tills.reopen(prepared, replace(prepared.settings, database_url=url, home=home)))
    with app.client:
        yield app
    app.workspace.engine.dispose()


def assert_problem(response: httpx.Response, status: int, code: str) -> None:
    """A problem of this status and code that repeats nothing of what was sent."""
    assert (response.status_code, response.headers["content-type"]) == (status, MEDIA_TYPE)
    assert response.json()["code"] == code
    assert not [canary for canary in CANARIES if canary in response.text]


def test_records_find_their_people_in_each_form(app: App) -> None:
    """An object, a list and JSON lines are taken in; the answer counts, and names nobody."""
    one = app.send(person(3, 9))
    assert one.status_code == 200
    assert one.json() == {
        "stored": 1, "unchanged": 0, "set_aside": 0, "shredded": 0, "resolved": True,
        "people": 1, "profiles": None, "refused": [],
    }  # fmt: skip
    several = app.send([person(4, 9), person(900), person(900, 1)])
    assert (several.json()["stored"], several.json()["people"]) == (3, 2)
    for number, kind in enumerate(sorted(LINES)):
        lines = "\n".join(json.dumps(person(5, account)) for account in (20 + number, 30 + number))
        sent = app.send(f"\r\n{lines}\n\n".encode(), kind=f"{kind}; charset=utf-8")
        assert (sent.json()["stored"], sent.json()["people"]) == (2, 1)
    assert_as_a_full_run(app.workspace)


def test_sent_again_nothing_changes(app: App) -> None:
    """Invariant 3: the same records are unchanged, however often they come."""
    rows = [person(3, 9), person(900)]
    app.send(rows)
    before = state(app.workspace)
    again = app.send(rows).json()
    assert (again["stored"], again["unchanged"], again["people"]) == (0, 2, 0)
    assert state(app.workspace) == before


def test_rows_that_are_no_record_are_named_without_what_they_say(app: App) -> None:
    """Invariant 2: position, field, rule and next step; the others are taken in."""
    nameless = {key: text for key, text in CANARY.items() if key != "openid"}
    mixed = app.send([nameless, person(3, 9), [CANARY["name"]], CANARY["phones"]])
    assert mixed.status_code == 200
    told = mixed.json()
    assert told["stored"] == 1
    assert [(one["position"], one["field"], one["rule"]) for one in told["refused"]] == [
        (1, None, "record_id_missing"), (3, None, "not_an_object"), (4, None, "not_an_object"),
    ]  # fmt: skip
    assert all(one["next_step"] for one in told["refused"])
    assert not [canary for canary in CANARIES if canary in mixed.text]
    none = app.send([nameless])
    assert_problem(none, 422, "no_record")
    assert [(one["position"], one["rule"]) for one in none.json()["errors"]] == [
        ("1", "record_id_missing")
    ]
    aside = app.send({**person(901), "phones": "13800138000"}).json()
    assert (aside["stored"], aside["set_aside"]) == (1, 1)


def test_what_stands_as_destroyed_is_counted_and_left_out(app: App) -> None:
    """Invariant 2: a request of nothing but destroyed records is understood, and says so."""
    workspace, gone = app.workspace, person(5)
    shred(workspace, f"app:{gone['openid']}")
    alone = app.send(gone)
    assert alone.status_code == 200, alone.text
    assert [alone.json()[name] for name in ("stored", "unchanged", "shredded")] == [0, 0, 1]
    assert gone["openid"] not in alone.text
    both = app.send([gone, person(3, 9)]).json()
    assert (both["stored"], both["shredded"], both["resolved"]) == (1, 1, True)


BAD = [
    (b"", "application/json", 400, "malformed"),
    (b'{"openid": "oAnna', "application/json", 400, "malformed"),
    (b'[{"openid": "x"},]', "application/json", 400, "malformed"),
    (b'[{"openid": "x"} {"openid": "y"}]', "application/json", 400, "malformed"),
    (b'{"openid": "x"} {"openid": "y"}', "application/json", 400, "malformed"),
    (b"[" * 90_000, "application/json", 400, "malformed"),
    (b"\xff\xfe{}", "application/json", 400, "malformed"),
    (b"[]", "application/json", 422, "no_rows"),
    (b"\n \n", "application/x-ndjson", 422, "no_rows"),
    (b"{}", "text/plain", 415, "unsupported_media_type"),
    (b"{}", "", 415, "unsupported_media_type"),
    (b"{}\n" * (MOST + 1), "application/x-ndjson", 413, "too_many_rows"),
    (b"[" + b"1," * MOST + b"1]", "application/json", 413, "too_many_rows"),
    (b'["' + b"x" * edge.RECORDS_LIMIT + b'"]', "application/json", 413, "body_too_large"),
    (b'{"openid": NaN}', "application/json", 422, "no_record"),
    (b'{"openid": "a", "openid": "b"}', "application/json", 422, "no_record"),
    (b'{"openid": ' + b"9" * 5000 + b', "openid": 1}', "application/json", 422, "no_record"),
    (b"null", "application/json", 422, "no_record"),
]


def test_bad_bodies_are_problems_that_repeat_nothing(app: App) -> None:
    """Whatever is sent, the answer is a problem, and nothing is stored."""
    before = state(app.workspace)
    for body, kind, status, code in BAD:
        response = app.send(body, kind=kind)
        assert (status, code) == (response.status_code, response.json()["code"]), body[:40]
    deep = b'{"openid": "x", "name": ' + b"[" * 200 + b"]" * 200 + b"}"
    assert_problem(app.send(deep), 422, "no_record")
    assert state(app.workspace) == before


@pytest.mark.parametrize("who", ["headquarters", "clerk", "officer", "stray"])
def test_only_an_operator_sends(app: App, who: str) -> None:
    """Others are refused, whether or not there is such a source; the attempt is logged."""
    before = state(app.workspace)
    sent = [app.send([CANARY], who, path) for path in (PATH, "/v1/sources/nowhere/records")]
    assert [one.status_code for one in sent] == [403, 403]
    assert sent[0].json()["code"] == sent[1].json()["code"]
    assert [(one["action"], one["decision"]) for one in app.events(who)] == [
        ("records.send", "deny")
    ] * 2
    assert state(app.workspace) == before


def test_without_a_key_nothing_is_taken_in(app: App) -> None:
    """No key, no record, no event."""
    before = state(app.workspace)
    assert_problem(app.client.post(PATH, json=[CANARY]), 401, "unauthorised")
    assert_problem(app.client.post(PATH, content=b"[" * 9000), 401, "unauthorised")
    assert state(app.workspace) == before
    assert app.events() == []


def test_a_source_that_is_not_there_is_a_404(app: App) -> None:
    """Who may send is told that the address names no source."""
    for name in ("nowhere", CANARIES[1], "%00", "app%2F..", "APP"):
        response = app.send([CANARY], path=f"/v1/sources/{name}/records")
        assert response.status_code == 404
        assert not [canary for canary in CANARIES if canary in response.text]
    assert {one["reason"] for one in app.events()} == {"no_such_source"}


def test_the_event_comes_before_the_records(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """Invariant 1: when records are read, the event is committed; without it none is read."""
    seen = []

    def look(*_: object) -> None:
        seen.extend(app.events())
        raise Retry("database_lost", "send it again in a moment")

    with monkeypatch.context() as patched:
        patched.setattr(Arrivals, "resolve", look)
        response = app.send([CANARY])
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert [(one["action"], one["decision"], one["detail"]) for one in seen] == [
        ("records.send", "allow", "app")
    ]
    assert seen[0]["request_id"] == response.headers["x-request-id"]
    before = state(app.workspace)
    with app.workspace.engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE kith.audit_event RENAME TO gone"))
    assert app.send([CANARY]).status_code == 500
    assert state(app.workspace) == before


def test_who_gets_no_turn_is_told_to_send_again(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others kept changing the same people: 409 with Retry-After, and nothing is stored."""
    before = state(app.workspace)

    def busy(*_: Any) -> None:
        raise online._Busy({(online._KEYS, 1)})

    with monkeypatch.context() as patched:
        patched.setattr(online, "alone_or_shared", lambda *_: False)
        patched.setattr(online, "_try", busy)
        response = app.send([CANARY])
    assert_problem(response, 409, "busy")
    assert response.headers["retry-after"] == "1"
    assert state(app.workspace) == before
    assert app.send([CANARY]).json()["stored"] == 1


def test_a_key_that_was_retired_meanwhile_is_a_retry(app: App) -> None:
    """What few rows were sealed under is refused as that of many: 503, and nothing is stored."""
    before = state(app.workspace)
    row = {"purpose": "contact", "version": 1, "at": app.workspace.now()}
    with app.workspace.engine.begin() as connection:
        connection.execute(sa.insert(schema.retired_key).values(row))
    response = app.send([CANARY])
    assert_problem(response, 503, "stopped")
    assert response.headers["retry-after"] == "1"
    assert state(app.workspace) == before


def test_what_is_remembered_of_values_is_held_once(app: App) -> None:
    """All sources derive features with one deriver, tomorrow too: its memory does not grow."""
    today = [app.workspace.now()]
    sources, used = Sending(replace(app.workspace, now=lambda: today[0])).sources, []
    for days in (0, 1):
        today[0] += dt.timedelta(days)
        used += [sources.arrivals(name)._intake._preparer._deriver for name in ("app", "till")]
    assert all(one is used[0] for one in used)


def test_while_everybody_is_resolved_records_wait(app: App) -> None:
    """They are stored, the answer says so, and sent again they find their people."""
    with only_one(app.workspace.engine, "repair", "wait"):
        waiting = app.send([person(3, 9)]).json()
    assert (waiting["stored"], waiting["resolved"], waiting["people"]) == (1, False, 0)
    again = app.send([person(3, 9)]).json()
    assert (again["unchanged"], again["resolved"], again["people"]) == (1, True, 1)
    assert_as_a_full_run(app.workspace)


def allowing(workspace: Workspace, role: str) -> Policy:
    """The policy, with a role of which a line says that it may send."""
    compiled = workspace.policy.compiled
    granted = Decision(allowed=True, treatment=Treatment.OMIT, reason=Reason.GRANTED, rule="here")
    table = {**compiled.table, (role, "ingest", "none", "service"): (granted,) * 8}
    more = replace(compiled, table=MappingProxyType(table))
    return Policy(more, workspace.policy.organisation)


def test_ids_are_for_those_who_may_read_the_people(app: App) -> None:
    """Invariant 2: with an event for each; not where one of them is out of reach."""
    app.workspace.policies._policy = allowing(app.workspace, "headquarters")
    told = app.send([person(3, 9), person(900)], "headquarters").json()
    assert len(told["profiles"]) == told["people"] == 2
    read = [one for one in app.events("headquarters") if one["action"] == "profile.read"]
    assert sorted(one["profile_id"] for one in read) == told["profiles"]
    assert {tuple(one["fields"]) for one in read} == {("profile_id",)}
    app.workspace.policies._policy = allowing(app.workspace, "clerk")
    hidden = app.send([person(901)], "clerk").json()
    assert (hidden["people"], hidden["profiles"]) == (1, None)
    assert [one["action"] for one in app.events("clerk")] == ["records.send"]


def test_the_log_holds_nothing_of_what_was_sent(app: App) -> None:
    """The route template, the status and the sender; no source, no value."""
    with structlog.testing.capture_logs() as lines:
        app.send([CANARY])
        app.send([{"name": CANARY["name"]}])
    told = [(one.get("route"), one.get("status"), one.get("principal")) for one in lines]
    assert told == [("/v1/sources/{source}/records", status, "wires") for status in (200, 422)]
    written = json.dumps([lines, app.events()], ensure_ascii=False)
    assert not [canary for canary in CANARIES if canary in written]


def test_many_senders_end_as_one_would(app: App) -> None:
    """A real server, four senders on the same people: what a full run would find."""
    rows = [person(n, account) for n in range(996, 1002) for account in range(4)]
    # Bridges: two people's records that a third one joins, sent by different senders.
    rows += [{**person(n, 7), "unionid": person(n + 1)["unionid"]} for n in range(996, 1001)]
    header = app.key("wires")

    def send(url: str) -> Callable[[int], int]:
        def work(start: int) -> int:
            stored = 0
            with httpx.Client(base_url=url, timeout=60) as client:
                for at in range(start, len(rows), 8):
                    body = rows[at : at + 2]
                    while (sent := client.post(PATH, headers=header, json=body)).status_code == 409:
                        time.sleep(float(sent.headers["retry-after"]) / 10)
                    assert sent.status_code == 200, sent.text
                    stored += sent.json()["stored"]
            return stored

        return work

    with served(app.workspace) as url, ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(send(url), range(0, 8, 2))) == len(rows)
        with httpx.Client(base_url=url, timeout=60) as client:
            again = client.post(PATH, headers=header, json=rows)
        assert (again.json()["stored"], again.json()["unchanged"]) == (0, len(rows))
        assert again.json()["resolved"]
    assert_as_a_full_run(app.workspace)
