"""Signing in over HTTP, as a browser does, and as another site would have it do."""

import base64
import json
from dataclasses import replace

import pytest
import sqlalchemy as sa

from api import browser
from cdp.access import accounts, keys, one_time
from cdp.storage import schema
from cdp.vault.primitives import one_time_code
from cdp.vault.roles import COUNTER
from cdp.vault.secret import Secret
from tests.integration.api.site import assert_problem
from tests.integration.retailer import NOW
from tests.integration.signing_in.house import PASSWORD, Browser, House

pytestmark = pytest.mark.integration
WHO = "manager.bj01"


@pytest.fixture
def till(house: House) -> Browser:
    """A browser in which somebody signed in."""
    house.enrolled(WHO)
    till = house.browser()
    assert till.sign_in(WHO).status_code == 200
    return till


def test_a_person_enrols_signs_in_and_out(house: House) -> None:
    """The whole way: invitation, app, password, session, who am I, out."""
    with house.engine.begin() as connection:
        invited = accounts.add(connection, house.keys, WHO, house.workspace.now())
    visitor = house.browser()
    begun = visitor.client.post(
        "/v1/session/enrolment", json={"principal": WHO, "invitation": invited.text}
    )
    seed = Secret(base64.b32decode(begun.json()["seed"]))
    code = one_time_code(seed, one_time.step_at(house.workspace.now()))
    form = {"principal": WHO, "invitation": invited.text, "password": PASSWORD, "code": code}
    weak = visitor.client.post("/v1/session/enrolment/confirm", json={**form, "password": "short"})
    assert_problem(weak, 422, "password_length")
    assert "12 to 256 characters" in weak.json()["detail"]
    done = visitor.client.post("/v1/session/enrolment/confirm", json=form)
    assert len(done.json()["recovery_codes"]) == 10
    again = visitor.client.post("/v1/session/enrolment/confirm", json=form)
    assert_problem(again, 401, "not_signed_in")

    house.seeds[WHO] = seed
    house.later(minutes=1)
    for _ in range(20):  # somebody else hammers the name before the first sign-in
        house.browser().sign_in(WHO, "wrong", "000000")
    assert_problem(house.browser().sign_in(WHO), 401, "not_signed_in")
    assert_problem(visitor.get(), 401, "unauthorised")
    assert visitor.sign_in(WHO).json()["principal"] == WHO
    me = visitor.get().json()
    assert me["assignments"] == ["manager@BJ01"]
    assert (me["acting_as"], me["method"], me["csrf"]) == ("manager@BJ01", "password", visitor.csrf)
    assert_problem(visitor.get("/v1/profiles/p0000000000000000000z?purpose=service"), 404)
    assert visitor.send("DELETE", "/v1/session").status_code == 204
    assert_problem(visitor.get(), 401, "unauthorised")
    told = [
        (one["action"], one["actor"], one["decision"])
        for one in house.retailer.events()
        if one["reason"] not in {"wrong_password", "too_many_failures"}
    ]
    assert told.pop(4)[0] == "profile.read"
    assert told == [
        ("account.invited", WHO, "allow"),
        ("account.enrol", WHO, "allow"),
        ("account.enrol", "unknown", "deny"),
        ("session.begin", WHO, "allow"),
        ("session.end", WHO, "allow"),
    ]


def test_cookies_go_to_this_host_alone(till: Browser) -> None:
    """Browser 1: __Host- prefix, Secure, HttpOnly, SameSite, for the whole host and no domain."""
    till.house.later(minutes=1)
    cookies = till.sign_in(WHO).headers.get_list("set-cookie")
    assert {one.split("=")[0] for one in cookies} == {browser.SESSION, browser.DEVICE}
    for one in cookies:
        parts = {part.strip().casefold() for part in one.split(";")[1:]}
        assert {"secure", "httponly", "path=/"} <= parts
        assert parts & {"samesite=lax", "samesite=strict"}
        assert not any(part.startswith("domain") for part in parts)


@pytest.mark.parametrize("site", ["cross-site", "same-site", "anything"])
def test_another_site_cannot_use_a_session(till: Browser, site: str) -> None:
    """Browser 2: neither to read nor to change, whatever it knows."""
    till.client.headers["Sec-Fetch-Site"] = site
    assert_problem(till.get(), 403, "from_elsewhere")
    assert_problem(till.send("DELETE", "/v1/session"), 403, "from_elsewhere")
    till.client.headers["Sec-Fetch-Site"] = "same-origin"
    assert till.get().status_code == 200


