"""Who asks: every way of showing it, against a real server."""

import base64
from typing import Any
from urllib.parse import parse_qs

import pytest

from connectors.credentials import Credentials, NoCredentialError
from connectors.declaration import parse_source
from connectors.errors import Retry, Stop
from connectors.record import Sensitive
from connectors.sources.http_feed import HttpFeed
from tests.integration.http_source import api
from tests.integration.http_source.api import Api, Asked, Reply, World, feed_of, read, row

ROWS = [row(number) for number in range(1, 6)]
SECRETS = api.SECRETS


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("auth", "header", "value"),
    [
        ({"type": "bearer"}, "authorization", f"Bearer {SECRETS['token']}"),
        ({"type": "basic"}, "authorization", basic(SECRETS["user"], SECRETS["password"])),
        ({"type": "header", "name": "X-Api-Key"}, "x-api-key", SECRETS["key"]),
    ],
)
def test_a_header_shows_who_asks(auth: dict[str, Any], header: str, value: str) -> None:
    """A token, a password or a key, in each request (invariant 1)."""
    with Api(api.paged(ROWS, "cursor")) as server:
        read(feed_of(server, auth=auth, paging=api.PAGINGS["cursor"]))
    assert {one.headers.get(header) for one in server.asked} == {value}
    assert len(server.asked) == 3


def test_a_key_in_the_address_is_possible_and_advised_against() -> None:
    """It is sent with each page, kept out of the state, and check warns."""
    with Api(api.paged(ROWS, "next")) as server:
        more: dict[str, Any] = {
            "auth": {"type": "query", "name": "key"},
            "paging": api.PAGINGS["next"],
        }
        given = list(feed_of(server, **more).read(None))
        found = feed_of(server, **more).check()
    assert {one.query["key"] for one in server.asked} == {SECRETS["key"]}
    assert [one.rule for one in found] == ["key_in_address"]
    for state in api.states(given):
        assert "canary" not in state.text().reveal(reason=api.WHY)


class Tokens:
    """An API behind OAuth2: tokens are numbered, and each is good for so many requests."""

    def __init__(self, good_for: int = 99, life: object = 3600) -> None:
        self.given = 0
        self.left = 0
        self.good_for, self.life = good_for, life
        self.asked: list[Asked] = []
        self.rows = api.paged(ROWS, "cursor", size=1)

    def __call__(self, asked: Asked) -> Reply:
        """The answer."""
        if asked.path == "/token":
            self.asked.append(asked)
            self.given, self.left = self.given + 1, self.good_for
            token = {"access_token": f"canary-token-{self.given}", "token_type": "Bearer"}
            return Reply({**token, "expires_in": self.life})
        good = asked.headers.get("authorization") == f"Bearer canary-token-{self.given}"
        if not good or self.left == 0:
            return Reply({"error": "expired"}, status=401)
        self.left -= 1
        return self.rows(asked)


def oauth(server: Api, **more: Any) -> dict[str, Any]:
    auth = {"type": "oauth2", "token_url": f"{server.url}/token", "scopes": ["a", "b"], **more}
    return {"auth": auth, "paging": api.PAGINGS["cursor"]}


def test_one_token_serves_until_shortly_before_its_end() -> None:
    """Six requests under one token; after an hour another one is asked for (2)."""
    tokens, world = Tokens(), World()
    with Api(tokens) as server:
        feed = feed_of(server, world, **oauth(server))
        assert read(feed)[0].replace("| ", "") == "1 2 3 4 5 |"
        assert tokens.given == 1
        reading = feed.read(None)
        next(reading)
        world.at += 3571
        assert len(list(reading)) > 0
    assert tokens.given == 3
    [first, *_] = tokens.asked
    assert parse_qs(first.body.decode()) == {"grant_type": ["client_credentials"], "scope": ["a b"]}
    secret = "canary-secret+%26+more"  # RFC 6749, 2.3.1
    assert first.headers["authorization"] == basic(SECRETS["client_id"], secret)


def test_client_and_secret_may_be_sent_in_the_body() -> None:
    """For servers that take them no other way."""
    tokens = Tokens()
    with Api(tokens) as server:
        read(feed_of(server, **oauth(server, send="body")))
    sent = parse_qs(tokens.asked[0].body.decode())
    assert sent["client_secret"] == [SECRETS["client_secret"]]
    assert "authorization" not in tokens.asked[0].headers


def test_a_token_that_ends_in_the_middle_is_renewed_once() -> None:
    """Each token is refused after two pages; no row is lost or doubled (2)."""
    tokens = Tokens(good_for=2)
    with Api(tokens) as server:
        assert read(feed_of(server, **oauth(server)))[0].replace("| ", "") == "1 2 3 4 5 |"
        assert tokens.given == 3
        tokens.good_for = 0
        with pytest.raises(Stop, match="credential_refused") as stopped:
            read(feed_of(server, **oauth(server)))
    assert tokens.given == 5
    assert stopped.value.field == "credentials.client_secret"


