"""Where a page ended, for the next one: opaque, and good for one question alone.

Invariants, each named by a test in ``tests/unit/access/test_cursors.py``:

1. A cursor says nothing to who holds it, and nobody makes one or changes one without the key.
2. It opens only for the subject, purpose, filter, order and policy version that it was made for.
"""

import base64
import binascii
import json
from typing import Any, Final

from cdp.vault import primitives
from cdp.vault.context import frame
from cdp.vault.keyring import KeyRing
from cdp.vault.primitives import NONCE_BYTES, InvalidTag, Randomness

LONGEST: Final = 2048  # characters
_INFO: Final = b"kith/list-cursor/1"

Place = tuple[Any, ...]
"""What the last person of a page is ordered by, in JSON's types."""


class Cursors:
    """Makes and opens cursors under the ring's key for API keys, which every server holds."""

    def __init__(
        self, keyring: KeyRing, randomness: Randomness = primitives.system_randomness
    ) -> None:
        key = primitives.expand(keyring.secret("api-keys"), frame(_INFO))
        self._cipher = primitives.key_cipher(key)
        self._randomness = randomness

    def made(self, question: bytes, place: Place) -> str:
        """Return the cursor of a place in the answer to a question."""
        nonce = self._randomness(NONCE_BYTES)
        text = json.dumps(place, ensure_ascii=False).encode()
        sealed = nonce + self._cipher.encrypt(nonce, text, question)
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def opened(self, question: bytes, text: str) -> Place | None:
        """Return the place, or None: not a cursor, or of another question."""
        try:
            sealed = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
            nonce, rest = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
            return tuple(json.loads(self._cipher.decrypt(nonce, rest, question)))
        except (ValueError, binascii.Error, InvalidTag):
            return None