@pytest.mark.parametrize(
    "origin", ["https://evil.example.com", "null", "https://testserver.evil.invalid", "http://"]
)
def test_an_origin_from_elsewhere_is_refused(till: Browser, origin: str) -> None:
    """Browser 2: also of a browser that sends no Sec-Fetch-Site."""
    del till.client.headers["Sec-Fetch-Site"]
    assert_problem(till.get(Origin=origin), 403, "from_elsewhere")
    assert till.get(Origin="https://testserver").status_code == 200
    assert till.get().status_code == 200


def test_the_public_url_says_which_origin_is_ours(house: House) -> None:
    """Browser 2: with CDP_PUBLIC_URL the host header decides nothing."""
    settings = replace(house.workspace.settings, public_url="https://kith.example.com/")
    services = house.app.state.services
    workspace = replace(house.workspace, settings=settings)
    house.app.state.services = replace(services, workspace=workspace)
    house.enrolled(WHO)
    till = house.browser()
    assert till.sign_in(WHO).status_code == 200
    assert_problem(till.get(Origin="https://testserver"), 403, "from_elsewhere")
    assert till.get(Origin="https://kith.example.com").status_code == 200


@pytest.mark.parametrize("token", ["", "0" * 64, "wrong", "\u00e9"])
def test_a_change_needs_the_token(till: Browser, token: str) -> None:
    """Browser 2: the session's own token in a header, which no other site can read or send."""
    right = till.csrf
    till.csrf = token.encode("latin-1").decode("latin-1")
    body = {"assignment": "manager@BJ01"}
    if token == "\u00e9":
        headers = {browser.CSRF: token.encode("utf-8")}
        answer = till.client.post("/v1/session/acting-as", json=body, headers=headers)
    else:
        answer = till.send("POST", "/v1/session/acting-as", body)
    assert_problem(answer, 403, "from_elsewhere")
    till.csrf = right
    assert till.send("POST", "/v1/session/acting-as", body).status_code == 200


def test_the_token_of_another_session_is_none(till: Browser) -> None:
    """Browser 2: it goes with one session."""
    till.house.enrolled("clerk.bj01")
    other = till.house.browser()
    other.sign_in("clerk.bj01")
    till.csrf = other.csrf
    assert_problem(till.send("DELETE", "/v1/session"), 403, "from_elsewhere")


@pytest.mark.parametrize("path", ["", "/enrolment", "/enrolment/confirm"])
def test_another_site_cannot_sign_somebody_in(house: House, path: str) -> None:
    """Browser 3: nobody is signed in to another one's account behind their back."""
    form = {"principal": WHO, "password": PASSWORD, "code": "123456", "invitation": "x"}
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example.com"}):
        visitor = house.browser()
        answer = visitor.client.post(f"/v1/session{path}", json=form, headers=headers)
        assert answer.status_code in {403, 422}
        wanted = {"": ("principal", "password", "code"), "/enrolment": ("principal", "invitation")}
        body = {name: form[name] for name in wanted.get(path, tuple(form))}
        answer = visitor.client.post(f"/v1/session{path}", json=body, headers=headers)
        assert_problem(answer, 403, "from_elsewhere")
    assert house.retailer.events() == []


def test_it_is_judged_before_anything_is_looked_up(till: Browser) -> None:
    """Browser 4: what comes from elsewhere, or without the token, costs no statement."""
    statements: list[str] = []
    sa.event.listen(
        till.house.engine, "before_cursor_execute", lambda *call: statements.append(call[2])
    )
    till.client.headers["Sec-Fetch-Site"] = "cross-site"
    till.get()
    till.client.headers["Sec-Fetch-Site"] = "same-origin"
    till.csrf = ""
    till.send("DELETE", "/v1/session")
    assert statements == []


def test_without_a_good_session_only_the_session_is_looked_up(till: Browser) -> None:
    """Auth 1: a cookie that is nobody's costs one statement and gets the usual answer."""
    till.client.cookies.clear()
    till.client.cookies.set(browser.SESSION, "0" * 64)
    statements: list[str] = []
    sa.event.listen(
        till.house.engine, "before_cursor_execute", lambda *call: statements.append(call[2])
    )
    answer = till.get()
    assert_problem(answer, 401, "unauthorised")
    assert len(statements) == 1
    assert "kith.session" in statements[0]


