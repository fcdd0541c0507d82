"""What happens to every request, whatever its route.

Invariants, each named by a test in ``tests/integration/api``:

1. Every answer carries the security headers and a request id that we made. Where a standard
   lets the caller name the request (AuthZEN), that name stands in ``X-Request-ID`` and ours in
   ``Kith-Request-ID``.
2. A body beyond the limit, or one that does not come in time, is refused before it is read
   further; nothing parses it.
3. The access log holds method, route template, status, time, request id and principal:
   no path, no query string, no header, no body.
4. An error that nobody expected is logged by its type, place and number, without its
   message, for a message may quote a value; the caller gets a problem with that number.
"""

import asyncio
import json
import re
import time
from typing import Final
from uuid import uuid4

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import MEDIA_TYPE, content, crashed
from api.routes import inbound
from cdp import logs
from connectors.events.body import BATCH_LIMIT
from connectors.hooks.rows import LIMIT as HOOK_LIMIT

BODY_LIMIT: Final = 16 * 1024
"""Bytes. The largest honest body, a reveal with its reason, has less than one thousand."""

RECORDS_LIMIT: Final = 512 * 1024
"""Bytes of records sent at once: the most of them, with five thousand bytes each."""
_RECORDS: Final = re.compile(r"/v1/sources/[^/]+/records")
_INBOUND: Final = frozenset(inbound.PATHS)
_HOOKS: Final = re.compile(r"/v1/hooks/[^/]+")
BODY_SECONDS: Final = 30.0
"""For a whole body: a batch of an SDK in this time needs 17 KB a second."""
_NAMED_BY_CALLERS: Final = "/access/v1/"  # paths of requests that their callers may name
_NAME: Final = re.compile(rb"[!-~]{1,128}")

_HEADERS: Final = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
)
_log = logs.get_logger("kith.api")


class Edge:
    """The outermost part of the application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; anything but HTTP goes straight through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, send)
        try:
            limit = _limit(scope["path"])
            body = await _timely_body(scope, receive, limit)
            if body is None:
                await exchange.refuse(413, "body_too_large", f"Send at most {limit} bytes.")
            else:
                await self._app(scope, _replay(body, receive), exchange.send)
        except _Gone:
            exchange.status = 499
        except _TooSlow:
            await exchange.refuse(408, "body_too_slow", f"Send it within {BODY_SECONDS:g} seconds.")
        except Exception as error:  # noqa: BLE001 - the last place that can keep it from the log
            exchange.failed(error)
            if not exchange.started:
                await exchange.refuse(500, *crashed(error))
        finally:
            exchange.log()


class _Gone(Exception):  # noqa: N818 - not an error: the caller hung up
    """The caller went away before the body was complete."""


class _TooSlow(Exception):  # noqa: N818 - not an error of ours
    """The body did not come in time."""


class _Exchange:
    """One request and its answer."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope = scope
        self._send = send
        self._began = time.perf_counter()
        self._id = uuid4().hex
        self.status = 0
        self.started = False
        scope.setdefault("state", {})["request_id"] = self._id
        self._named = _named(scope, self._id.encode())

    async def send(self, message: Message) -> None:
        """Send a part of the answer, the first with our headers."""
        if message["type"] == "http.response.start":
            self.started = True
            self.status = message["status"]
            headers = [*message.get("headers", []), *_HEADERS, *self._named]
            message = {**message, "headers": headers}
        await self._send(message)

    async def refuse(self, status: int, code: str, detail: str) -> None:
        """Answer with a problem, without the application."""
        body = json.dumps(content(status, code, detail, self._id)).encode()
        headers = [
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),  # the rest of the body stays unread
        ]
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})

    def failed(self, error: Exception) -> None:
        """Log an unexpected error without its message."""
        self.status = self.status or 500
        _log.error("unexpected_error", exc_info=error, request_id=self._id)

    def log(self) -> None:
        """Write the line of the access log."""
        state = self._scope["state"]
        _log.info(
            "request",
            method=self._scope["method"] if self._scope["method"].isalpha() else "?",
            route=getattr(self._scope.get("route"), "path", "none"),
            status=self.status,
            milliseconds=round((time.perf_counter() - self._began) * 1000, 1),
            request_id=self._id,
            principal=state.get("principal"),
        )


def _named(scope: Scope, ours: bytes) -> list[tuple[bytes, bytes]]:
    """Return the headers that name the request."""
    if scope["path"].startswith(_NAMED_BY_CALLERS):
        theirs = dict(scope["headers"]).get(b"x-request-id", b"")
        if _NAME.fullmatch(theirs):
            return [(b"x-request-id", theirs), (b"kith-request-id", ours)]
    return [(b"x-request-id", ours)]


def _limit(path: str) -> int:
    """How many bytes a body may have."""
    if path in _INBOUND:
        return BATCH_LIMIT
    if _HOOKS.fullmatch(path):
        return HOOK_LIMIT
    return RECORDS_LIMIT if _RECORDS.fullmatch(path) else BODY_LIMIT


async def _timely_body(scope: Scope, receive: Receive, limit: int) -> bytes | None:
    """Read the body as `_whole_body` does, and give up on who sends it drop by drop."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await _whole_body(scope, receive, limit)
    except TimeoutError:
        raise _TooSlow from None


async def _whole_body(scope: Scope, receive: Receive, limit: int) -> bytes | None:
    """Read the body; None when it is, or says it is, beyond the limit."""
    declared = dict(scope["headers"]).get(b"content-length", b"0")
    if not declared.isdigit() or len(declared) > 9 or int(declared) > limit:
        return None
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Gone
        part: bytes = message.get("body", b"")
        body += part
        if len(body) > limit:
            return None
        if not message.get("more_body", False):
            return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Hand the body on once, and what the server says afterwards."""
    handed = False

    async def again() -> Message:
        nonlocal handed
        if handed:
            return await receive()
        handed = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
