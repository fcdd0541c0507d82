"""The HTTP API: who gets in, what comes out, and that errors repeat nothing."""

import datetime as dt
import json
import logging
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
import structlog

from api import edge, forms
from api.app import create_app
from api.errors import MEDIA_TYPE
from api.serve import server as make_server
from cdp.access import keys
from cdp.access.gate import Gate
from cdp.storage import schema
from cdp.vault.errors import CellRefused
from tests.integration.retailer import NOW, Retailer

with warnings.catch_warnings():
    # Starlette would rather have another client package; httpx is the one we ship.
    warnings.simplefilter("ignore")
    from fastapi.testclient import TestClient

pytestmark = pytest.mark.integration

CANARY_NAME, CANARY_PHONE = "欧阳金丝", "+8613912346789"
CANARY_MAIL, CANARY_ID = "canary.bird@example.com", "11010519491231002X"
CANARIES = (CANARY_NAME, CANARY_PHONE, CANARY_PHONE[3:], CANARY_MAIL, CANARY_ID, "canary")
NOBODY_ID = "p0000000000000000000z"


class Site:
    """A retailer served over HTTP, and a key for each principal."""

    def __init__(self, engine: sa.Engine, home: Path) -> None:
        self.retailer = Retailer(engine, home)
        self.app = create_app(self.retailer.workspace)
        self.client = TestClient(self.app, raise_server_exceptions=False)
        self.ada = self.retailer.person(
            self.retailer.record(
                "pos",
                {
                    "name": CANARY_NAME,
                    "phone": CANARY_PHONE,
                    "email": CANARY_MAIL,
                    "national_id": CANARY_ID,
                },
                store="BJ01",
                attributes={"orders": 2, "total_spent": "10.5"},
            )
        )
        self._keys: dict[str, str] = {}

    def key(self, who: str) -> dict[str, str]:
        """The header that lets ``who`` in."""
        if who not in self._keys:
            with self.retailer.engine.begin() as connection:
                issued = keys.issue(connection, self.retailer.keys, who, NOW)
            self._keys[who] = issued.text
        return {"Authorization": f"Bearer {self._keys[who]}"}

    def get(self, who: str, path: str) -> httpx.Response:
        """GET as ``who``."""
        return self.client.get(path, headers=self.key(who))

    def post(self, who: str, path: str, body: object) -> httpx.Response:
        """POST JSON as ``who``."""
        return self.client.post(path, headers=self.key(who), json=body)


@pytest.fixture
def site(engine: sa.Engine, home: Path) -> Iterator[Site]:
    site = Site(engine, home)
    with site.client:
        yield site