def test_a_key_and_a_session_together_are_neither(till: Browser) -> None:
    """Auth 4: nobody is left to guess which of the two was meant; a key alone needs no token."""
    with till.house.engine.begin() as connection:
        issued = keys.issue(connection, till.house.retailer.keys, "clerk.bj01", NOW)
    key = f"Bearer {issued.text}"
    assert_problem(till.get(Authorization=key), 401, "unauthorised")
    till.client.cookies.clear()
    me = till.get(Authorization=key, Sec_Fetch_Site="cross-site").json()
    assert (me["principal"], me["method"], me["csrf"]) == ("clerk.bj01", "key", None)
    answer = till.send("DELETE", "/v1/session", Authorization=key)
    assert_problem(answer, 404, "no_session")
    answer = till.send(
        "POST", "/v1/session/acting-as", {"assignment": "clerk@BJ01"}, Authorization=key
    )
    assert_problem(answer, 404, "no_session")


def test_a_session_acts_as_it_was_told_and_a_header_overrules_it(till: Browser) -> None:
    """Auth 5: of the header, of the session, or the first; never one that is not theirs."""
    with till.house.engine.begin() as connection:
        mine = sa.update(schema.principal).where(schema.principal.c.id == WHO)
        connection.execute(mine.values(assignments=["manager@BJ01", "clerk@BJ02"]))
    assert till.get().json()["acting_as"] == "manager@BJ01"
    answer = till.send("POST", "/v1/session/acting-as", {"assignment": "clerk@BJ02"})
    assert answer.json()["acting_as"] == "clerk@BJ02"
    assert till.get().json()["acting_as"] == "clerk@BJ02"
    assert till.get(Kith_Acting_As="manager@BJ01").status_code == 200
    before = len(till.house.retailer.events())
    answer = till.send("POST", "/v1/session/acting-as", {"assignment": "headquarters@kith"})
    assert_problem(answer, 403, "not_your_assignment")
    assert_problem(till.get(Kith_Acting_As="headquarters@kith"), 403, "not_your_assignment")
    refused = till.house.retailer.events()[before:]
    assert [(one["action"], one["decision"]) for one in refused] == [("session.act_as", "deny")] * 2


def test_every_refused_sign_in_has_one_answer(till: Browser) -> None:
    """Signing in 1: the same body for a name that is nobody's and for a wrong password."""
    bodies = set()
    for who, password in ((WHO, "wrong one entirely"), ("nobody", PASSWORD), ("\u0000", "x")):
        answer = till.house.browser().sign_in(who, password, "123456")
        assert_problem(answer, 401, "not_signed_in")
        assert not answer.headers.get_list("set-cookie")
        bodies.add(json.dumps({**answer.json(), "request_id": ""}))
    assert len(bodies) == 1


def test_nothing_typed_comes_back_in_an_error(house: House) -> None:
    """A body that is not of its form is refused without repeating it."""
    for body in (
        {"principal": WHO, "password": "canary", "code": "1"},
        {"principal": WHO, "password": ["canary"], "code": "123456"},
        {"principal": WHO, "password": "canary", "code": "123456", "canary": 1},
        {"principal": "canary" * 100, "password": "canary", "code": "123456"},
    ):
        answer = house.browser().client.post("/v1/session", json=body)
        assert_problem(answer, 422, "not_of_its_form")


def test_a_counter_process_enrols_nobody(house: House) -> None:
    """It may not write passwords, and says who may."""
    services = house.app.state.services
    workspace = replace(house.workspace, role=COUNTER)
    house.app.state.services = replace(services, workspace=workspace)
    answer = house.browser().client.post(
        "/v1/session/enrolment", json={"principal": WHO, "invitation": "x"}
    )
    assert_problem(answer, 403, "stopped")
    assert "--role full" in answer.json()["detail"]


def test_a_workspace_without_a_provider_says_so(house: House) -> None:
    """There is nothing to go to, and nothing to come back from."""
    for path in ("start", "callback?code=x&state=y"):
        assert_problem(house.browser().get(f"/v1/session/oidc/{path}"), 404, "no_provider")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_form_of_another_site_is_no_sign_in(house: House, kind: str) -> None:
    """Browser 3: what a form can send without asking first is not read as JSON."""
    house.enrolled(WHO)
    body = json.dumps({"principal": WHO, "password": PASSWORD, "code": house.code(WHO)})
    visitor = house.browser()
    del visitor.client.headers["Sec-Fetch-Site"]
    headers = {"Content-Type": kind} if kind else {}
    answer = visitor.client.post("/v1/session", content=body, headers=headers)
    assert_problem(answer, 422)
    assert house.row("session") is None
