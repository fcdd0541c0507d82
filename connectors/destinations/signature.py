"""Standard Webhooks 1.0 signatures (https://www.standardwebhooks.com), symmetric variant.

``webhook-signature`` is ``v1,`` and the base64 of HMAC-SHA256 over ``id.timestamp.body``. While a
secret is being replaced, one signature for each secret is sent, separated by a space.
"""

import base64
import binascii
import re
from collections.abc import Iterable
from typing import Final

from connectors.digests import hmac_sha256
from connectors.record import Sensitive

PREFIX: Final = "whsec_"
MIN_KEY: Final = 24  # bytes; both limits are the specification's
MAX_KEY: Final = 64
# No full stop: it separates the signed parts. The rest keeps the id safe in a header.
_MESSAGE_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")


def is_message_id(text: str) -> bool:
    """Whether ``text`` may be signed as a message id."""
    return _MESSAGE_ID.fullmatch(text) is not None


def signing_key(secret: Sensitive) -> bytes | None:
    """The key in a ``whsec_`` secret, or None when it is not one of 24 to 64 bytes."""
    text = secret.reveal(reason="sign a webhook")
    if not text.startswith(PREFIX):
        return None
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        return None
    return key if MIN_KEY <= len(key) <= MAX_KEY else None


def signature(keys: Iterable[bytes], message_id: str, timestamp: int, body: bytes) -> str:
    """The ``webhook-signature`` header. ``timestamp`` is in Unix seconds, of this attempt."""
    signed = f"{message_id}.{timestamp}.".encode("ascii") + body
    return " ".join(
        "v1," + base64.b64encode(hmac_sha256(key, signed)).decode("ascii") for key in keys
    )