def assert_problem(response: httpx.Response, status: int, code: str | None = None) -> None:
    """One shape, one media type, the security headers, and nothing of the canary."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == MEDIA_TYPE
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-content-type-options"] == "nosniff"
    body = response.json()
    assert {"type", "title", "status", "detail", "code", "request_id"} <= set(body)
    assert body["status"] == status
    assert body["request_id"] == response.headers["x-request-id"]
    assert code in {None, body["code"]}
    assert not [canary for canary in CANARIES if canary in response.text]


# ── people ──────────────────────────────────────────────────────────────────


def test_a_profile_is_read_by_id_for_a_purpose(site: Site) -> None:
    """A clerk gets masked values, consent and what was left out; edge 1: headers and our id."""
    response = site.get("clerk.bj01", f"/v1/profiles/{site.ada}?purpose=service")
    assert response.status_code == 200
    body = response.json()
    assert body["profile_id"] == site.ada
    assert body["redirected_from"] is None
    assert body["fields"]["phone"] == {"value": "139****6789", "treatment": "mask"}
    assert body["attributes"] == {"orders": 2, "total_spent": "10.5"}
    assert body["consent"] == {"granted": ["analysis", "marketing", "service"], "refused": []}
    assert "national_id" in body["omitted"]
    assert response.headers["cache-control"] == "no-store"
    assert len(response.headers["x-request-id"]) == 32
    event = site.retailer.events()[-1]
    assert (event["actor"], event["request_id"]) == (
        "clerk.bj01",
        response.headers["x-request-id"],
    )


def test_a_former_id_answers_with_the_current_one(site: Site) -> None:
    """A redirected id is a plain 200 that says from where it was redirected."""
    with site.retailer.engine.begin() as connection:
        connection.execute(
            schema.redirect.insert().values(old_id=NOBODY_ID, new_id=site.ada, at=NOW)
        )
    body = site.get("clerk.bj01", f"/v1/profiles/{NOBODY_ID}?purpose=service").json()
    assert (body["profile_id"], body["redirected_from"]) == (site.ada, NOBODY_ID)


def test_who_gets_which_status(site: Site) -> None:
    """404 for a person of another store and for nobody alike; 403 for who may see nobody."""
    for who, purpose, status, code in [
        ("clerk.bj01", "service", 200, None),
        ("clerk.sz01", "service", 404, "not_found"),
        ("manager.bj01", "service", 200, None),
        ("manager.empty", "service", 404, "not_found"),
        ("headquarters", "service", 200, None),
        ("headquarters", "marketing", 403, "no_rule"),
        ("compliance", "service", 403, "no_rule"),
        ("operator", "service", 403, "no_rule"),
        ("crm", "marketing", 200, None),
        ("crm", "service", 403, "outside_contract"),
        ("stray", "service", 403, "outside_contract"),
    ]:
        response = site.get(who, f"/v1/profiles/{site.ada}?purpose={purpose}")
        if status == 200:
            assert response.status_code == 200, who
        else:
            assert_problem(response, status, code)
    mine = site.get("clerk.sz01", f"/v1/profiles/{site.ada}?purpose=service").json()
    nobodys = site.get("clerk.sz01", f"/v1/profiles/{NOBODY_ID}?purpose=service").json()
    assert {**mine, "request_id": ""} == {**nobodys, "request_id": ""}


def test_a_person_is_looked_up_in_a_body(site: Site) -> None:
    """The identifier travels in the body; a stranger's gives an empty list."""
    asked = {"field": "phone", "value": "139 1234 6789", "purpose": "service"}
    found = site.post("clerk.bj01", "/v1/profiles/lookup", asked)
    assert found.status_code == 200
    assert [one["profile_id"] for one in found.json()["profiles"]] == [site.ada]
    assert site.post("clerk.sz01", "/v1/profiles/lookup", asked).json() == {"profiles": []}
    assert_problem(site.post("compliance", "/v1/profiles/lookup", asked), 403, "no_rule")
    by_name = {**asked, "field": "name", "value": CANARY_NAME}
    assert_problem(site.post("clerk.bj01", "/v1/profiles/lookup", by_name), 403, "no_rule")
    masked = {**asked, "value": "139****6789"}
    assert_problem(site.post("clerk.bj01", "/v1/profiles/lookup", masked), 422, "masked")


def test_a_reveal_needs_the_right_and_a_reason(site: Site) -> None:
    """Allowed: the value and an audit event. Refused: the reason, and an event as well."""
    path = f"/v1/profiles/{site.ada}/reveal"
    asked = {"field": "phone", "purpose": "service", "reason": "Call back about ticket 4711"}
    shown = site.post("manager.bj01", path, asked)
    assert shown.json() == {"value": CANARY_PHONE, "treatment": "clear"}
    event = site.retailer.events()[-1]
    assert (event["action"], event["decision"], event["detail"]) == (
        "profile.reveal",
        "allow",
        asked["reason"],
    )
    assert_problem(site.post("clerk.bj01", path, asked), 403, "denied")
    event = site.retailer.events()[-1]
    assert (event["actor"], event["decision"], event["reason"]) == ("clerk.bj01", "deny", "denied")
    number = {**asked, "reason": f"call {CANARY_PHONE}"}
    assert_problem(site.post("manager.bj01", path, number), 422, "detail_like_personal_number")
    asked["field"] = "address"
    assert_problem(site.post("manager.bj01", path, asked), 404, "no_value")
    nobody = f"/v1/profiles/{NOBODY_ID}/reveal"
    asked["field"] = "phone"
    assert_problem(site.post("manager.bj01", nobody, asked), 404, "not_found")


def test_people_are_listed_by_page(site: Site) -> None:
    """Headquarters pages through everybody; a clerk has no list."""
    other = site.retailer.person(site.retailer.record("shop", {"name": "赵一"}, store="SZ01"))
    first = site.get("headquarters", "/v1/profiles?purpose=service&limit=1").json()
    rest = site.get("headquarters", f"/v1/profiles?purpose=service&after={first['after']}").json()
    ids = [one["profile_id"] for page in (first, rest) for one in page["profiles"]]
    assert ids == sorted([site.ada, other])
    assert rest["after"] is None
    assert_problem(site.get("clerk.bj01", "/v1/profiles?purpose=service"), 403, "no_rule")
    assert_problem(
        site.get("headquarters", "/v1/profiles?purpose=service&after=canary"),
        422,
        "cursor_unusable",
    )
    assert_problem(site.get("headquarters", "/v1/profiles?purpose=service&limit=0"), 422)


