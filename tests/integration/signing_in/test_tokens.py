"""What a provider says, and how it may lie: tokens, keys, discovery, redirects."""

import base64
import datetime as dt
import hmac
import json
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from cdp.access import oidc
from cdp.access.oidc import ProviderUnreachable, TokenRefused, terms_of
from cdp.errors import Stop
from cdp.settings import Settings
from tests.integration.retailer import NOW
from tests.integration.signing_in.fake_provider import (
    AT,
    CLIENT,
    GOOD,
    ISSUER,
    SECRET,
    FakeProvider,
    key,
    signed,
)


def test_a_good_token_gives_its_claims(provider: FakeProvider) -> None:
    """Signed by a published key, for us, now, with our nonce: RSA and elliptic curves."""
    assert provider.claims()["groups"] == ["kith-hq"]
    for name, alg in (("one", "PS256"), ("curve", "ES256")):
        provider.token = signed(GOOD, name, alg)
        assert provider.claims()["sub"] == "s-1"
    provider.token = signed({**GOOD, "aud": [CLIENT]})
    assert provider.claims()["sub"] == "s-1"
    provider.token = signed({**GOOD, "aud": [CLIENT, "other"], "azp": CLIENT})
    assert provider.claims()["sub"] == "s-1"


def test_the_code_is_exchanged_with_secret_and_verifier(provider: FakeProvider) -> None:
    """PKCE and client authentication: neither stands in an address."""
    provider.claims()
    (asked,) = (one for one in provider.asked if one.url.path == "/token")
    assert asked.method == "POST"
    assert not asked.url.query
    basic = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
    assert asked.headers["authorization"] == f"Basic {basic}"
    body = asked.content.decode()
    assert "code=the-code" in body
    assert "code_verifier=the-verifier" in body
    assert "grant_type=authorization_code" in body


def part(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def unsigned(alg: str) -> str:
    head = {"alg": alg, "kid": "one"}
    return f"{part(json.dumps(head).encode())}.{part(json.dumps(GOOD).encode())}."


def with_shared_secret() -> str:
    """The public key of the provider, used as if it were a shared secret."""
    content = unsigned("HS256").rstrip(".")
    public = key("one").as_pem(private=False)
    return f"{content}.{part(hmac.digest(public, content.encode(), 'sha256'))}"


FORGED = {
    "none": lambda: unsigned("none"),
    "none, shouted": lambda: unsigned("NONE"),
    "no signature": lambda: unsigned("RS256"),
    "shared secret": with_shared_secret,
    "a key of the same name": lambda: signed(GOOD, "stranger one"),
    "changed": lambda: signed(GOOD)[:-4] + "AAAA",
    "another algorithm": lambda: signed(GOOD, alg="RS384"),
    "yet another": lambda: signed(GOOD, alg="RS512"),
    "too many parts": lambda: signed(GOOD) + ".x",
    "nothing": lambda: "",
    "a word": lambda: "x",
    "three words": lambda: "a.b.c",
}


@pytest.mark.parametrize("forged", sorted(FORGED))
def test_what_the_provider_did_not_sign_counts_for_nothing(provider, forged: str) -> None:
    """Tokens 1: none, shared secrets, other keys, other algorithms, changed and cut tokens."""
    provider.token = FORGED[forged]()
    with pytest.raises(TokenRefused):
        provider.claims()


@pytest.mark.parametrize("token", [None, 7, ["x"], {}])
def test_an_answer_without_a_token_is_refused(provider: FakeProvider, token: object) -> None:
    """Tokens 1: whatever else stands in its place."""
    provider.token = token
    with pytest.raises(TokenRefused, match="no_token"):
        provider.claims()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"iss": "https://id.example.com/"}, "claim_iss"),
        ({"iss": "https://evil.example.com"}, "claim_iss"),
        ({"aud": "other"}, "claim_"),
        ({"aud": ["other", "more"]}, "claim_"),
        ({"aud": [CLIENT, "other"]}, "claim_"),
        ({"aud": CLIENT, "azp": "other"}, "claim_azp"),
        ({"aud": [CLIENT, "other"], "azp": "other"}, "claim_azp"),
        ({"exp": AT - 60}, "claim_"),
        ({"exp": "tomorrow"}, "claim_exp"),
        ({"nonce": "another"}, "claim_nonce"),
        ({"nonce": ["n"]}, "claim_nonce"),
        ({"iat": AT + 3600}, "claim_"),
        ({"nbf": AT + 3600}, "claim_"),
        ({"sub": ""}, "claim_"),
        ({"sub": 7}, "claim_"),
        ({"sub": ["s-1"]}, "claim_"),
    ],
)
def test_a_token_for_somebody_or_sometime_else_is_refused(provider, changes, reason) -> None:
    """Tokens 2: issuer, audience, authorised party, time, nonce, subject."""
    provider.token = signed({**GOOD, **changes})
    with pytest.raises(TokenRefused, match=reason):
        provider.claims()