def test_a_life_that_is_not_said_or_odd_is_short() -> None:
    """A token that does not say when it ends is used for some minutes; text counts as a number."""
    for life, after in (
        (None, 280.0),
        ("600", 580.0),
        (-1, 280.0),
        (True, 280.0),
        (10**400, 86370.0),
    ):
        tokens, world = Tokens(life=life), World()
        with Api(tokens) as server:
            reading = feed_of(server, world, **oauth(server)).read(None)
            next(reading)
            world.at += after
            list(reading)
        assert tokens.given == 2


@pytest.mark.parametrize(
    ("reply", "rule", "field"),
    [
        (Reply({"error": "canary"}, status=401), "token_refused", "credentials.client_secret"),
        (Reply({"error": "canary"}, status=400), "token_refused", "credentials.client_secret"),
        (Reply({"access_token": 7}), "no_token", "auth.token_url"),
        (Reply({"access_token": "x", "token_type": "mac"}), "no_token", "auth.token_url"),
        (Reply({"access_token": "x\r\ny: z"}), "no_token", "auth.token_url"),
        (Reply(b"<html>canary</html>"), "no_token", "auth.token_url"),
        (Reply(status=302, headers={"Location": "http://127.0.0.1:9/"}), "no_token", None),
    ],
)
def test_a_token_url_that_gives_none_stops(reply: Reply, rule: str, field: str | None) -> None:
    """It names the credential or the address, and shows nothing of the answer (3)."""
    with Api(lambda _: reply) as server, pytest.raises(Stop) as stopped:
        read(feed_of(server, **oauth(server)))
    assert stopped.value.rule == rule
    assert field is None or stopped.value.field == field
    assert "canary" not in str(stopped.value)
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("status", "rule"), [(401, "credential_refused"), (403, "not_allowed"), (404, "not_found")]
)
def test_a_refusal_names_the_credential(status: int, rule: str) -> None:
    """401 and 403 are for a person to put right, and are not tried again."""
    with Api(lambda _: Reply({"error": "canary"}, status=status)) as server:
        with pytest.raises(Stop, match=rule) as stopped:
            read(feed_of(server, auth={"type": "bearer"}))
        [error] = feed_of(server, auth={"type": "bearer"}).check()
    assert stopped.value.field == ("location" if status == 404 else "credentials.token")
    assert error.subject == stopped.value.field
    assert len(server.asked) == 2


def test_a_secret_that_cannot_be_had_or_written_stops() -> None:
    """Nothing is asked, and nothing of the secret shows (3)."""

    def missing(_: object) -> Sensitive:
        raise NoCredentialError("credential_not_set", "Set it.")

    with Api(lambda _: Reply({"data": []})) as server:
        declaration = parse_source("crm", api.entry(server, auth={"type": "bearer"}))
        lookups = (missing, lambda _: Sensitive("canary\nx: y"), lambda _: Sensitive("canary-张"))
        for lookup in lookups:
            feed = HttpFeed(declaration, Credentials("crm", declaration.credentials, lookup))
            with pytest.raises(Stop, match=r"credentials\.token") as stopped:
                feed.read(None)
            assert "canary" not in str(stopped.value)
        basic = parse_source("crm", api.entry(server, auth={"type": "basic"}))
        credentials = Credentials("crm", basic.credentials, lambda _: Sensitive("canary:x"))
        with pytest.raises(Stop, match=r"credentials\.user"):
            HttpFeed(basic, credentials).read(None)
    assert server.asked == []


class OwnTokens:
    """An API with a way of its own to give tokens, which says everything with status 200."""

    def __init__(self, good_for: int = 99) -> None:
        self.given, self.left, self.good_for = 0, 0, good_for
        self.asked: list[Asked] = []
        self.busy = 0  # so many requests are answered with "come again"
        self.is_refusing = False
        self.rows = api.paged(ROWS, "cursor", size=1)

    def __call__(self, asked: Asked) -> Reply:
        """The answer."""
        if self.busy:
            self.busy -= 1
            return Reply({"errcode": -1, "errmsg": "canary: system busy"})
        if asked.path == "/gettoken":
            self.asked.append(asked)
            if self.is_refusing:
                return Reply({"errcode": 40001, "errmsg": "canary: invalid credential"})
            self.given, self.left = self.given + 1, self.good_for
            told = {"access_token": f"canary-token-{self.given}", "expires_in": 7200}
            return Reply({"errcode": 0, "data": told, **told})
        shown = asked.query.get("access_token") or asked.headers.get("x-access-token")
        if shown != f"canary-token-{self.given}" or self.left == 0:
            return Reply({"errcode": 42001, "errmsg": "canary: access_token expired"})
        self.left -= 1
        return self.rows(asked)