def test_evidence_is_given_to_those_who_may_judge_it(site: Site) -> None:
    """A manager gets the records and links, a clerk a refusal."""
    path = f"/v1/profiles/{site.ada}/evidence?purpose=service"
    body = site.get("manager.bj01", path).json()
    assert (body["profile_id"], body["links"]) == (site.ada, [])
    assert [record["source"] for record in body["records"]] == ["pos"]
    assert_problem(site.get("clerk.bj01", path), 403, "no_rule")
    missing = f"/v1/profiles/{NOBODY_ID}/evidence?purpose=service"
    assert_problem(site.get("manager.bj01", missing), 404, "not_found")


# ── getting in ──────────────────────────────────────────────────────────────


def test_every_bad_credential_gets_the_same_401(site: Site) -> None:
    """Errors 3: missing, garbled, unknown, expired and revoked keys cannot be told apart."""
    path = f"/v1/profiles/{site.ada}?purpose=service"
    with site.retailer.engine.begin() as connection:
        issue = lambda life: keys.issue(  # noqa: E731
            connection, site.retailer.keys, "clerk.bj01", NOW - dt.timedelta(days=2), life
        )
        expired, revoked = issue(dt.timedelta(days=1)), issue(dt.timedelta(days=9))
        keys.revoke(connection, revoked.id, NOW)
    bodies = set()
    for header in [
        None, "", "Bearer", "Bearer ", "Bearer canary", f"Basic {revoked.text}",
        f"Bearer {expired.text}", f"Bearer {revoked.text}", f"Bearer {expired.text}0",
        f"Bearer kith_{'0' * 16}_{'0' * 64}", revoked.text,
    ]:  # fmt: skip
        headers = {} if header is None else {"Authorization": header}
        response = site.client.get(path, headers=headers)
        assert_problem(response, 401, "unauthorised")
        assert response.headers["www-authenticate"] == 'Bearer realm="kith"'
        bodies.add(json.dumps({**response.json(), "request_id": ""}))
    assert len(bodies) == 1
    assert site.retailer.events() == []


def test_without_a_key_only_the_key_is_looked_up(site: Site) -> None:
    """Auth 1: a caller without a key costs one look-up of the key and reads nothing else."""
    statements: list[str] = []
    sa.event.listen(
        site.retailer.engine, "before_cursor_execute", lambda *call: statements.append(call[2])
    )
    site.client.get(f"/v1/profiles/{site.ada}?purpose=service")
    assert len(statements) == 1
    assert "api_key" in statements[0]


def test_who_left_the_house_is_refused_with_a_good_key(site: Site) -> None:
    """Auth 3: a key of somebody whom cdp.yaml no longer names opens nothing."""
    header = site.key("clerk.bj01")
    with site.retailer.engine.begin() as connection:
        connection.execute(
            schema.principal.insert().values(id="gone", role="clerk", node="BJ01", at=NOW)
        )
        connection.execute(sa.update(schema.api_key).values(principal_id="gone"))
    response = site.client.get(f"/v1/profiles/{site.ada}?purpose=service", headers=header)
    assert_problem(response, 401, "unauthorised")