@pytest.mark.parametrize("missing", ["iss", "aud", "sub", "exp", "iat", "nonce"])
def test_a_token_must_say_all_of_it(provider: FakeProvider, missing: str) -> None:
    """Tokens 2: what is not said is not taken for granted."""
    provider.token = signed({name: said for name, said in GOOD.items() if name != missing})
    with pytest.raises(TokenRefused):
        provider.claims()


def test_clocks_may_differ_by_a_minute(provider: FakeProvider) -> None:
    """Tokens 2: and by no more."""
    provider.clock = NOW + dt.timedelta(seconds=300 + 59)
    assert provider.claims()
    provider.clock = NOW + dt.timedelta(seconds=300 + 61)
    with pytest.raises(TokenRefused):
        provider.claims()


@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/token", "/jwks"])
@pytest.mark.parametrize("how", ["redirect", "error", "no JSON", "a list", "huge", "deaf"])
def test_what_is_no_honest_answer_is_bounded_and_refused(provider, path, how) -> None:
    """Tokens 3: a redirect is not followed; too much, nothing and nonsense are the same."""

    def deaf() -> httpx.Response:
        raise httpx.ConnectTimeout("canary")

    provider.answers[path] = {
        "redirect": lambda: httpx.Response(302, headers={"Location": "https://evil.example.com"}),
        "error": lambda: httpx.Response(500, json={}),
        "no JSON": lambda: httpx.Response(200, content=b"<html>"),
        "a list": lambda: httpx.Response(200, json=[]),
        "huge": lambda: httpx.Response(200, content=b" " * (oidc._MOST_BYTES + 1)),
        "deaf": deaf,
    }[how]
    with pytest.raises((ProviderUnreachable, TokenRefused)) as caught:
        provider.claims()
    assert "canary" not in f"{caught.value!r}"
    assert "evil.example.com" not in {one.url.host for one in provider.asked}


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_refused_code_is_a_refusal(provider: FakeProvider, status: int) -> None:
    """The provider says no to the code: the person is not let in, and nothing is wrong here."""
    provider.answers["/token"] = lambda: httpx.Response(status, json={"error": "invalid_grant"})
    with pytest.raises(TokenRefused, match="code_refused"):
        provider.claims()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("issuer", "https://evil.example.com"),
        ("issuer", ISSUER + "/"),
        ("token_endpoint", "http://id.example.com/token"),
        ("jwks_uri", "http://id.example.com/jwks"),
        ("authorization_endpoint", "javascript:alert(1)"),
        ("token_endpoint", None),
        ("jwks_uri", 7),
        ("token_endpoint", "https://name@id.example.com/token"),
    ],
)
def test_a_provider_that_names_unsafe_places_is_refused(provider, name, said) -> None:
    """Tokens 4: another issuer, plain http to another machine, no address at all."""
    provider.said[name] = said
    with pytest.raises(ProviderUnreachable):
        provider.claims()
    assert provider.paths() == ["/.well-known/openid-configuration"]


def test_discovery_and_keys_are_asked_once_an_hour(provider: FakeProvider) -> None:
    """Tokens 5: what does not change is not asked for at each sign-in."""
    for _ in range(3):
        provider.claims()
    assert provider.paths().count("/jwks") == 1
    assert provider.paths().count("/.well-known/openid-configuration") == 1
    provider.clock = NOW + dt.timedelta(hours=1)
    provider.token = signed({**GOOD, "exp": AT + 7200})
    provider.claims()
    assert provider.paths().count("/jwks") == 2


