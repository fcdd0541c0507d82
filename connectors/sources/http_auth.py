"""How a request shows who asks: a token, a password, a key, or OAuth2 client credentials.

Invariants, each named by a test in ``tests/integration/http_source/test_auth.py``:

1. A secret comes from ``credentials:`` and nowhere else, and goes to the declared origin or the
   declared token URL and nowhere else.
2. A token of OAuth2 is kept in memory alone, until shortly before its end; one that is refused
   earlier is asked for anew once.
3. No error shows a secret; it names the credential.
"""

import json
from base64 import b64encode
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote_plus, urlencode

from connectors.credentials import Credentials
from connectors.errors import Stop
from connectors.http_declaration import CREDENTIALS, AuthSpec
from connectors.sources.http_engine import Answer, Ask
from connectors.sources.http_paging import with_parameter

_WHY: Final = "show an API who asks"
_MARGIN: Final = 30.0  # seconds before its end from which a token is not used
_UNSAID: Final = 300.0  # seconds of a token that does not say when it ends (RFC 6749, 5.1)
_LONGEST: Final = 24 * 60 * 60.0
_TOKEN_BYTES: Final = 64 * 1024
_FORM: Final = "application/x-www-form-urlencoded"


class Auth:
    """The secrets of one reading."""

    def __init__(
        self,
        spec: AuthSpec,
        credentials: Credentials,
        send: Callable[[Ask, int], Answer],
        clock: Callable[[], float],
    ) -> None:
        """Fetch the secrets; nothing is sent.

        Raises:
            Stop: one cannot be had, or cannot be written into a header.
        """
        self._spec, self._source = spec, credentials.source
        self._send, self._clock = send, clock
        self._secrets = {
            name: credentials.require(name).reveal(reason=_WHY) for name in CREDENTIALS[spec.type]
        }
        for name, text in self._secrets.items():
            if not text.isprintable() or not (text.isascii() or spec.type in {"query", "basic"}):
                step = "Store it on one line, without spaces around it."
                raise Stop(self._source, "credential_form", step, field=f"credentials.{name}")
        if ":" in self._secrets.get("user", ""):  # RFC 7617, 2
            step = "Give a user without a colon: Basic cannot send one."
            raise Stop(self._source, "credential_form", step, field="credentials.user")
        self._token = ""
        self._ends = 0.0

    @property
    def secrets(self) -> frozenset[str]:
        """Everything that must not be kept."""
        return frozenset(text for text in (*self._secrets.values(), self._token) if text)

    @property
    def can_renew(self) -> bool:
        """Whether another token may help."""
        return self._spec.type == "oauth2"

    @property
    def blamed(self) -> str | None:
        """The credential that a refusal is about, as a path; None: there is none."""
        names = CREDENTIALS[self._spec.type]
        return f"credentials.{names[-1]}" if names else None

    def signed(self, ask: Ask) -> Ask:
        """The request with what shows who asks.

        Raises:
            Stop: the token URL gives no token.
            Retry: it does not answer.
        """
        kind, secrets = self._spec.type, self._secrets
        if kind == "query":
            url = with_parameter(ask.url, self._spec.name, secrets["key"])
            return Ask(ask.method, url, ask.headers, ask.body)
        headers = dict(ask.headers)
        if kind == "bearer":
            headers["authorization"] = f"Bearer {secrets['token']}"
        elif kind == "basic":
            headers["authorization"] = _basic(secrets["user"], secrets["password"])
        elif kind == "header":
            headers[self._spec.name.lower()] = secrets["key"]
        elif kind == "oauth2":
            headers["authorization"] = f"Bearer {self._current()}"
        return Ask(ask.method, ask.url, headers, ask.body)

    def forget_token(self) -> None:
        """Ask for a new token before the next request."""
        self._token, self._ends = "", 0.0

    def _current(self) -> str:
        if not self._token or self._clock() >= self._ends:
            self._token, self._ends = self._fresh()
        return self._token

    def _fresh(self) -> tuple[str, float]:
        asked = self._clock()
        answer = self._send(self._token_request(), _TOKEN_BYTES)
        if answer.status in {400, 401, 403}:
            step = "Correct client id and secret, or the scopes that the client may ask for."
            raise self._stop("token_refused", step, "credentials.client_secret")
        said = _object(answer.body) if answer.status == 200 else {}
        token, kind = said.get("access_token"), said.get("token_type", "bearer")
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            token = ""
        if not token or not isinstance(kind, str) or kind.casefold() != "bearer":
            step = "Correct auth.token_url: it does not answer with a bearer token (RFC 6749, 5.1)."
            raise self._stop("no_token", step, "auth.token_url")
        life = _seconds(said.get("expires_in"))
        return token, asked + max(life - _MARGIN, life / 2)

    def _token_request(self) -> Ask:
        client, secret = self._secrets["client_id"], self._secrets["client_secret"]
        form = {"grant_type": "client_credentials"}
        if self._spec.scopes:
            form["scope"] = " ".join(self._spec.scopes)
        headers = {"content-type": _FORM, "accept": "application/json"}
        if self._spec.send == "basic":  # RFC 6749, 2.3.1: each is encoded as in a form first
            headers["authorization"] = _basic(quote_plus(client), quote_plus(secret))
        else:
            form |= {"client_id": client, "client_secret": secret}
        return Ask("POST", self._spec.token_url, headers, urlencode(form).encode())

    def _stop(self, rule: str, step: str, field: str) -> Stop:
        return Stop(self._source, rule, step, field=field)

    def __repr__(self) -> str:
        return f"<auth of {self._source}>"


def _basic(user: str, password: str) -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


def _object(body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        said = None
    return said if isinstance(said, dict) else {}


def _seconds(life: object) -> float:
    """How long a token lives; some servers say it as text."""
    if isinstance(life, str) and life.isascii() and life.isdigit():
        life = int(life[:9])
    if isinstance(life, bool) or not isinstance(life, int | float) or not life > 0:
        return _UNSAID
    return min(float(life), _LONGEST)
