"""What a webhook claims of itself: what was signed, when, and under which name. Pure; no key.

``standard`` is Standard Webhooks 1.0 (https://www.standardwebhooks.com), symmetric: the signature
is of ``id.timestamp.body``. ``hmac`` is HMAC-SHA-256 of the body or, where a header of a timestamp
is declared, of timestamp, separator and body.

Invariants, each named by a test in ``tests/unit/connectors/hooks/test_claims.py``:

1. Whatever was sent is a claim: one that lacks a part, or is no signature at all, is a claim that
   no key fits, so that it is looked at like any other.
2. What is signed holds the body as it was sent, packed or not.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from connectors.hooks.declaration import SignatureSpec
from connectors.record import Raw, Sensitive

DIGEST: Final = 32  # bytes of HMAC-SHA-256
MOST: Final = 8  # signatures of one message that are looked at
LEAST_KEY: Final = 24  # bytes, by the specification of Standard Webhooks
_NOTHING: Final = b""
_ID: Final = re.compile(r"[!-~]{1,256}")
_SECONDS: Final = re.compile(r"[0-9]{1,12}")
_PREFIX: Final = "whsec_"
_REASON: Final = "look at the signature of a webhook"


@dataclass(frozen=True, slots=True)
class Claim(Raw):
    """One message that says whose it is.

    Attributes:
        signed: what the signature is of.
        signatures: of 32 bytes each; none where none can be read.
        name: the sender's own name of the message, where it is signed.
        at: when it was signed, seconds since 1970, where that is signed.
        whole: False: a part is missing, and no signature is good.
    """

    signed: bytes = field(repr=False)
    signatures: tuple[bytes, ...] = field(repr=False)
    name: str | None = field(default=None, repr=False)
    at: int | None = None
    whole: bool = True


def claim_of(spec: SignatureSpec, headers: Mapping[str, str], body: bytes) -> Claim:
    """Read what a message claims.

    Args:
        spec: how its source signs.
        headers: names in lower case.
        body: as it was sent.
    """
    return _standard(headers, body) if spec.scheme == "standard" else _plain(spec, headers, body)


def key_of(spec: SignatureSpec, secret: Sensitive) -> bytes | None:
    """The key in a secret; None: it is none of this scheme."""
    text = secret.reveal(reason=_REASON)
    if spec.scheme == "hmac":
        return text.encode() if text.strip() else None
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if len(key) >= LEAST_KEY else None


def _standard(headers: Mapping[str, str], body: bytes) -> Claim:
    name = headers.get("webhook-id", "")
    at = headers.get("webhook-timestamp", "")
    found = [
        _decoded(one.removeprefix("v1,"), "base64")
        for one in headers.get("webhook-signature", "").split(" ")[:MOST]
        if one.startswith("v1,")
    ]
    if not _ID.fullmatch(name) or not _SECONDS.fullmatch(at):
        return Claim(body, (), whole=False)
    signed = f"{name}.{at}.".encode() + body
    return Claim(signed, tuple(one for one in found if one), name, int(at))


def _plain(spec: SignatureSpec, headers: Mapping[str, str], body: bytes) -> Claim:
    sent = headers.get(spec.header, "").strip()
    found = _decoded(sent.removeprefix(spec.prefix), spec.encoding)
    signatures = (found,) if found and sent.startswith(spec.prefix) else ()
    if spec.timestamp_header is None:
        return Claim(body, signatures)
    at = headers.get(spec.timestamp_header, "").strip()
    if not _SECONDS.fullmatch(at):
        return Claim(body, (), whole=False)
    return Claim(f"{at}{spec.separator}".encode() + body, signatures, at=int(at))


def _decoded(text: str, encoding: str) -> bytes:
    """The 32 bytes of a signature; nothing where it is none."""
    try:
        found = bytes.fromhex(text) if encoding == "hex" else base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return _NOTHING
    return found if len(found) == DIGEST else _NOTHING
