"""Signing in through a real identity provider, which runs here."""

import datetime as dt
import threading
import warnings
from collections.abc import Iterator
from dataclasses import replace
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import sqlalchemy as sa
from werkzeug.serving import make_server

from api import browser
from cdp import declaration as declarations
from cdp.access import accounts, keys, sessions
from cdp.access.principals import origin_of, sync_principals
from cdp.errors import KithError
from cdp.storage import schema
from cdp.workspace import utc_now
from policies.claims import read_claims
from tests.integration.api.site import assert_problem
from tests.integration.retailer import declaration
from tests.integration.signing_in.house import ADDRESS, Browser, House

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import oidc_provider_mock

pytestmark = [
    pytest.mark.integration,
    # The provider's, in its thread: it uses a part of Authlib that is going. Ours does not.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
MAPPING = {
    "principal": "preferred_username",
    "roles": [
        {"claim": "groups", "equals": "kith-hq", "role": "headquarters", "node": "kith"},
        {"claim": "groups", "equals": "kith-managers", "role": "manager", "node_claim": "store"},
        {"claim": "groups", "equals": "kith-it", "role": "operator", "node": "kith"},
        {"claim": "groups", "equals": "kith-audit", "role": "compliance", "node": "kith"},
    ],
}


@pytest.fixture
def issuer() -> Iterator[str]:
    """The address of a provider that is running."""
    server = make_server("127.0.0.1", 0, oidc_provider_mock.app(require_nonce=True), threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def house(engine: sa.Engine, home, issuer: str) -> House:
    """A house whose people come from the provider; its clock is the provider's."""
    house = House(
        engine, home, oidc_issuer=issuer, oidc_client_id="kith", oidc_client_secret="made-up",
        public_url=ADDRESS,
    )  # fmt: skip
    house.retailer.clock = utc_now()
    declared = house.workspace.declaration
    mapping = read_claims(MAPPING, declared.organisation)
    house.workspace.__dict__["declaration"] = replace(declared, claims=mapping)
    return house


class Person:
    """Somebody whom the provider knows, and their browser."""

    def __init__(self, house: House, sub: str = "s-1", **claims: Any) -> None:
        self.house = house
        self.sub = sub
        self.claims = {"preferred_username": "zhang", "groups": ["kith-hq"], **claims}
        self.browser: Browser = house.browser()
        self.known()

    def known(self) -> None:
        """Have the provider know what is said of this person now."""
        issuer = self.house.workspace.settings.oidc_issuer
        with httpx.Client() as client:
            said = client.put(f"{issuer}/users/{self.sub}", json=self.claims)
        assert said.status_code == 204

    def sent_back(self) -> str:
        """Go to the provider, agree there, and return where it sends the browser."""
        there = self.browser.get("/v1/session/oidc/start")
        assert there.status_code == 303
        with httpx.Client() as client:
            agreed = client.post(there.headers["location"], data={"sub": self.sub})
        assert agreed.status_code == 302
        return agreed.headers["location"]

    def sign_in(self) -> httpx.Response:
        """The whole way."""
        return self.browser.get(self.sent_back().removeprefix(ADDRESS))


def test_somebody_comes_from_the_provider(house: House) -> None:
    """Single sign-on 2: claims give roles; the session is like any other."""
    zhang = Person(house, groups=["kith-managers", "kith-hq", "else"], store=["BJ01", "BJ02"])
    answer = zhang.sign_in()
    assert (answer.status_code, answer.headers["location"]) == (303, f"{ADDRESS}/")
    me = zhang.browser.get().json()
    assert (me["principal"], me["method"]) == ("zhang", "oidc")
    assert me["assignments"] == ["headquarters@kith", "manager@BJ01", "manager@BJ02"]
    assert zhang.browser.get("/v1/profiles?purpose=service").status_code == 200
    assert house.row("principal", id="zhang").assignments == []
    assert house.reasons() == ["granted"]


def test_the_browser_is_asked_for_with_pkce_state_and_nonce(house: House) -> None:
    """Single sign-on 1: S256, a state to be brought back, and nothing of ours told."""
    visitor = house.browser()
    there = visitor.get("/v1/session/oidc/start")
    asked = {
        name: value[0]
        for name, value in parse_qs(urlsplit(there.headers["location"]).query).items()
    }
    assert asked["response_type"] == "code"
    assert asked["code_challenge_method"] == "S256"
    assert asked["redirect_uri"] == f"{ADDRESS}/v1/session/oidc/callback"
    assert asked["state"] == visitor.client.cookies.get(browser.STATE)
    assert len({asked["state"], asked["nonce"], asked["code_challenge"]}) == 3
    row = house.row("sign_in_state")
    assert row.ends_at - house.workspace.now() == dt.timedelta(minutes=10)
    for secret in (asked["state"], asked["nonce"]):
        assert secret.encode() not in bytes(row.digest)
        assert bytes.fromhex(secret) != bytes(row.digest)


def test_a_state_is_good_once_for_ten_minutes_in_its_own_browser(house: House) -> None:
    """Single sign-on 1: replayed, too late, another browser's, made up: one answer to all."""
    zhang = Person(house)
    back = zhang.sent_back().removeprefix(ADDRESS)
    state = zhang.browser.client.cookies.get(browser.STATE)
    assert_problem(house.browser().get(back), 401, "not_signed_in")
    assert zhang.browser.get(back).status_code == 303
    zhang.browser.client.cookies.set(browser.STATE, state)
    assert_problem(zhang.browser.get(back), 401, "not_signed_in")

    late = Person(house, "s-2", preferred_username="li")
    back = late.sent_back().removeprefix(ADDRESS)
    house.later(minutes=10)
    assert_problem(late.browser.get(back), 401, "not_signed_in")
    for query in ("", "?state=x", "?code=x", f"?state={'0' * 64}&code=x"):
        path = f"/v1/session/oidc/callback{query}"
        assert_problem(late.browser.get(path), 401, "not_signed_in")
    reasons = set(house.reasons()) - {"granted"}
    assert reasons == {"state_of_another_browser", "state_unknown"}


def test_a_code_without_or_with_a_strange_issuer_is_refused(house: House) -> None:
    """RFC 9207: a callback that names another provider is not ours."""
    zhang = Person(house)
    back = zhang.sent_back().removeprefix(ADDRESS)
    assert_problem(zhang.browser.get(f"{back}&iss=https://evil.example.com"), 401, "not_signed_in")
    assert house.reasons() == ["issuer_differs"]
    zhang.sent_back()
    state = zhang.browser.client.cookies.get(browser.STATE)
    assert_problem(
        zhang.browser.get(f"/v1/session/oidc/callback?state={state}&error=access_denied"), 401
    )
    state_again = Person(house, "s-3", preferred_username="wang")
    state_again.sent_back()
    state = state_again.browser.client.cookies.get(browser.STATE)
    assert_problem(
        state_again.browser.get(f"/v1/session/oidc/callback?state={state}&code=made-up"), 401
    )
    assert house.reasons()[1:] == ["no_code", "code_refused"]


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"groups": ["kith"]}, "no_role_matches"),
        ({"groups": ["kith-managers"], "store": "mars"}, "node_claim_unknown"),
        ({"groups": ["kith-it", "kith-audit"]}, "duty_conflict"),
        ({"groups": ["kith-hq", "kith-it"]}, "duty_conflict"),
        ({"preferred_username": "zhang@example.com"}, "principal_claim_unusable"),
        ({"preferred_username": "clerk.bj01"}, "name_of_another"),
        ({"preferred_username": "HEADQUARTERS"}, "name_of_another"),
    ],
)
def test_whom_the_claims_do_not_let_in_is_refused(house: House, claims, reason) -> None:
    """Single sign-on 2 to 4: no match, a conflict of duties, a name of cdp.yaml in any spelling."""
    assert_problem(Person(house, **claims).sign_in(), 401, "not_signed_in")
    assert house.reasons() == [reason]
    assert house.row("session") is None


