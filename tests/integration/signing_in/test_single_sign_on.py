"""Signing in through a real identity provider, which runs here."""

import datetime as dt
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest
import sqlalchemy as sa

from api import browser
from cdp import declaration as declarations
from cdp.access import accounts, keys, sessions
from cdp.errors import KithError
from cdp.storage import schema
from tests.integration.api.site import assert_problem
from tests.integration.retailer import declaration
from tests.integration.signing_in.house import ADDRESS, House
from tests.integration.signing_in.people import MAPPING, Person

pytestmark = [
    pytest.mark.integration,
    # The provider's, in its thread: it uses a part of Authlib that is going. Ours does not.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture
def house(federated: House) -> House:
    """A house whose people come from the provider."""
    return federated


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


def test_signing_in_again_ends_what_was_before(house: House) -> None:
    """Single sign-on 5: the roles of yesterday are not kept beside those of today."""
    zhang = Person(house)
    zhang.sign_in()
    again = Person(house, groups=["kith-managers"], store="BJ01")
    again.sign_in()
    assert_problem(zhang.browser.get(), 401, "unauthorised")
    assert again.browser.get().json()["assignments"] == ["manager@BJ01"]


def test_the_session_that_the_browser_had_ends(house: House) -> None:
    """Single sign-on 5: also where it was somebody else's, whose till it is."""
    zhang = Person(house)
    zhang.sign_in()
    till = zhang.browser
    before = till.secret
    li = Person(house, "s-2", preferred_username="li")
    li.browser = till
    assert li.sign_in().status_code == 303
    assert till.get().json()["principal"] == "li"
    now = house.workspace.now()
    with house.engine.begin() as connection:
        assert sessions.find(connection, house.keys, before, now) is None


def test_no_request_says_where_the_browser_goes(house: House) -> None:
    """Single sign-on 6: whatever is asked for, it goes to the front page of the public address."""
    zhang = Person(house)
    back = zhang.sent_back().removeprefix(ADDRESS)
    more = "&return_to=https://evil.example.com&next=//evil.example.com&redirect_uri=https://evil.example.com"
    answer = zhang.browser.get(f"{back}{more}", Host="evil.example.com")
    assert (answer.status_code, answer.headers["location"]) == (303, f"{ADDRESS}/")


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
