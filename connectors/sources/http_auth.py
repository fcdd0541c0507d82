"""How a request shows who asks: a token, a password, a key, OAuth2, or a token of its own way.

Invariants, each named by a test in ``tests/integration/http_source/test_auth.py``:

1. A secret comes from ``credentials:`` and nowhere else, and goes to the declared origin or the
   declared token URL and nowhere else.
2. A token that was given for secrets is kept in memory alone, until shortly before its end; one
   that is refused earlier is asked for anew once.
3. No error shows a secret; it names the credential.
"""

import json
from base64 import b64encode
from collections.abc import Callable
from typing import Final
from urllib.parse import quote_plus, urlencode

from connectors.credentials import Credentials
from connectors.errors import Stop
from connectors.http_auth_declaration import AuthSpec
from connectors.sources.http_engine import Answer, Ask
from connectors.sources.http_pages import found_at
from connectors.sources.http_paging import with_parameter
from connectors.sources.http_words import json_of, says

_WHY: Final = "show an API who asks"
_MARGIN: Final = 30.0  # seconds before its end from which a token is not used
_UNSAID: Final = 300.0  # seconds of a token that does not say when it ends (RFC 6749, 5.1)
_LONGEST: Final = 24 * 60 * 60.0
_TOKEN_BYTES: Final = 64 * 1024
_FORM: Final = "application/x-www-form-urlencoded"
_ENCODED: Final = frozenset({"query", "basic", "token"})  # ways that write any letter
_OWN: Final = "Correct the credentials, auth.also and auth.path: the answer holds no token there."


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
            name: credentials.require(name).reveal(reason=_WHY) for name in spec.credentials
        }
        for name, text in self._secrets.items():
            if not text.isprintable() or not (text.isascii() or spec.type in _ENCODED):
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
        return self._spec.type in {"oauth2", "token"}

    @property
    def blamed(self) -> str | None:
        """The credential that a refusal is about, as a path; None: there is none."""
        names = self._spec.credentials
        return f"credentials.{names[-1]}" if names else None

    def signed(self, ask: Ask) -> Ask:
        """The request with what shows who asks.

        Raises:
            Stop: the token URL gives no token.
            Retry: it does not answer.
        """
        kind, secrets = self._spec.type, self._secrets
        if kind == "query" or (kind == "token" and not self._spec.in_header):
            text = secrets["key"] if kind == "query" else self._current()
            url = with_parameter(ask.url, self._spec.name, text)
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
        elif kind == "token":
            headers[self._spec.name.lower()] = self._current()
        return Ask(ask.method, ask.url, headers, ask.body)

    def is_refused(self, answer: Answer) -> bool:
        """Whether an answer says that the token is over, by its status or in its own words."""
        return self.can_renew and (
            answer.status == 401 or (answer.status == 200 and says(answer.body, self._spec.refused))
        )

    def forget_token(self) -> None:
        """Ask for a new token before the next request."""
        self._token, self._ends = "", 0.0

    def _current(self) -> str:
        if not self._token or self._clock() >= self._ends:
            self._token, self._ends = self._fresh()
        return self._token

    def _fresh(self) -> tuple[str, float]:
        asked = self._clock()
        is_standard = self._spec.type == "oauth2"
        request = self._token_request() if is_standard else self._request_of_its_own()
        answer = self._send(request, _TOKEN_BYTES)
        if answer.status in {400, 401, 403}:
            step = "Correct client id and secret, or the scopes that the client may ask for."
            raise self._stop("token_refused", step if is_standard else _OWN, self.blamed or "auth")
        said = json_of(answer.body) if answer.status == 200 else None
        token = found_at(said, self._spec.path)[1]
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            token = ""
        kind = found_at(said, ("token_type",))[1] or "bearer"
        is_bearer = isinstance(kind, str) and kind.casefold() == "bearer"
        if not token or (is_standard and not is_bearer):
            raise self._without_token(answer.status)
        life = _seconds(found_at(said, self._spec.life)[1])
        return token, asked + max(life - _MARGIN, life / 2)

    def _without_token(self, status: int) -> Stop:
        if self._spec.type == "token" and status == 200:  # as they say that a secret is wrong
            return self._stop("token_refused", _OWN, self.blamed or "auth")
        step = "Correct auth.token_url: it does not answer with a bearer token (RFC 6749, 5.1)."
        if self._spec.type == "token":
            step = "Correct auth.token_url, and send, to what its documentation says."
        return self._stop("no_token", step, "auth.token_url")

    def _request_of_its_own(self) -> Ask:
        """The secrets under their names, and what goes beside them."""
        told, send = {**dict(self._spec.also), **self._secrets}, self._spec.send
        url, headers = self._spec.token_url, {"accept": "application/json"}
        if send == "query":
            return Ask("GET", f"{url}?{urlencode(told)}", headers, None)
        if send == "form":
            return Ask("POST", url, {**headers, "content-type": _FORM}, urlencode(told).encode())
        body = json.dumps(told, ensure_ascii=False).encode()
        return Ask("POST", url, {**headers, "content-type": "application/json"}, body)

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


def _seconds(life: object) -> float:
    """How long a token lives; some servers say it as text."""
    if isinstance(life, str) and life.isascii() and life.isdigit():
        life = int(life[:9])
    if isinstance(life, bool) or not isinstance(life, int | float) or not life > 0:
        return _UNSAID
    return float(min(life, _LONGEST))
