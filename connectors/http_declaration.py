"""How the rows of an HTTP API are asked for: request, authentication, rows, paging, limits.

The form is checked by ``declaration.schema.json``; what one key demands of another is checked
here. A secret never stands in a declaration: a header or a parameter that is named like one is
refused.
"""

import ipaddress
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo

from connectors.errors import DeclarationError

HTTP: Final = "http"
Method = Literal["GET", "POST"]
AuthType = Literal["none", "bearer", "basic", "header", "query", "oauth2"]
PagingType = Literal["none", "page", "offset", "cursor", "next", "link", "keyset"]
Format = Literal["iso", "plain", "date", "epoch_s", "epoch_ms", "number"]
Steps = tuple[str | int, ...]  # keys and indexes of a JSON path

CREDENTIALS: Final[Mapping[AuthType, tuple[str, ...]]] = {
    "none": (),
    "bearer": ("token",),
    "basic": ("user", "password"),
    "header": ("key",),
    "query": ("key",),
    "oauth2": ("client_id", "client_secret"),
}
_PAGING: Final[Mapping[PagingType, tuple[frozenset[str], frozenset[str]]]] = {
    # type: the keys it must have, those it may have
    "none": (frozenset(), frozenset()),
    "page": (frozenset(), frozenset({"parameter", "body_key", "first", "more", "stable"})),
    "offset": (frozenset(), frozenset({"parameter", "body_key", "first", "more", "stable"})),
    "cursor": (frozenset({"path"}), frozenset({"parameter", "body_key", "more"})),
    "next": (frozenset({"path"}), frozenset()),
    "link": (frozenset(), frozenset()),
    "keyset": (frozenset({"column"}), frozenset({"parameter", "body_key", "more"})),
}
_LINKED: Final = frozenset({"none", "next", "link"})  # the API itself says where the next page is
_COUNTED: Final = frozenset({"epoch_s", "epoch_ms", "number"})
_NAIVE: Final = frozenset({"plain", "date"})  # formats that say no time zone
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")  # RFC 9110, 5.6.2
# Whole words of a name, however it is written: apiKey, api_key, X-Api-Key.
_SECRET: Final = re.compile(
    r"(?i)(api|access|app|private|secret|subscription)[-_]?key$|^key$|token$|secret|passw|"
    r"authorization|cookie|signature|credential"
)
_OURS: Final = frozenset(
    {"host", "connection", "content-length", "transfer-encoding", "accept-encoding", "te"}
)
_SECRET_STEP: Final = "Take it out, name the secret under credentials, and say auth."  # noqa: S105


@dataclass(frozen=True, slots=True)
class Sent:
    """Where a value is put into a request: a parameter of the address, or a key of the body."""

    parameter: str | None = None
    body: Steps = ()


@dataclass(frozen=True, slots=True)
class RequestSpec:
    """What is the same in every request."""

    method: Method = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    query: tuple[tuple[str, str], ...] = ()
    body: str | None = None  # JSON
    allow_http: bool = False


@dataclass(frozen=True, slots=True)
class AuthSpec:
    """How a request shows who asks; the secrets are credentials of the source."""

    type: AuthType = "none"
    name: str = ""  # of the header or the parameter
    token_url: str = ""
    scopes: tuple[str, ...] = ()
    send: Literal["basic", "body"] = "basic"  # how the client shows itself to the token URL


@dataclass(frozen=True, slots=True)
class PagingSpec:
    """How the next page is asked for."""

    type: PagingType = "none"
    sent: Sent = Sent()
    path: Steps = ()  # where an answer holds the next cursor or link
    more: Steps | None = None  # where an answer says whether more comes
    first: int = 1
    column: str = ""  # of the last row
    stable: bool = False  # rows never change their place: a page may be gone on from later


@dataclass(frozen=True, slots=True)
class SinceSpec:
    """How an API is asked for what changed since a moment or a number."""

    sent: Sent
    format: Format = "iso"
    first: str | None = None  # sent as it is while nothing was read; None: nothing is sent
    time_zone: str | None = None  # of times that say none


