"""Keyed names of messages, and the write keys that let them in.

Invariants, each named by a test in ``tests/unit/vault/test_event_keys.py``:

1. Equal messages of one source have equal names; of two sources never.
2. A write key is found by its keyed digest: how long that takes says nothing about the key.
3. A signed id is judged in constant time, and holds for one source, one user and so long only.
4. Nothing shows: neither a write key, nor an identity key, nor a signature.
"""

import datetime as dt
import re
from collections.abc import Mapping
from typing import Final, NoReturn

from cdp.vault import primitives
from cdp.vault.context import frame
from cdp.vault.keyed import DIGEST_BYTES
from cdp.vault.keyring import KeyRing
from cdp.vault.primitives import KEY_BYTES, KeyedHash, Randomness
from cdp.vault.secret import Secret
from connectors.record import Sensitive

_REASON: Final = "compare a credential"
_SIGNATURE: Final = re.compile(r"v1\.([0-9]{1,12})\.([0-9a-f]{64})")
LONGEST: Final = dt.timedelta(days=1)
"""A signed id that says it holds longer is refused: whoever copies it has it for that long."""


class EventKeys:
    """Names messages without showing anything of them."""

    __slots__ = ("_named", "_unnamed")

    def __init__(self, keyring: KeyRing) -> None:
        tree = keyring.secret("records")
        self._named, self._unnamed = (
            primitives.keyed_hash(primitives.expand(tree, frame(b"kith/message/1", kind)))
            for kind in (b"named", b"unnamed")
        )

    def named(self, source: str, message_id: str) -> bytes:
        """Return the name of a message that its sender named, 16 bytes."""
        return _digest(self._named, source.encode(), message_id.encode())[:DIGEST_BYTES]

    def unnamed(self, source: str, content: bytes) -> bytes:
        """Return the name of a message by its content, 16 bytes."""
        return _digest(self._unnamed, source.encode(), content)[:DIGEST_BYTES]

    def __repr__(self) -> str:
        return "<event keys>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("event keys cannot be pickled; make them in each process")


class WriteKeys:
    """Finds the source that a write key is for."""

    __slots__ = ("_begun", "_sources", "shared")

    shared: tuple[tuple[str, ...], ...]  # sources that have a key in common, which lets nobody in

    def __init__(
        self,
        keys: Mapping[str, list[Sensitive]],
        randomness: Randomness = primitives.system_randomness,
    ) -> None:
        """Make it of every source's write keys; one that two sources have lets nobody in."""
        self._begun = primitives.keyed_hash(Secret(randomness(KEY_BYTES)))
        found: dict[bytes, set[str]] = {}
        for source, several in keys.items():
            for key in several:
                digest = _digest(self._begun, key.reveal(reason=_REASON).encode())
                found.setdefault(digest, set()).add(source)
        own = {digest: min(one) for digest, one in found.items() if len(one) == 1}
        self._sources: dict[bytes, str] = own
        self.shared = tuple(sorted({tuple(sorted(one)) for one in found.values() if len(one) > 1}))

    def source(self, key: str) -> str | None:
        """Return the source; None for a key that is nobody's."""
        return self._sources.get(_digest(self._begun, key.encode(errors="surrogatepass")))

    def __repr__(self) -> str:
        return f"<{len(self._sources)} write keys>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("write keys cannot be pickled; make them in each process")


def signed(
    key: Sensitive, source: str, user_id: Sensitive, signature: str, now: dt.datetime
) -> bool:
    """Say whether a signature lets ``user_id`` be asserted now.

    ``v1.EXPIRY.DIGEST``: seconds since 1970, and HMAC-SHA-256 in hexadecimal digits of
    ``v1:SOURCE:EXPIRY:USER_ID`` under the source's identity key.
    """
    found = _SIGNATURE.fullmatch(signature)
    if found is None:
        return False
    running = primitives.keyed_hash(Secret(key.reveal(reason=_REASON).encode()))
    told = f"v1:{source}:{found[1]}:{user_id.reveal(reason=_REASON)}"
    running.update(told.encode(errors="surrogatepass"))
    left = int(found[1]) - now.timestamp()
    good = primitives.same(running.finalize(), bytes.fromhex(found[2]))
    return good and 0 < left <= LONGEST.total_seconds()


def _digest(begun: KeyedHash, *parts: bytes) -> bytes:
    running = begun.copy()
    running.update(frame(*parts))
    return running.finalize()