def test_one_transaction_holds_key_event_and_reading(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Auth 2: when the commit fails, the answer is an error and holds nothing of the person."""

    def no_commit(_: sa.Connection) -> None:
        raise sa.exc.OperationalError("COMMIT", None, Exception(CANARY_PHONE))

    header = site.key("clerk.bj01")
    sa.event.listen(site.retailer.engine, "commit", no_commit)
    response = site.client.get(f"/v1/profiles/{site.ada}?purpose=service", headers=header)
    sa.event.remove(site.retailer.engine, "commit", no_commit)
    assert_problem(response, 503, "database_unavailable")
    assert site.retailer.events() == []


# ── bad input ───────────────────────────────────────────────────────────────


def test_a_missing_purpose_is_a_400(site: Site) -> None:
    """Nobody reads a person without saying what for."""
    for path in (
        f"/v1/profiles/{site.ada}",
        f"/v1/profiles/{site.ada}?purpose=canary",
        f"/v1/profiles/{site.ada}/evidence",
        "/v1/profiles",
    ):
        assert_problem(site.get("headquarters", path), 400, "purpose_needed")
    no_purpose = {"field": "phone", "value": CANARY_PHONE}
    assert_problem(
        site.post("clerk.bj01", "/v1/profiles/lookup", no_purpose), 400, "purpose_needed"
    )


BAD_BODIES = [
    (b'{"canary', 400),
    (b"\xff\xfe canary", 400),
    (b"", 422),
    (b"[" * 9000, 400),
    (b'"canary"', 422),
    (b"null", 422),
    (b'{"field": "canary", "value": "x", "purpose": "service"}', 422),
    (b'{"field": "phone", "value": 13912346789, "purpose": "service"}', 422),
    (b'{"field": "phone", "value": ["canary"], "purpose": "service"}', 422),
    (b'{"field": "phone", "value": "", "purpose": "service"}', 422),
    (b'{"field": "phone", "value": "x", "purpose": "service", "canary": "canary"}', 422),
    (b'{"field": "phone", "value": "\\ud800", "purpose": "service"}', 422),
    (b'{"field": "phone", "value": "canary\\u0000", "purpose": "service"}', 422),
    (b'{"field": "phone", "value": "%s", "purpose": "service"}' % (b"canary" * 99), 422),
]


def test_bad_bodies_are_problems_that_repeat_nothing(site: Site) -> None:
    """Errors 1 and 2: whatever was sent, the answer is a problem without any of it."""
    headers = {**site.key("clerk.bj01"), "Content-Type": "application/json"}
    for body, status in BAD_BODIES:
        response = site.client.post("/v1/profiles/lookup", headers=headers, content=body)
        assert_problem(response, status)


def test_framework_errors_are_problems_too(site: Site) -> None:
    """Errors 1: unknown routes, methods and media types have the same shape."""
    header = site.key("clerk.bj01")
    assert_problem(site.client.get("/canary/13912346789?q=canary"), 404, "no_such_route")
    assert_problem(site.client.get("/v1/profiles/"), 404)
    response = site.client.delete(f"/v1/profiles/{site.ada}", headers=header)
    assert_problem(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "GET"
    wrong = site.client.post(
        "/v1/profiles/lookup",
        headers={**header, "Content-Type": "text/plain"},
        content=b'{"field": "phone", "value": "canary", "purpose": "service"}',
    )
    assert_problem(wrong, 422)
    for weird in ("%00", "%ff", "canary' OR 1=1", "..%2f..%2fetc"):
        assert_problem(
            site.client.get(f"/v1/profiles/{weird}?purpose=service", headers=header), 404
        )


def test_a_body_beyond_the_limit_is_refused(site: Site) -> None:
    """Edge 2: a declared, an undeclared and a lying length are all held to the limit."""
    header = site.key("clerk.bj01")
    large = b'{"value": "' + b"canary" * edge.BODY_LIMIT + b'"}'
    sent = site.client.post("/v1/profiles/lookup", headers=header, content=large)
    assert_problem(sent, 413, "body_too_large")
    streamed = site.client.post(
        "/v1/profiles/lookup",
        headers=header,
        content=(large[at : at + 999] for at in range(0, len(large), 999)),
    )
    assert_problem(streamed, 413, "body_too_large")
    lying = site.client.post(
        "/v1/profiles/lookup", headers={**header, "Content-Length": "canary"}, content=b"{}"
    )
    assert_problem(lying, 413)


# ── what is written down ────────────────────────────────────────────────────


def test_logs_hold_routes_and_never_what_was_sent(
    site: Site, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Edge 3 and 4: paths, query strings, bodies and the messages of errors are not logged."""

    def broken(*_: object) -> None:
        raise RuntimeError(f"{CANARY_NAME} {CANARY_PHONE}")

    caplog.set_level(logging.DEBUG)
    with structlog.testing.capture_logs() as lines:
        site.get("clerk.bj01", f"/v1/profiles/{site.ada}?purpose=service&q=canary")
        site.get("clerk.bj01", "/v1/profiles/canary?purpose=service")
        site.client.get("/canary?canary=1", headers={"User-Agent": "canary"})
        lookup = {"field": "phone", "value": CANARY_PHONE, "purpose": "service"}
        site.post("clerk.bj01", "/v1/profiles/lookup", lookup)
        monkeypatch.setattr(Gate, "find", broken)
        failed = site.post("clerk.bj01", "/v1/profiles/lookup", lookup)
    assert_problem(failed, 500, "unexpected")
    told = [(one.get("route"), one.get("status"), one.get("principal")) for one in lines]
    assert told == [
        ("/v1/profiles/{profile_id}", 200, "clerk.bj01"),
        ("/v1/profiles/{profile_id}", 404, "clerk.bj01"),
        ("none", 404, None),
        ("/v1/profiles/lookup", 200, "clerk.bj01"),
        (None, None, None),
        ("/v1/profiles/lookup", 500, "clerk.bj01"),
    ]
    assert (lines[4]["event"], lines[4]["error"]) == ("unexpected_error", "RuntimeError")
    assert lines[4]["at"].startswith("integration/test_api.py:")
    # The driver's own test client names addresses in its log; ours must not.
    ours = [record.getMessage() for record in caplog.records if record.name != "httpx"]
    written = json.dumps(lines, ensure_ascii=False) + " ".join(ours)
    assert not [canary for canary in CANARIES if canary in written]


def test_an_error_of_the_vault_names_no_value(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cell that does not open is our fault, and the problem tells the rule alone."""

    def refused(*_: object) -> None:
        raise CellRefused("the cell was changed", "restore it", record=1, field="phone")

    monkeypatch.setattr(type(site.retailer.workspace.vault), "open_cells", refused)
    response = site.get("clerk.bj01", f"/v1/profiles/{site.ada}?purpose=service")
    assert_problem(response, 500, "stopped")


# ── health and contract ─────────────────────────────────────────────────────


def test_health_needs_no_key_and_readiness_says_what_is_missing(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Live while the process answers; ready with database, schema and key ring."""
    assert site.client.get("/healthz").json() == {"status": "live"}
    ready = site.client.get("/readyz")
    assert ready.json() == {"status": "ready"}
    assert ready.headers["cache-control"] == "no-store"
    with site.retailer.engine.begin() as connection:
        connection.execute(sa.update(schema.workspace).values(key_check=b"x" * 34))
    assert_problem(site.client.get("/readyz"), 503, "key_ring_of_another_workspace")
    with site.retailer.engine.begin() as connection:
        connection.execute(sa.delete(schema.workspace))
    assert_problem(site.client.get("/readyz"), 503, "database_empty")
    with site.retailer.engine.begin() as connection:
        connection.execute(sa.text("UPDATE kith.alembic_version SET version_num = 'older'"))
    assert_problem(site.client.get("/readyz"), 503, "schema_not_current")

    def gone(*_: object) -> None:
        raise sa.exc.OperationalError("SELECT", None, Exception(CANARY_PHONE))

    monkeypatch.setattr("cdp.storage.migrate.is_current", gone)
    assert_problem(site.client.get("/readyz"), 503, "database_unavailable")


def test_the_contract_is_published_with_examples(site: Site) -> None:
    """OpenAPI names every route, its problems and an example of each body; no page with scripts."""
    contract = site.client.get("/openapi.json").json()
    assert set(contract["paths"]) == {
        "/healthz",
        "/readyz",
        "/v1/profiles",
        "/v1/profiles/{profile_id}",
        "/v1/profiles/lookup",
        "/v1/profiles/{profile_id}/reveal",
        "/v1/profiles/{profile_id}/evidence",
    }
    for path, methods in contract["paths"].items():
        for operation in methods.values():
            if path.startswith("/v1"):
                for status in ("400", "401", "403", "404", "422"):
                    assert MEDIA_TYPE in operation["responses"][status]["content"], (path, status)
                assert operation["security"] == [{"apiKey": []}]
    schemas = contract["components"]["schemas"]
    assert "ProblemForm" in schemas
    assert "HTTPValidationError" not in schemas
    assert schemas["Lookup"]["examples"]
    assert schemas["Reveal"]["examples"]
    assert_problem(site.client.get("/docs"), 404)


def test_a_real_server_answers_on_loopback(site: Site) -> None:
    """Uvicorn serves the same answers, without naming itself."""
    running = make_server(site.retailer.workspace, port=0)
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    try:
        deadline = time.monotonic() + 20
        while not running.started and time.monotonic() < deadline:
            time.sleep(0.02)
        port = running.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            assert client.get("/readyz").json() == {"status": "ready"}
            answer = client.get(
                f"/v1/profiles/{site.ada}?purpose=service", headers=site.key("clerk.bj01")
            )
            assert answer.json()["fields"]["phone"]["value"] == "139****6789"
            assert "server" not in answer.headers
            large = client.post("/v1/profiles/lookup", content=b"x" * (edge.BODY_LIMIT + 1))
            assert_problem(large, 413, "body_too_large")
            assert_problem(client.get("/nothing"), 404)
    finally:
        running.should_exit = True
        thread.join(timeout=20)
    assert not thread.is_alive()


def test_a_lookup_form_hides_its_value() -> None:
    """What was typed is wrapped as soon as it is read, and its errors do not repeat it."""
    form = forms.Lookup.model_validate({"field": "phone", "value": "canary", "purpose": "service"})
    assert "canary" not in f"{form!r} {form} {form.model_dump_json()}"
    with pytest.raises(ValueError, match="purpose") as caught:
        forms.Lookup.model_validate({"field": "phone", "value": "canary", "purpose": "canary"})
    assert "canary" not in str(caught.value)