@dataclass(frozen=True, slots=True)
class Success:
    """An answer counts only where ``path`` holds one of ``values``."""

    path: Steps
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds a request and a reading. Times are seconds."""

    connect: float = 10.0
    read: float = 30.0  # between two parts of an answer
    total: float = 120.0  # for one answer, however it comes
    page_mb: int = 32
    pages: int = 100_000  # of one reading
    tries: int = 5
    patience: float = 300.0  # for one page, with all tries and waits


@dataclass(frozen=True, slots=True)
class HttpSpec:
    """All of it."""

    address: str
    request: RequestSpec = RequestSpec()
    auth: AuthSpec = AuthSpec()
    rows: Steps = ()
    paging: PagingSpec = PagingSpec()
    since: SinceSpec | None = None
    success: Success | None = None
    rate: float | None = None  # requests a second
    limits: Limits = Limits()

    def asked(self) -> str:
        """What a state is a place in: where this differs, reading begins anew."""
        parts = (self.address, self.request, self.rows, self.paging, self.since)
        return "\n".join(repr(part) for part in parts)


def parse_http(source: str, raw: Mapping[str, Any]) -> HttpSpec | None:
    """Read what the entry of a source says of an HTTP API; None: it is of another connector.

    Raises:
        DeclarationError: one key demands another, or excludes it. No address is quoted.
    """
    if raw["connector"] != HTTP:
        return None
    reader = _Reader(source, raw)
    return HttpSpec(
        address=reader.address(raw["location"], "location"),
        request=reader.request(),
        auth=reader.auth(),
        rows=_steps(raw.get("rows", ())),
        paging=reader.paging(),
        since=reader.since(),
        success=_success(raw.get("success")),
        rate=raw.get("rate"),
        limits=Limits(**raw.get("limits", {})),
    )


class _Reader:
    """Reads the parts of one entry."""

    def __init__(self, source: str, raw: Mapping[str, Any]) -> None:
        self._source, self._raw = source, raw
        self._asked: Mapping[str, Any] = raw.get("request", {})
        self._cursor = raw.get("cursor")

    def _wrong(self, rule: str, step: str, field: str) -> DeclarationError:
        return DeclarationError(self._source, rule, step, field=field)

    def address(self, text: str, field: str) -> str:
        url = _split(text)
        if url is None:
            raise self._wrong("not_a_web_address", "Write a URL that begins with https://.", field)
        if url.username is not None or url.query or url.fragment or url.password is not None:
            step = "Leave scheme, host and path. Parameters belong under request.query."
            raise self._wrong("address_parts", step, field)
        plain = url.scheme == "http" and not _is_loopback(url.hostname or "")
        if plain and not self._asked.get("allow_http", False):
            step = "Use https://, or declare request.allow_http: true."
            raise self._wrong("plain_http", step, field)
        return text

    def request(self) -> RequestSpec:
        said = self._asked
        headers = {name.lower(): text for name, text in said.get("headers", {}).items()}
        for name, text in headers.items():
            self._require_header(name, text)
        for name in said.get("query", {}):
            if _SECRET.search(name):
                raise self._wrong("secret_in_query", _SECRET_STEP, "request.query")
        if "body" in said and said.get("method", "GET") != "POST":
            step = "Declare method: POST, or remove the body."
            raise self._wrong("body_without_post", step, "request.body")
        return RequestSpec(
            method=said.get("method", "GET"),
            headers=tuple(sorted(headers.items())),
            query=tuple((n, _text(value)) for n, value in said.get("query", {}).items()),
            body=json.dumps(said["body"], ensure_ascii=False) if "body" in said else None,
            allow_http=said.get("allow_http", False),
        )

    def _require_header(self, name: str, text: str) -> None:
        field = "request.headers"
        if _SECRET.search(name):
            raise self._wrong("secret_in_headers", _SECRET_STEP, field)
        if name in _OURS or not _TOKEN.fullmatch(name):
            raise self._wrong("header_form", "Remove it: it cannot be chosen.", field)
        if not (text.isascii() and text.isprintable()):
            raise self._wrong("header_form", "Write printable ASCII on one line.", field)

    def auth(self) -> AuthSpec:
        said = self._raw.get("auth", {"type": "none"})
        kind: AuthType = said["type"]
        wanted = {"header": {"name"}, "query": {"name"}, "oauth2": {"token_url"}}.get(kind, set())
        allowed = wanted | ({"scopes", "send"} if kind == "oauth2" else set()) | {"type"}
        self._require_keys("auth", said, wanted, allowed)
        given = set(self._raw.get("credentials", {}))
        for name in CREDENTIALS[kind]:
            if name not in given:
                step = "Write where the secret lies: env:SOURCE_NAME, file:PATH or ring:NAME."
                raise self._wrong("key_missing", step, f"credentials.{name}")
        for name in sorted(given - set(CREDENTIALS[kind])):
            step = "Remove it, or declare the auth that uses it."
            raise self._wrong("credential_not_used", step, f"credentials.{name}")
        name = said.get("name", "")
        if kind == "header" and (name.lower() in _OURS or not _TOKEN.fullmatch(name)):
            raise self._wrong("header_form", "Write the name of the header.", "auth.name")
        token_url = said.get("token_url", "")
        if token_url:
            self.address(token_url, "auth.token_url")
        scopes = tuple(said.get("scopes", ()))
        return AuthSpec(kind, name, token_url, scopes, said.get("send", "basic"))

    def paging(self) -> PagingSpec:
        said = self._raw.get("paging", {"type": "none"})
        kind: PagingType = said["type"]
        must, may = _PAGING[kind]
        self._require_keys("paging", said, must, must | may | {"type"})
        return PagingSpec(
            type=kind,
            sent=Sent() if kind in _LINKED else self._sent("paging", said),
            path=_steps(said.get("path", ())),
            more=_steps(said["more"]) if "more" in said else None,
            first=said.get("first", 0 if kind == "offset" else 1),
            column=said.get("column", ""),
            stable=said.get("stable", False),
        )

    def since(self) -> SinceSpec | None:
        cursor = self._cursor if isinstance(self._cursor, Mapping) else {}
        said = cursor.get("since")
        incremental = self._raw.get("mode") == "incremental"
        if self._raw.get("mode") == "changes":
            raise self._wrong("mode_not_for_connector", "Write full or incremental.", "mode")
        if incremental != bool(said):
            step = "Declare both mode: incremental and cursor.since, or neither of them."
            raise self._wrong("since_and_mode", step, "cursor.since")
        if not said:
            return None
        first, counted = said.get("first"), said.get("format") in _COUNTED
        if first is not None and counted and not first.lstrip("-").isdecimal():
            raise self._wrong("wrong_form", "Write a whole number.", "cursor.since.first")
        spec = SinceSpec(
            sent=self._sent("cursor.since", said),
            format=said.get("format", "iso"),
            first=first,
            time_zone=self._zone(said.get("time_zone")),
        )
        if "column" not in cursor:
            self._require_clock(spec, cursor)
        return spec

    def _require_clock(self, spec: SinceSpec, cursor: Mapping[str, Any]) -> None:
        """Without a column, the moment a reading began is what the next one asks for."""
        if spec.format == "number":
            raise self._wrong("key_missing", "Name the column of the number.", "cursor.column")
        if spec.format in _NAIVE and spec.time_zone is None:
            step = "Name the time zone of the API, or the column of the rows."
            raise self._wrong("key_missing", step, "cursor.since.time_zone")
        if not cursor.get("overlap"):
            step = "Name the column of the rows, or an overlap: two clocks differ."
            raise self._wrong("overlap_missing", step, "cursor.overlap")

    def _zone(self, name: str | None) -> str | None:
        if name is None:
            return None
        try:
            return ZoneInfo(name).key
        except (ValueError, OSError, KeyError):
            pass
        step = "Write an IANA name, such as Asia/Shanghai."
        raise self._wrong("no_such_time_zone", step, "cursor.since.time_zone")

    def _sent(self, part: str, said: Mapping[str, Any]) -> Sent:
        if ("parameter" in said) == ("body_key" in said):
            step = "Name a parameter, or a body_key: one of the two."
            raise self._wrong("parameter_or_body_key", step, part)
        if "body_key" not in said:
            return Sent(parameter=said["parameter"])
        steps = _steps(said["body_key"])
        if not isinstance(json.loads(self.request().body or "null"), dict):
            step = "Declare method: POST and a body that is a mapping."
            raise self._wrong("body_missing", step, f"{part}.body_key")
        if not steps or not all(isinstance(one, str) for one in steps):
            raise self._wrong("path_form", "Name keys only.", f"{part}.body_key")
        return Sent(body=steps)

    def _require_keys(
        self, part: str, said: Mapping[str, Any], must: Collection[str], may: Collection[str]
    ) -> None:
        kind = said["type"]
        for key in sorted(set(must) - set(said)):
            raise self._wrong("key_missing", f"Add it: {kind} needs it.", f"{part}.{key}")
        for key in sorted(set(said) - set(may)):
            raise self._wrong("option_not_used", f"Remove it: {kind} has none.", f"{part}.{key}")


def _split(text: str) -> SplitResult | None:
    """The parts of a web address; None: it is none."""
    try:
        url = urlsplit(text)
        known = url.scheme in {"http", "https"} and url.hostname and url.port != 0
    except ValueError:
        return None
    whole = text.isprintable() and not any(letter.isspace() for letter in text)
    return url if known and whole else None


def _steps(path: Any) -> Steps:
    """A path as it is written: keys with dots between them, or a list of keys and indexes."""
    return tuple(path.split(".")) if isinstance(path, str) else tuple(path)


def _success(said: Mapping[str, Any] | None) -> Success | None:
    if said is None:
        return None
    return Success(_steps(said["path"]), tuple(_text(value) for value in said["values"]))


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
