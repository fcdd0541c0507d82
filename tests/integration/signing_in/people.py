"""People whom an identity provider knows, and what it says of them."""

from typing import Any

import httpx

from tests.integration.signing_in.house import ADDRESS, Browser, House

MAPPING = {
    "principal": "preferred_username",
    "roles": [
        {"claim": "groups", "equals": "kith-hq", "role": "headquarters", "node": "kith"},
        {"claim": "groups", "equals": "kith-managers", "role": "manager", "node_claim": "store"},
        {"claim": "groups", "equals": "kith-it", "role": "operator", "node": "kith"},
        {"claim": "groups", "equals": "kith-audit", "role": "compliance", "node": "kith"},
    ],
}


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