def test_a_new_key_of_the_provider_is_found_at_once(provider: FakeProvider) -> None:
    """Tokens 5: a key that is not known is looked for, once a minute however many come with it."""
    provider.claims()
    provider.keys = ["two"]
    provider.token = signed(GOOD, "two")
    provider.clock = NOW + dt.timedelta(seconds=59)
    for _ in range(3):
        with pytest.raises(TokenRefused):
            provider.claims()
    assert provider.paths().count("/jwks") == 1
    provider.clock = NOW + dt.timedelta(seconds=60)
    assert provider.claims()["sub"] == "s-1"
    provider.token = signed(GOOD)
    with pytest.raises(TokenRefused):
        provider.claims()
    assert provider.paths().count("/jwks") == 2


def test_nothing_of_it_shows_in_an_error(provider: FakeProvider) -> None:
    """Tokens 6: neither token nor claims nor code nor secret, also not in its context."""
    provider.token = signed({**GOOD, "nonce": "canary-claim", "name": "canary-name"})
    with pytest.raises(TokenRefused) as caught:
        provider.claims()
    for secret in ("canary", "the-code", SECRET, str(provider.token)):
        assert secret not in f"{caught.value!r} {caught.value.__cause__!r} {provider.ours!r}"
    assert caught.value.__context__ is None
    assert SECRET not in repr(provider.ours._terms)


def test_a_public_client_sends_no_secret(provider: FakeProvider) -> None:
    """Without a secret the client says its name, and PKCE alone binds the code."""
    provider.ours._terms = replace(provider.ours._terms, client_secret=None)
    provider.claims()
    (asked,) = (one for one in provider.asked if one.url.path == "/token")
    assert "authorization" not in asked.headers
    assert "client_id=kith" in asked.content.decode()


def settings(tmp_path: Path, **more: str) -> Settings:
    return Settings.from_environment({"CDP_HOME": str(tmp_path), **more})


def test_the_settings_are_whole_or_there_is_no_provider(tmp_path: Path) -> None:
    """Tokens 4: half of it, or an address in the clear, stops the start and names the setting."""
    assert terms_of(settings(tmp_path)) is None
    good = {
        "CDP_OIDC_ISSUER": ISSUER,
        "CDP_OIDC_CLIENT_ID": CLIENT,
        "CDP_PUBLIC_URL": "https://kith.example.com/",
    }
    terms = terms_of(settings(tmp_path, **good))
    assert terms is not None
    assert terms.redirect_uri == "https://kith.example.com/v1/session/oidc/callback"
    assert terms.client_secret is None
    for name in ("CDP_OIDC_CLIENT_ID", "CDP_PUBLIC_URL"):
        with pytest.raises(Stop, match="sign_in_incomplete"):
            terms_of(settings(tmp_path, **{**good, name: ""}))
    for name in ("CDP_OIDC_ISSUER", "CDP_PUBLIC_URL"):
        for address in ("http://id.example.com", "id.example.com", "ftp://id.example.com"):
            with pytest.raises(Stop, match=name.replace("_", ".")):
                terms_of(settings(tmp_path, **{**good, name: address}))
    local = {**good, "CDP_PUBLIC_URL": "http://127.0.0.1:8000", "CDP_OIDC_ISSUER": "http://[::1]:9"}
    assert terms_of(settings(tmp_path, **local)) is not None


def test_the_client_secret_comes_from_a_file(tmp_path: Path) -> None:
    """A line break at its end is not part of it; a file that is not there stops the start."""
    path = tmp_path / "secret"
    path.write_text(f"{SECRET}\n")
    more = {
        "CDP_OIDC_ISSUER": ISSUER, "CDP_OIDC_CLIENT_ID": CLIENT,
        "CDP_PUBLIC_URL": "https://kith.example.com", "CDP_OIDC_CLIENT_SECRET_FILE": str(path),
    }  # fmt: skip
    found = settings(tmp_path, **more)
    terms = terms_of(found)
    assert terms.client_secret.expose() == SECRET.encode()
    assert SECRET not in repr(settings(tmp_path, **more, CDP_OIDC_CLIENT_SECRET=SECRET))
    path.unlink()
    with pytest.raises(Stop, match="client_secret_unreadable"):
        terms_of(found)
