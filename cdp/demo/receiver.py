"""A real webhook receiver on this machine, for the demo and the tests.

It keeps what it got and answers 204, or fails on demand. Signatures are checked by the
independent ``standardwebhooks`` library, not by code of Kith.
"""

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Self

from cdp.errors import Stop
from connectors.record import Raw, Sensitive

MAX_BODY = 1024 * 1024


@dataclass(frozen=True, slots=True, repr=False)
class Received(Raw):
    """One request, as it came."""

    headers: Mapping[str, str]  # names in lower case
    body: bytes = field(repr=False)
    status: int  # what was answered

    @property
    def id(self) -> str:
        """The id of the message; the same in every attempt."""
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict[str, Any]:
        """The CloudEvent in the body."""
        content: dict[str, Any] = json.loads(self.body)
        return content


class Receiver:
    """Listens on a free port of the loopback interface while it is entered."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._received: list[Received] = []
        self._failures: list[tuple[int, Mapping[str, str]]] = []
        self._server = _Server(self)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Where to send; known before it is entered."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/hook"

    def fail(self, count: int, status: int = 500, headers: Mapping[str, str] | None = None) -> None:
        """Answer the next ``count`` requests with ``status`` instead of accepting them."""
        with self._lock:
            self._failures += [(status, headers or {})] * count

    @property
    def received(self) -> list[Received]:
        """Everything that came, refused attempts too, in the order of arrival."""
        with self._lock:
            return list(self._received)

    @property
    def accepted(self) -> list[Received]:
        """What was accepted, each message id once, as a careful receiver keeps it."""
        first: dict[str, Received] = {}
        for one in self.received:
            if one.status < 300:
                first.setdefault(one.id, one)
        return list(first.values())

    def people(self) -> dict[str, dict[str, Any]]:
        """What the receiver knows now: data by profile id, after every accepted message."""
        known: dict[str, dict[str, Any]] = {}
        for one in self.accepted:
            event = one.event
            if ".removed." in event["type"]:
                known.pop(event["subject"], None)
            else:
                known[event["subject"]] = event["data"]
        return known

    def keep(self, headers: Mapping[str, str], body: bytes) -> tuple[int, Mapping[str, str]]:
        """Write down a request; return what to answer."""
        with self._lock:
            status, answer = self._failures.pop(0) if self._failures else (204, {})
            self._received.append(Received(headers, body, status))
        return status, answer


def count_verified(received: list[Received], secret: Sensitive) -> int:
    """Count the messages whose signature the ``standardwebhooks`` library accepts.

    Raises:
        Stop: the library is not installed.
    """
    try:
        from standardwebhooks.webhooks import (  # noqa: PLC0415 - of the dev extra, not the product
            Webhook,
            WebhookVerificationError,
        )
    except ImportError as error:
        raise Stop("standardwebhooks_missing", "run: pip install standardwebhooks") from error
    verifier = Webhook(secret.reveal(reason="verify signatures as the receiver does"))
    verified = 0
    for one in received:
        try:
            verifier.verify(one.body, dict(one.headers))
        except WebhookVerificationError:
            continue
        verified += 1
    return verified


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections are used again
    # An answer must not wait for an acknowledgement.
    disable_nagle_algorithm: ClassVar[bool] = True
    server: _Server

    def do_POST(self) -> None:
        length = min(int(self.headers.get("content-length") or 0), MAX_BODY)
        body = self.rfile.read(length)
        headers = {name.lower(): value for name, value in self.headers.items()}
        status, answer = self.server.receiver.keep(headers, body)
        self.send_response(status)
        for name, value in answer.items():
            self.send_header(name, value)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing: a log line would hold the request."""