def test_a_name_stays_with_who_came_first(house: House) -> None:
    """Single sign-on 3: given to somebody else, it opens nothing of the first."""
    assert Person(house).sign_in().status_code == 303
    assert_problem(Person(house, "s-2").sign_in(), 401, "not_signed_in")
    other = Person(house, "s-2", preferred_username="ZHANG")
    assert_problem(other.sign_in(), 401, "not_signed_in")
    with house.engine.begin() as connection:
        assert accounts.release(connection, "zhang", house.workspace.now())
        assert not accounts.release(connection, "zhang", house.workspace.now())
    assert_problem(other.sign_in(), 401)
    assert Person(house, "s-2").sign_in().status_code == 303
    assert_problem(Person(house).sign_in(), 401, "not_signed_in")


def test_signing_in_again_ends_what_was_before(house: House) -> None:
    """Single sign-on 5: the roles of yesterday are not kept beside those of today."""
    zhang = Person(house)
    zhang.sign_in()
    again = Person(house, groups=["kith-managers"], store="BJ01")
    again.sign_in()
    assert_problem(zhang.browser.get(), 401, "unauthorised")
    assert again.browser.get().json()["assignments"] == ["manager@BJ01"]


def test_no_request_says_where_the_browser_goes(house: House) -> None:
    """Single sign-on 6: whatever is asked for, it goes to the front page of the public address."""
    zhang = Person(house)
    back = zhang.sent_back().removeprefix(ADDRESS)
    more = "&return_to=https://evil.example.com&next=//evil.example.com&redirect_uri=https://evil.example.com"
    answer = zhang.browser.get(f"{back}{more}", Host="evil.example.com")
    assert answer.headers.get("location", f"{ADDRESS}/") == f"{ADDRESS}/"


