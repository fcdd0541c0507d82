"""A provider that is away, slow, or publishes what cannot be read."""

import datetime as dt
import threading
from collections.abc import Iterator

import httpx
import pytest

from cdp.access import oidc
from cdp.access.oidc import ProviderUnreachable, TokenRefused
from cdp.access.remembered import FAILURE_KEPT
from cdp.errors import Retry
from tests.integration.retailer import NOW
from tests.integration.signing_in.fake_provider import FakeProvider, key


def test_a_provider_that_is_away_is_not_asked_by_everybody(provider: FakeProvider) -> None:
    """Tokens 3: who comes within some seconds is told at once; then it is asked again."""
    path = "/.well-known/openid-configuration"
    provider.answers[path] = lambda: httpx.Response(503)
    for _ in range(4):
        with pytest.raises(ProviderUnreachable):
            provider.ours.address("s", "n", "v")
    assert provider.paths() == [path]
    del provider.answers[path]
    provider.clock = NOW + FAILURE_KEPT
    assert provider.claims()["sub"] == "s-1"


@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/token", "/jwks"])
def test_an_answer_that_drips_is_cut_off(provider: FakeProvider, path: str) -> None:
    """Tokens 3: each part comes in time, and all of it never would."""
    ticks, parts = [0.0], []

    def dripping() -> Iterator[bytes]:
        while len(parts) < 1000:
            parts.append(1)
            ticks[0] += 1
            yield b" "

    provider.ours._ticks = lambda: ticks[0]
    provider.answers[path] = lambda: httpx.Response(200, content=dripping())
    with pytest.raises(ProviderUnreachable):
        provider.claims()
    assert len(parts) == oidc.DEADLINE + 1


def test_a_slow_provider_takes_a_few_threads(provider: FakeProvider) -> None:
    """Tokens 3: who comes when the places are taken is told at once to try again."""
    answers, held = threading.Event(), threading.Barrier(oidc.AT_ONCE + 1)

    def slow() -> httpx.Response:
        held.wait(20)
        answers.wait(20)
        return httpx.Response(400)

    provider.claims()
    provider.answers["/token"] = slow
    told: list[object] = []

    def come() -> None:
        try:
            provider.claims()
        except TokenRefused as error:
            told.append(error.rule)

    threads = [threading.Thread(target=come) for _ in range(oidc.AT_ONCE)]
    for one in threads:
        one.start()
    held.wait(20)
    with pytest.raises(Retry, match="at the same time"):
        provider.claims()
    answers.set()
    for one in threads:
        one.join()
    assert told == ["code_refused"] * oidc.AT_ONCE
    assert provider.ours.address("s", "n", "v")


UNREADABLE = {
    "an unknown curve": {"kty": "EC", "crv": "P-1", "x": "AA", "y": "AA"},
    "no curve": {"kty": "EC", "x": "AA", "y": "AA"},
    "off its curve": {"kty": "EC", "crv": "P-256", "x": "AQ", "y": "AQ"},
    "no numbers": {"kty": "RSA"},
    "numbers as numbers": {"kty": "RSA", "n": 5, "e": 3},
    "not base 64": {"kty": "RSA", "n": "!", "e": "?"},
    "no text": {"kty": "RSA", "n": None, "e": []},
    "too short": {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
    "an even exponent": {"kty": "RSA", "n": "v" * 342, "e": "Ag"},
    "kid of no text": {"kid": ["one"]},
    "kid of a number": {"kid": 1},
    "use of no text": {"use": 7},
    "operations of no list": {"key_ops": "verify"},
    "another kind": {"kty": "OKP", "crv": "Ed25519", "x": "AA"},
    "a made-up kind": {"kty": ["RSA"]},
    "a secret": {"kty": "oct", "k": "AA"},
}


@pytest.mark.parametrize("which", sorted(UNREADABLE))
@pytest.mark.parametrize("kid", ["other", "one"])
def test_a_key_that_cannot_be_read_is_none(provider: FakeProvider, which: str, kid: str) -> None:
    """Tokens 7: beside good ones it does no harm, whatever name it has; alone it signs nothing."""
    good = key("one").as_dict(private=False)
    odd = {"kid": kid, **UNREADABLE[which]}
    if "kty" not in odd:
        odd = {**good, **odd}
    if kid == "other" or "kty" in UNREADABLE[which]:
        provider.answers["/jwks"] = lambda: httpx.Response(200, json={"keys": [odd, good]})
        assert provider.claims()["sub"] == "s-1"
    provider.clock += dt.timedelta(minutes=1)
    provider.ours._keys._said = None
    provider.answers["/jwks"] = lambda: httpx.Response(200, json={"keys": [odd, None, "x"]})
    if "kty" in UNREADABLE[which]:
        with pytest.raises(TokenRefused):
            provider.claims()
