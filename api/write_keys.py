"""From a request of an SDK to the source that its write key is for, and pages that may send.

Invariants, each named by a test in ``tests/integration/inbound/test_routes.py``:

1. A write key comes as Basic or Bearer credential, in the body, or for Sensors Analytics alone
   in the address, which no log of ours holds; whatever is wrong with it is never said.
2. A page may send only from an origin that the source declares; what is wrong with what it sent
   it may read.
3. One in a header or an address is looked at before the body, and before a turn is taken.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from fastapi import Request

from api.errors import origin_refused, write_key_refused
from cdp.resolution.inbound import Inbound
from connectors.record import Raw

LONGEST_KEY: Final = 256  # characters
_MAX_AGE: Final = "3600"  # seconds that a browser may remember what it was told of an origin


@dataclass(frozen=True, slots=True)
class Sender(Raw):
    """Who sends: the source, and the page's origin if a page does."""

    source: str
    connector: str
    origin: str | None = field(default=None, repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """What lets a page read the answer."""
        if self.origin is None:
            return {}
        return {
            "Access-Control-Allow-Origin": self.origin,
            "Access-Control-Expose-Headers": "Retry-After",
            "Vary": "Origin",
        }


def sender_of(
    request: Request, inbound: Inbound, connectors: frozenset[str], *, in_address: bool = False
) -> Sender | None:
    """Return who sends, by the write key beside the body; None where there is none.

    Args:
        request: whose headers are read.
        inbound: knows the keys.
        connectors: of the sources that are sent to here.
        in_address: whether a key may stand in the address too.

    Raises:
        Problem: 401 for every key that is not good; 403 for a page of another origin.
        Retry: the keys cannot be read right now.
    """
    key = _of_header(request) or (request.query_params.get("token", "") if in_address else "")
    return _sender(request, inbound, key, connectors) if key else None


def sender_in(
    request: Request, inbound: Inbound, body: object, connectors: frozenset[str]
) -> Sender:
    """Return who sends, by the write key in a parsed body.

    Raises:
        Problem, Retry: as ``sender_of``; 401 also where there is none.
    """
    found = body.get("writeKey") if isinstance(body, Mapping) else None
    return _sender(request, inbound, found if isinstance(found, str) else "", connectors)


def _sender(request: Request, inbound: Inbound, key: str, connectors: frozenset[str]) -> Sender:
    source = inbound.source(key, connectors) if 0 < len(key) <= LONGEST_KEY else None
    if source is None:
        raise write_key_refused()
    origin = request.headers.get("origin")
    if origin is not None and origin not in inbound.origins(source):
        raise origin_refused()
    request.state.principal = source
    return Sender(source, inbound.connector(source), origin)


def preflight(request: Request, inbound: Inbound) -> Mapping[str, str]:
    """Return what lets a page of a declared origin send.

    Raises:
        Problem: 403 for any other origin.
    """
    origin = request.headers.get("origin")
    if origin is None or origin not in inbound.origins():
        raise origin_refused()
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Methods": "POST",
        "Access-Control-Allow-Headers": "Authorization, Content-Type, Content-Encoding",
        "Access-Control-Max-Age": _MAX_AGE,
        "Vary": "Origin",
    }


def _of_header(request: Request) -> str:
    scheme, _, credential = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return credential.strip()
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(credential, validate=True).decode().partition(":")[0]
    except ValueError:  # it is not base 64, not ASCII, or not UTF-8
        return ""
