"""How the rows of an HTTP API are asked for: request, authentication, rows, paging, limits.

The form is checked by ``declaration.schema.json``; what one key demands of another is checked
here. A secret never stands in a declaration: a header or a parameter that is named like one is
refused.
"""

import ipaddress
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo

from connectors.errors import DeclarationError
from connectors.http_auth_declaration import (
    SECRET_STEP,
    AuthSpec,
    Steps,
    Words,
    is_header,
    is_secret,
    parse_auth,
    require_keys,
    steps_of,
    text_of,
    words_of,
)

HTTP: Final = "http"
Method = Literal["GET", "POST"]
PagingType = Literal["none", "page", "offset", "cursor", "next", "link", "keyset"]
Format = Literal["iso", "plain", "date", "epoch_s", "epoch_ms", "number"]

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


# In a body "key" and "token" are often the name of something else, such as a page token.
_SECRET_IN_BODY: Final = re.compile(
    r"(?i)(api|access|app|private|secret|subscription)[-_]?(key|token)$|secret|passw|"
    r"authorization|credential"
)


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
    auth: AuthSpec = field(default_factory=AuthSpec)
    rows: Steps = ()
    paging: PagingSpec = PagingSpec()
    since: SinceSpec | None = None
    success: Words | None = None  # an answer counts only where it says so
    busy: Words | None = None  # an answer that says so is asked for again, later
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
    reader.require_once()
    return HttpSpec(
        address=reader.address(raw["location"], "location"),
        request=reader.request(),
        auth=reader.auth(),
        rows=steps_of(raw.get("rows", ())),
        paging=reader.paging(),
        since=reader.since(),
        success=words_of(raw.get("success")),
        busy=words_of(raw.get("busy")),
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

    def require_once(self) -> None:
        """Refuse two values under one name: one of them would never be sent."""
        auth, cursor = self._raw.get("auth", {}), self._cursor
        since = cursor.get("since", {}) if isinstance(cursor, Mapping) else {}
        carried = {"query": auth.get("name"), "token": auth.get("parameter")}.get(auth.get("type"))
        taken = {carried} if carried is not None else set()
        step = "Name another parameter: one of the two would not be sent."
        for part, said in (("cursor.since", since), ("paging", self._raw.get("paging", {}))):
            name = said.get("parameter")
            if name in taken:
                raise self._wrong("name_taken", step, f"{part}.parameter")
            taken |= {name} if name is not None else set()
        headers = {name.lower() for name in self._asked.get("headers", {})}
        own = {"header": auth.get("name"), "token": auth.get("header")}.get(auth.get("type"))
        if own is not None and own.lower() in headers:
            raise self._wrong("name_taken", "Remove it there: auth sends it.", "request.headers")

    def request(self) -> RequestSpec:
        said = self._asked
        headers = {name.lower(): text for name, text in said.get("headers", {}).items()}
        for name, text in headers.items():
            self._require_header(name, text)
        for name in said.get("query", {}):
            if is_secret(name):
                raise self._wrong("secret_in_query", SECRET_STEP, "request.query")
        if "body" in said and said.get("method", "GET") != "POST":
            step = "Declare method: POST, or remove the body."
            raise self._wrong("body_without_post", step, "request.body")
        if any(_SECRET_IN_BODY.search(name) for name in _keys(said.get("body"))):
            raise self._wrong("secret_in_body", SECRET_STEP, "request.body")
        return RequestSpec(
            method=said.get("method", "GET"),
            headers=tuple(sorted(headers.items())),
            query=tuple((n, text_of(value)) for n, value in said.get("query", {}).items()),
            body=json.dumps(said["body"], ensure_ascii=False) if "body" in said else None,
            allow_http=said.get("allow_http", False),
        )

    def _require_header(self, name: str, text: str) -> None:
        field = "request.headers"
        if is_secret(name):
            raise self._wrong("secret_in_headers", SECRET_STEP, field)
        if not is_header(name):
            raise self._wrong("header_form", "Remove it: it cannot be chosen.", field)
        if not (text.isascii() and text.isprintable()):
            raise self._wrong("header_form", "Write printable ASCII on one line.", field)

    def auth(self) -> AuthSpec:
        spec = parse_auth(self._raw, self._wrong)
        if spec.token_url:
            self.address(spec.token_url, "auth.token_url")
        return spec

    def paging(self) -> PagingSpec:
        said = self._raw.get("paging", {"type": "none"})
        kind: PagingType = said["type"]
        must, may = _PAGING[kind]
        require_keys("paging", said, must, must | may | {"type"}, self._wrong)
        return PagingSpec(
            type=kind,
            sent=Sent() if kind in _LINKED else self._sent("paging", said),
            path=steps_of(said.get("path", ())),
            more=steps_of(said["more"]) if "more" in said else None,
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
        if not said and cursor.get("overlap"):
            raise self._wrong("option_not_used", "Remove it, or say since.", "cursor.overlap")
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
        steps = steps_of(said["body_key"])
        if not isinstance(json.loads(self.request().body or "null"), dict):
            step = "Declare method: POST and a body that is a mapping."
            raise self._wrong("body_missing", step, f"{part}.body_key")
        if not steps or not all(isinstance(one, str) for one in steps):
            raise self._wrong("path_form", "Name keys only.", f"{part}.body_key")
        return Sent(body=steps)


def _split(text: str) -> SplitResult | None:
    """The parts of a web address; None: it is none."""
    try:
        url = urlsplit(text)
        known = url.scheme in {"http", "https"} and url.hostname and url.port != 0
    except ValueError:
        return None
    whole = text.isprintable() and not any(letter.isspace() for letter in text)
    return url if known and whole else None


def _keys(body: Any) -> Iterator[str]:
    """The keys of a body, however deep."""
    items = body.values() if isinstance(body, Mapping) else body if isinstance(body, list) else ()
    if isinstance(body, Mapping):
        yield from body
    for item in items:
        yield from _keys(item)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
