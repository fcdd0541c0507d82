"""An identity provider that answers as a test tells it to."""

from collections.abc import Callable
from functools import cache
from typing import Any

import httpx
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from cdp.access.oidc import IdentityProvider, Terms
from cdp.vault.secret import Secret
from tests.integration.retailer import NOW

ISSUER, CLIENT = "https://id.example.com", "kith"
SECRET = "canary-secret"
AT = int(NOW.timestamp())
GOOD = {
    "iss": ISSUER, "aud": CLIENT, "sub": "s-1", "exp": AT + 300, "iat": AT, "nonce": "n",
    "groups": ["kith-hq"],
}  # fmt: skip


@cache
def key(name: str) -> Any:
    """A key pair of the provider, or of somebody who calls theirs by the same name."""
    known = {"use": "sig", "kid": name.removeprefix("stranger ")}
    if name == "curve":
        return ECKey.generate_key("P-256", known, auto_kid=False)
    return RSAKey.generate_key(2048, known, auto_kid=False)


def signed(claims: dict[str, Any], name: str = "one", alg: str = "RS256") -> str:
    """A token as a provider signs it."""
    head = {"alg": alg, "kid": key(name).kid}
    return jwt.encode(head, dict(claims), key(name), algorithms=[alg])


class FakeProvider:
    """A provider that answers as it is told, and notes what it was asked."""

    def __init__(self) -> None:
        self.keys = ["one", "curve"]
        self.token: object = signed(GOOD)
        self.asked: list[httpx.Request] = []
        self.answers: dict[str, Callable[[], httpx.Response]] = {}
        self.said: dict[str, Any] = {
            "issuer": ISSUER,
            "authorization_endpoint": f"{ISSUER}/authorize",
            "token_endpoint": f"{ISSUER}/token",
            "jwks_uri": f"{ISSUER}/jwks",
        }
        self.clock = NOW
        terms = Terms(ISSUER, CLIENT, Secret(SECRET.encode()), "https://kith.example.com/back")
        self.ours = IdentityProvider(terms, lambda: self.clock, httpx.MockTransport(self._answer))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        path = request.url.path
        if path in self.answers:
            return self.answers[path]()
        if path == "/token":
            return httpx.Response(200, json={"id_token": self.token, "access_token": "a"})
        if path == "/jwks":
            keys = [key(name).as_dict(private=False) for name in self.keys]
            return httpx.Response(200, json={"keys": keys})
        return httpx.Response(200, json=self.said)

    def claims(self) -> Any:
        """What we make of its token."""
        return self.ours.claims("the-code", "the-verifier", "n")

    def paths(self) -> list[str]:
        """What it was asked for."""
        return [one.url.path for one in self.asked]
