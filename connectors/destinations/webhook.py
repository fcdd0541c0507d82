"""Deliver one event by HTTP POST: the one module here that imports httpx.

The body is a CloudEvents 1.0 event in structured mode, signed after Standard Webhooks.

Invariants, each named by a test in ``tests/unit/connectors/test_webhook.py``:

1. Nothing is sent in the clear to another machine unless the declaration says ``allow_http``.
2. A redirect is never followed: the receiver is the one that was declared.
3. The id of a message is the same in every attempt; timestamp and signature are of the attempt.
4. No error shows the address, the secret or the data.
5. What the receiver answers is bounded in size and time, and is not interpreted.
"""

import json
import re
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import httpx

from connectors.base import Message
from connectors.destination_declaration import DestinationDeclaration, require_web_address
from connectors.destinations.signature import is_message_id, signature, signing_key
from connectors.errors import ConnectorError, Retry, Skip, Stop
from connectors.record import Sensitive

CONTENT_TYPE: Final = "application/cloudevents+json"
MAX_BODY: Final = 1024 * 1024  # bytes sent
MAX_ANSWER: Final = 64 * 1024  # bytes read, so that the connection can be used again
MAX_WAIT: Final = 24 * 60 * 60.0  # seconds of Retry-After that are believed
_RETRY: Final = frozenset({408, 429})
_DIGITS: Final = re.compile(r"[0-9]{1,9}")


class WebhookDestination:
    """One receiver. Safe to share between threads: httpx.Client is, and nothing else changes."""

    def __init__(
        self,
        declaration: DestinationDeclaration,
        secrets: Sequence[Sensitive],
        *,
        clock: Callable[[], datetime],
        origin: str = "/kith",
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Prepare; nothing is sent.

        Args:
            declaration: of connector webhook.
            secrets: ``whsec_`` secrets, the newest first; more than one while replacing it.
            clock: gives the present with a time zone.
            origin: CloudEvents ``source``, a URI reference of this workspace.
            transport: another way to send, for tests.

        Raises:
            Stop: when the address is refused or a secret is not one.
        """
        require_web_address(declaration)
        keys = [signing_key(secret) for secret in secrets]
        self._keys = [key for key in keys if key is not None]
        if not keys or len(keys) != len(self._keys):
            raise Stop(
                declaration.name,
                "secret_form",
                "Set a secret of whsec_ and the base64 of 24 to 64 random bytes.",
            )
        try:
            self._url = httpx.URL(declaration.location)
        except httpx.InvalidURL:  # from None: it quotes the address
            step = "Correct the location."
            raise Stop(declaration.name, "not_a_web_address", step) from None
        self._declaration = declaration
        self._clock = clock
        self._origin = origin
        self._client = httpx.Client(
            follow_redirects=False,
            trust_env=False,  # a proxy in the environment would see the data
            timeout=declaration.timeout,
            transport=transport,
            headers={"user-agent": "kith-webhook/1"},
        )

    def __repr__(self) -> str:
        return f"WebhookDestination({self.name!r})"

    @property
    def name(self) -> str:
        """The name the declaration gives the destination."""
        return self._declaration.name

    def deliver(self, message: Message) -> None:
        """POST one message; returns when the receiver answers 2xx.

        Raises:
            Retry: on 408, 429, 5xx, a time-out or a broken connection; ``after`` has Retry-After.
            Stop: on a redirect, 410 or another 4xx.
            Skip: when the message itself can never be sent.
        """
        body = self._envelope(message)
        now = self._clock()
        timestamp = int(now.timestamp())
        headers = {
            "content-type": CONTENT_TYPE,
            "webhook-id": message.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(self._keys, message.id, timestamp, body),
        }
        answer = self._post(body, headers)
        if not answer.is_success:
            raise self._refusal(answer, now)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _envelope(self, message: Message) -> bytes:
        if not is_message_id(message.id) or message.time.tzinfo is None:
            raise Skip(
                self.name, "message_form", "Use an id of letters, digits, _ and -, and a time zone."
            )
        event = {
            "specversion": "1.0",
            "id": message.id,
            "source": self._origin,
            "type": message.type,
            "subject": message.subject,
            "time": message.time.astimezone(UTC).isoformat().replace("+00:00", "Z"),
            "datacontenttype": "application/json",
            "data": message.data,
        }
        try:
            text = json.dumps(event, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
            body = text.encode()
        except (TypeError, ValueError, RecursionError):
            # from None: the encoder's error may quote the data
            raise Skip(self.name, "not_json", "Put plain JSON values in the message.") from None
        if len(body) > MAX_BODY:
            raise Skip(self.name, "message_too_large", f"Send at most {MAX_BODY} bytes.")
        return body

    def _post(self, body: bytes, headers: dict[str, str]) -> httpx.Response:
        try:
            with self._client.stream("POST", self._url, content=body, headers=headers) as answer:
                self._drain(answer)
                return answer
        except httpx.TimeoutException:
            raise Retry(self.name, "timeout", "Look whether the receiver is slow.") from None
        except httpx.HTTPError:
            raise Retry(self.name, "unreachable", "Look whether the receiver is up.") from None

    def _drain(self, answer: httpx.Response) -> None:
        """Read a short answer to its end, so that the connection stays usable."""
        deadline = time.monotonic() + self._declaration.timeout
        size = 0
        try:
            for chunk in answer.iter_raw():
                size += len(chunk)
                if size > MAX_ANSWER or time.monotonic() > deadline:
                    return
        except httpx.HTTPError:
            return  # the status has come, and it decides

    def _refusal(self, answer: httpx.Response, now: datetime) -> ConnectorError:
        status = answer.status_code
        rule = f"http_{status}"
        if status in _RETRY or status >= 500:
            after = retry_after(answer.headers.get("retry-after", ""), now)
            return Retry(self.name, rule, "Try again later.", after=after)
        if 300 <= status < 400:
            step = "Declare the address the receiver has moved to."
            return Stop(self.name, "redirect_refused", step)
        if status == 410:
            return Stop(self.name, rule, "The receiver wants no more events: remove it.")
        return Stop(self.name, rule, "Ask the receiver why, then correct the declaration.")


def retry_after(header: str, now: datetime) -> float | None:
    """Seconds in a Retry-After header (RFC 9110, 10.2.3: seconds or a date), 0 to one day."""
    header = header.strip()
    if _DIGITS.fullmatch(header):
        return min(float(header), MAX_WAIT)
    try:
        until = parsedate_to_datetime(header)
    except (ValueError, OverflowError):  # a year or a zone of many digits
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return min(max((until - now).total_seconds(), 0.0), MAX_WAIT)
