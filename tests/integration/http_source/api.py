"""A real HTTP API on this machine, which answers as told, and feeds that read it."""

import gc
import http.server
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

from connectors.base import Deleted, Delivery, Mark, State
from connectors.credentials import Credentials
from connectors.declaration import parse_source
from connectors.record import Record, Rejection, Sensitive
from connectors.sources.http_feed import HttpFeed
from connectors.sources.http_trying import Ways

WHY = "read in a test"
NOW = 1_772_409_600.0  # 2026-03-02T00:00:00Z
SECRETS = {
    "token": "canary-secret-token",
    "user": "canary-secret-user",
    "password": "canary-secret-password",
    "key": "canary-secret-key",
    "client_id": "canary-secret-client",
    "client_secret": "canary-secret & more",
}
MEMBERS: dict[str, Any] = {
    "connector": "http",
    "rows": "data",
    "record_id": "id",
    "fields": {"name": "name", "phone": "phone"},
}


@dataclass
class Asked:
    """One request, as it came."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]  # names in lower case
    body: bytes

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)


@dataclass
class Reply:
    """One answer. Bytes go as they are, anything else as JSON; parts are sent one by one."""

    content: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    parts: Iterable[bytes] | None = None

    def body(self) -> bytes:
        """The content as bytes."""
        if isinstance(self.content, bytes):
            return self.content
        return json.dumps(self.content, ensure_ascii=False).encode()


BROKEN = Reply(status=0)  # the connection is hung up
Answering = Callable[[Asked], Reply]


class Api:
    """An HTTP server on a port of its own. ``faults`` are answered first, one a request."""

    def __init__(self, answering: Answering, tls: ssl.SSLContext | None = None) -> None:
        self.answering = answering
        self.faults: list[Reply | None] = []  # None: this one is answered as usual
        self.asked: list[Asked] = []
        handler = type("Handler", (_Handler,), {"api": self})
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.host = f"127.0.0.1:{self._server.server_port}"
        self.url = f"http{'' if tls is None else 's'}://{self.host}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def left_open(self) -> int:
        """Connections to this server that nobody has closed."""
        found = [one for one in gc.get_objects() if type(one) is socket.socket]
        return sum(_is_to(one, self._server.server_port) for one in found)

    def answer(self, asked: Asked) -> Reply:
        """The next answer."""
        self.asked.append(asked)
        fault = self.faults.pop(0) if self.faults else None
        return fault or self.answering(asked)


def _is_to(one: socket.socket, port: int) -> bool:
    try:
        local = one.family == socket.AF_UNIX  # such as the database: its peer has no port
        return not local and one.fileno() >= 0 and one.getpeername()[1] == port
    except OSError:
        return False


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    api: Api

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        parts = urlsplit(self.path)
        headers = {name.lower(): text for name, text in self.headers.items()}
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        reply = self.api.answer(Asked(self.command, parts.path, query, headers, body))
        try:
            self._send(reply)
        except OSError:
            self.close_connection = True  # who asked has hung up

    do_POST = do_GET  # noqa: N815 - the name that http.server looks for

    def _send(self, reply: Reply) -> None:
        if reply.status == 0 or reply.parts is not None:
            self.close_connection = True
            for part in reply.parts or ():
                self.wfile.write(part)
            return
        body = reply.body()
        self.send_response(reply.status)
        length = {"content-length": str(len(body))}
        for name, text in {**length, **reply.headers}.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)

    def date_time_string(self, timestamp: float | None = None) -> str:
        del timestamp
        return super().date_time_string(NOW)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        del format, args


@dataclass
class World:
    """The time of a feed: sleeping only moves the clock."""

    at: float = NOW
    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.slept.append(round(seconds, 3))
        self.at += seconds

    def ways(self) -> Ways:
        """What a feed gets of it."""
        return Ways(lambda: self.at, lambda: self.at, self.sleep, lambda: 0.0)


def entry(api: Api, **more: Any) -> dict[str, Any]:
    """A declaration over ``api``; None leaves a key out. Credentials follow from auth."""
    found = {**MEMBERS, "location": f"{api.url}/members", **more}
    names = {
        "bearer": ("token",),
        "basic": ("user", "password"),
        "header": ("key",),
        "query": ("key",),
        "oauth2": ("client_id", "client_secret"),
    }.get(found.get("auth", {}).get("type"), ())
    if names:
        found.setdefault("credentials", {one: f"env:SOURCE_{one.upper()}" for one in names})
    return {name: value for name, value in found.items() if value is not None}


def feed_of(api: Api, world: World | None = None, **more: Any) -> HttpFeed:
    """A feed over ``api``, in a time of its own."""
    declaration = parse_source("crm", entry(api, **more))
    credentials = Credentials(
        "crm", declaration.credentials, lambda one: Sensitive(SECRETS[one.name[7:].lower()])
    )
    return HttpFeed(declaration, credentials, (world or World()).ways())


def row(number: int, minute: int | None = None, **more: Any) -> dict[str, Any]:
    """A member, changed at a minute of a morning."""
    minute = number if minute is None else minute
    changed = f"2026-03-01T08:{minute:02}:00Z"
    phone = f"139{number:08}"
    return {"id": number, "name": f"张敏{number}", "phone": phone, "changed": changed, **more}


def said(one: Delivery) -> str:
    """One delivery in short words."""
    if isinstance(one, Record):
        return one.record_id.reveal(reason=WHY)
    if isinstance(one, Deleted):
        return f"-{one.record_id.reveal(reason=WHY)}"
    if isinstance(one, Mark):
        return "|"
    return f"!{one.rule}" if isinstance(one, Rejection) else "?"


def read(feed: HttpFeed, state: State | None = None) -> tuple[str, State]:
    """What a feed gives since a state, in short words, and its last state."""
    given = list(feed.read(state))
    marks = [one.state for one in given if isinstance(one, Mark)]
    return " ".join(map(said, given)), marks[-1]


def states(deliveries: Sequence[Delivery]) -> list[State]:
    """The states among deliveries."""
    return [one.state for one in deliveries if isinstance(one, Mark)]


# ── ways of giving pages ────────────────────────────────────────────────────


def paged(rows: Sequence[Any], style: str, size: int = 2) -> Answering:
    """An API that gives pages of ``rows``, changed since ``since`` if asked, in one style."""

    def answering(asked: Asked) -> Reply:
        since = asked.query.get("since", "")
        mine = [one for one in rows if not since or (one["changed"] or "9") >= since]
        return _STYLES[style](asked, mine, size)

    return answering


def _page(asked: Asked, rows: list[Any], size: int) -> Reply:
    start = (int(asked.query["page"]) - 1) * size
    return Reply({"data": rows[start : start + size], "more": start + size < len(rows)})


def _offset(asked: Asked, rows: list[Any], size: int) -> Reply:
    start = int(asked.query["offset"])
    return Reply({"data": rows[start : start + size]})


def _cursor(asked: Asked, rows: list[Any], size: int) -> Reply:
    word = asked.query.get("after") or (json.loads(asked.body or b"{}") or {}).get("after")
    start = int(str(word or "at-0").removeprefix("at-"))
    more = start + size < len(rows)
    return Reply({"data": rows[start : start + size], "next": f"at-{start + size}" if more else ""})


def _next(asked: Asked, rows: list[Any], size: int) -> Reply:
    start = int(asked.query.get("start", 0))
    link = f"?{_behind(asked, start + size)}" if start + size < len(rows) else None
    return Reply({"data": rows[start : start + size], "next": link})


def _link(asked: Asked, rows: list[Any], size: int) -> Reply:
    start = int(asked.query.get("start", 0))
    link = f'</members?start=0>; rel="first", <http://{asked.headers["host"]}/members'
    link += f'?{_behind(asked, start + size)}>; rel="next"'
    headers = {"Link": link} if start + size < len(rows) else {}
    return Reply({"data": rows[start : start + size]}, headers=headers)


def _behind(asked: Asked, start: int) -> str:
    return urlencode({**asked.query, "start": start})


def _keyset(asked: Asked, rows: list[Any], size: int) -> Reply:
    after = int(asked.query.get("after", -1))
    return Reply({"data": sorted((r for r in rows if r["id"] > after), key=_id)[:size]})


def _id(one: dict[str, Any]) -> int:
    return int(one["id"])


def _none(asked: Asked, rows: list[Any], size: int) -> Reply:
    del asked, size
    return Reply({"data": rows})


_STYLES: dict[str, Callable[[Asked, list[Any], int], Reply]] = {
    "page": _page,
    "offset": _offset,
    "cursor": _cursor,
    "next": _next,
    "link": _link,
    "keyset": _keyset,
    "none": _none,
}
PAGINGS: dict[str, dict[str, Any]] = {
    "none": {"type": "none"},
    "page": {"type": "page", "parameter": "page", "stable": True},
    "offset": {"type": "offset", "parameter": "offset", "stable": True},
    "cursor": {"type": "cursor", "path": "next", "parameter": "after"},
    "next": {"type": "next", "path": "next"},
    "link": {"type": "link"},
    "keyset": {"type": "keyset", "column": "id", "parameter": "after"},
}
INCREMENTAL: dict[str, Any] = {
    "mode": "incremental",
    "cursor": {"column": "changed", "overlap": 60, "since": {"parameter": "since"}},
}