OWN: dict[str, Any] = {
    "credentials": {"corpid": "env:SOURCE_CLIENT_ID", "corpsecret": "env:SOURCE_CLIENT_SECRET"},
    "busy": {"path": "errcode", "values": [-1, 45009]},
    "paging": api.PAGINGS["cursor"],
}
CLIENT, SECRET = SECRETS["client_id"], SECRETS["client_secret"]


def own(server: Api, **more: Any) -> dict[str, Any]:
    """A source that asks for tokens as WeCom wants it."""
    auth = {
        "type": "token",
        "token_url": f"{server.url}/gettoken",
        "send": "query",
        "parameter": "access_token",
        "refused": {"path": "errcode", "values": [40014, 42001]},
        **more,
    }
    return {**OWN, "auth": {key: value for key, value in auth.items() if value is not None}}


@pytest.mark.parametrize(
    ("more", "method"),
    [
        ({}, "GET"),
        ({"send": "form", "also": {"grant_type": "client_credential"}}, "POST"),
        ({"send": "json", "also": {"authorize_type": "silent", "grant_id": 7}}, "POST"),
        ({"parameter": None, "header": "X-Access-Token", "path": "data.access_token"}, "GET"),
    ],
)
def test_secrets_are_given_for_a_token_in_any_way(more: dict[str, Any], method: str) -> None:
    """WeCom, WeChat and Youzan each have a way of their own; one token serves every page (1, 2)."""
    tokens = OwnTokens()
    with Api(tokens) as server:
        said = own(server, **more)
        assert read(feed_of(server, **said))[0].replace("| ", "") == "1 2 3 4 5 |"
        rows = [one for one in server.asked if one.path != "/gettoken"]
    [asked] = tokens.asked
    sent = {
        "query": lambda: asked.query,
        "form": lambda: {name: one for name, [one] in parse_qs(asked.body.decode()).items()},
        "json": lambda: asked.json,
    }[said["auth"]["send"]]()
    also = {name: str(value) for name, value in more.get("also", {}).items()}
    assert sent == {"corpid": CLIENT, "corpsecret": SECRET, **also}
    assert asked.method == method
    assert len(rows) == 5
    for one in rows:
        assert ("access_token" in one.query) is ("header" not in more)
        assert SECRET not in str((one.query, one.headers, one.body))


def test_a_token_that_is_over_in_the_api_s_own_words_is_renewed_once() -> None:
    """Status 200 and a code: no row is lost or doubled, and a second refusal stops (2)."""
    tokens = OwnTokens(good_for=2)
    with Api(tokens) as server:
        said = own(server)
        assert read(feed_of(server, **said))[0].replace("| ", "") == "1 2 3 4 5 |"
        assert tokens.given == 3
        tokens.good_for = 0
        with pytest.raises(Stop, match="credential_refused") as stopped:
            read(feed_of(server, **said))
    assert tokens.given == 5
    assert stopped.value.field == "credentials.corpsecret"
    assert "canary" not in str(stopped.value)


def test_secrets_that_are_refused_with_200_stop() -> None:
    """The answer holds no token: that is for a person to put right, and nothing shows (3)."""
    tokens = OwnTokens()
    tokens.is_refusing = True
    with Api(tokens) as server, pytest.raises(Stop, match="token_refused") as stopped:
        read(feed_of(server, **own(server)))
    assert stopped.value.field == "credentials.corpsecret"
    assert "canary" not in str(stopped.value)
    assert len(server.asked) == 1


@pytest.mark.parametrize("busy", [1, 3])
def test_who_is_busy_in_its_own_words_is_asked_again(busy: int) -> None:
    """For a token and for a page; after all tries it is for later and not for a person."""
    tokens, world = OwnTokens(), World()
    with Api(tokens) as server:
        said = own(server)
        tokens.busy = busy
        assert read(feed_of(server, world, **said))[0].replace("| ", "") == "1 2 3 4 5 |"
        assert len(world.slept) == busy
        reading = feed_of(server, world, **said).read(None)
        next(reading)
        tokens.busy = 99
        with pytest.raises(Retry, match="asked_to_wait") as later:
            list(reading)
    assert "canary" not in str(later.value)


def test_a_token_is_kept_out_of_states() -> None:
    """A link that the API gives back with the token in it is kept without (2)."""
    tokens = OwnTokens()
    tokens.rows = api.paged(ROWS, "next", size=1)
    with Api(tokens) as server:
        said = {**own(server), "paging": api.PAGINGS["next"]}
        given = list(feed_of(server, **said).read(None))
        found = feed_of(server, **said).check()
    assert [one.rule for one in found] == ["key_in_address"]
    for state in api.states(given):
        assert "canary" not in state.text().reveal(reason=api.WHY)