def test_another_mapping_ends_the_sessions_of_the_one_before(house: House) -> None:
    """Principals 5: whoever came by claims goes when the mapping changes, and may come again."""
    zhang = Person(house)
    zhang.sign_in()
    declared = house.workspace.declaration
    with house.engine.begin() as connection:
        assert sync_principals(connection, declared, house.workspace.now()) == 0
    assert zhang.browser.get().status_code == 200
    fewer = read_claims({**MAPPING, "roles": MAPPING["roles"][:1]}, declared.organisation)
    changed = replace(declared, claims=fewer)
    assert origin_of(changed) != origin_of(declared)
    with house.engine.begin() as connection:
        assert sync_principals(connection, changed, house.workspace.now()) == 1
    assert_problem(zhang.browser.get(), 401, "unauthorised")
    house.workspace.__dict__["declaration"] = changed
    assert zhang.sign_in().status_code == 303


def test_who_is_declared_later_starts_anew(house: House) -> None:
    """Principals 5: a name that moves to cdp.yaml keeps no session and no role of before."""
    zhang = Person(house)
    zhang.sign_in()
    declared = house.workspace.declaration
    clerk = replace(declared.principals["clerk.bj01"], id="zhang")
    people = MappingProxyType({**declared.principals, "zhang": clerk})
    with house.engine.begin() as connection:
        sync_principals(connection, replace(declared, principals=people), house.workspace.now())
    assert_problem(zhang.browser.get(), 401, "unauthorised")
    assert house.row("principal", id="zhang").assignments == ["clerk@BJ01"]
    assert house.row("principal", id="zhang").subject is None
    assert_problem(zhang.sign_in(), 401, "not_signed_in")


def test_who_came_by_claims_has_no_key_and_no_account(house: House) -> None:
    """A key or a password would outlive what the provider says of them."""
    Person(house).sign_in()
    now = house.workspace.now()
    with house.engine.begin() as connection:
        with pytest.raises(KithError, match="no_such_principal"):
            keys.issue(connection, house.retailer.keys, "zhang", now)
        with pytest.raises(KithError, match="no_such_principal"):
            accounts.add(connection, house.keys, "zhang", now)
        (listed,) = sessions.list_sessions(connection, now, "zhang")
    assert (listed.method, listed.state) == ("oidc", "active")


def test_a_counter_process_takes_people_from_the_provider(house: House) -> None:
    """What its role of the database may write is enough, the second time too."""

    def as_counter(connection: sa.Connection) -> None:
        connection.exec_driver_sql("SET LOCAL ROLE kith_counter")

    sa.event.listen(house.engine, "begin", as_counter)
    zhang = Person(house)
    answers = [zhang.sign_in().status_code for _ in range(2)]
    me = zhang.browser.get()
    sa.event.remove(house.engine, "begin", as_counter)
    assert (answers, me.status_code) == ([303, 303], 200)
    assert_problem(zhang.browser.get(), 401, "unauthorised")


def test_states_that_nobody_came_back_with_are_thrown_away(house: House) -> None:
    """Whoever begins and goes away leaves nothing behind for long."""
    for _ in range(3):
        house.browser().get("/v1/session/oidc/start")
    house.later(minutes=10)
    house.browser().get("/v1/session/oidc/start")
    with house.engine.connect() as connection:
        counted = sa.select(sa.func.count()).select_from(schema.sign_in_state)
        assert connection.scalar(counted) == 1


def test_a_provider_that_is_away_is_said_so(house: House) -> None:
    """503 with a next step: trying again may work; nothing else stops."""
    terms = replace(house.workspace.settings, oidc_issuer="http://127.0.0.1:9")
    gone = House.__new__(House)
    gone.__dict__ |= house.__dict__
    services = house.app.state.services
    provider = services.single_sign_on._provider
    provider._terms = replace(provider._terms, issuer=terms.oidc_issuer)
    assert_problem(house.browser().get("/v1/session/oidc/start"), 503, "stopped")


def test_the_mapping_is_read_from_cdp_yaml(house: House) -> None:
    """Declared, checked against the tree, and refused with its place where it is wrong."""
    path = house.workspace.settings.declaration
    content = {**declaration(), "sign_in": {"oidc": MAPPING}}
    assert declarations.parse(content, path).claims == house.workspace.declaration.claims
    assert declarations.parse(declaration(), path).claims is None
    for wrong in ({"saml": MAPPING}, {"oidc": {**MAPPING, "roles": []}}, {"oidc": None}, ["oidc"]):
        with pytest.raises(KithError):
            declarations.parse({**declaration(), "sign_in": wrong}, path)
