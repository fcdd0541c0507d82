"""A retailer whose people sign in, served over HTTP as a browser sees it."""

import datetime as dt
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa

from api import browser
from api.app import create_app
from cdp.access import accounts, one_time
from cdp.access.accounts import Enrolment
from cdp.access.signing_in import Attempt, Client, SigningIn
from cdp.storage import schema
from cdp.vault.primitives import Stretching, one_time_code
from cdp.vault.secret import Secret
from cdp.vault.sign_in import SignInKeys
from connectors.record import Sensitive
from tests.integration.retailer import Retailer

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from fastapi.testclient import TestClient

QUICK = Stretching(memory_kib=64, iterations=1, lanes=1)
PASSWORD = "four plain words here"
TILL = Client("192.0.2.7", None, "r1")
ADDRESS = "https://testserver"


class House:
    """A retailer with accounts; Argon2 at small costs, so that tests may try often."""

    def __init__(self, engine: sa.Engine, home: Path, **settings: Any) -> None:
        self.retailer = Retailer(engine, home)
        self.engine = engine
        changed = replace(self.retailer.workspace.settings, **settings)
        self.workspace = replace(self.retailer.workspace, settings=changed)
        self.keys = SignInKeys(self.workspace.keyring)
        self.door = SigningIn(self.workspace, self.keys, QUICK)
        self.seeds: dict[str, Secret] = {}
        self.recovery: dict[str, tuple[str, ...]] = {}
        self.app = create_app(self.workspace)
        services = self.app.state.services
        self.app.state.services = replace(services, signing_in=self.door, sign_in_keys=self.keys)

    def browser(self) -> "Browser":
        """A browser that has been nowhere."""
        return Browser(self)

    def enrolled(self, who: str, password: str = PASSWORD) -> str:
        """Give somebody an account with a password and an app."""
        now = self.workspace.now()
        with self.engine.begin() as connection:
            invited = accounts.add(connection, self.keys, who, now)
            seed = accounts.invited_seed(connection, self.keys, who, invited.text, now)
            assert seed is not None
            self.seeds[who] = seed
            code = self.code(who)
            given = Enrolment(who, invited.text, Sensitive(password), code)
            codes = accounts.enrol(connection, self.keys, given, now, QUICK)
            assert codes is not None
            self.recovery[who] = codes
        self.later(minutes=2)
        return who

    def code(self, who: str, steps: int = 0) -> str:
        """What the app of somebody shows now, or some steps from now."""
        return one_time_code(self.seeds[who], one_time.step_at(self.workspace.now()) + steps)

    def later(self, **span: int) -> None:
        """Let time pass."""
        self.retailer.clock += dt.timedelta(**span)

    def attempt(self, who: str, password=PASSWORD, code=None, client=TILL, presented=None):
        """Try to sign in, past HTTP."""
        typed = self.code(who) if code is None else code
        return self.door.attempt(Attempt(who, Sensitive(password), typed), client, presented)

    def row(self, table: str, **where: object) -> Any:
        """The one row of a table."""
        found = schema.metadata.tables[f"kith.{table}"]
        with self.engine.connect() as connection:
            wanted = [found.c[name] == value for name, value in where.items()]
            return connection.execute(sa.select(found).where(*wanted)).one_or_none()

    def reasons(self, action: str = "session.begin") -> list[str]:
        """Why events of that kind came out as they did."""
        return [one["reason"] for one in self.retailer.events() if one["action"] == action]


class Browser:
    """A browser on our own pages: it keeps cookies, and sends what browsers send."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.client = TestClient(house.app, base_url=ADDRESS, raise_server_exceptions=False)
        self.client.headers["Sec-Fetch-Site"] = "same-origin"
        self.csrf = ""

    def sign_in(
        self, who: str, password: str = PASSWORD, code: str | None = None
    ) -> httpx.Response:
        """Sign in, and remember the token."""
        typed = self.house.code(who) if code is None else code
        body = {"principal": who, "password": password, "code": typed}
        answer = self.client.post("/v1/session", json=body)
        if answer.status_code == 200:
            self.csrf = answer.json()["csrf"]
        return answer

    def get(self, path: str = "/v1/session", **headers: str) -> httpx.Response:
        """GET with whatever cookies there are."""
        return self.client.get(path, headers=spelled(headers), follow_redirects=False)

    def send(self, method: str, path: str, body: object = None, **headers: str) -> httpx.Response:
        """A change, with the token."""
        sent = {browser.CSRF: self.csrf, **spelled(headers)}
        return self.client.request(method, path, json=body, headers=sent)

    @property
    def secret(self) -> str | None:
        """What the session's cookie holds."""
        return self.client.cookies.get(browser.SESSION)


def spelled(headers: dict[str, str]) -> dict[str, str]:
    """Names of headers from names of arguments."""
    return {name.replace("_", "-"): value for name, value in headers.items()}
