"""One-time codes: the second factor, and the codes that stand in for it. Pure.

RFC 6238 over HMAC-SHA-1, six digits, half a minute: what every authenticator app computes.

Invariants, each named by a test in ``tests/unit/access/test_one_time.py``:

1. A code is good in its half minute, the one before and the one after, and in no other.
2. No code is good at or before the step of the last one that was used.
3. All three steps are compared, whichever fits.
"""

import datetime as dt
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote, urlencode

from cdp.vault import primitives
from cdp.vault.primitives import Randomness
from cdp.vault.secret import Secret

PERIOD: Final = 30  # seconds
DRIFT: Final = 1  # steps each way that a clock may be wrong
RECOVERY_CODES: Final = 10
_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32
_RECOVERY_CHARACTERS: Final = 16  # 80 bits
_BASE_32: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"  # RFC 4648


def step_at(now: dt.datetime) -> int:
    """Return the number of half minutes since 1970."""
    return int(now.timestamp()) // PERIOD


def matching_step(seed: Secret, code: str, now: dt.datetime, last: int | None) -> int | None:
    """Return the step whose code was typed, or None: no step near now, or one used before.

    Args:
        seed: of the person.
        code: as typed.
        now: the time.
        last: the step of the last code that was used.
    """
    typed, here = code.encode(errors="surrogatepass"), step_at(now)
    found = None
    for step in range(max(0, here - DRIFT), here + DRIFT + 1):
        fits = primitives.same(primitives.one_time_code(seed, step).encode(), typed)
        if fits and (last is None or step > last):
            found = step
    return found


def address(seed: Secret, principal_id: str) -> str:
    """Return what an authenticator app reads as a QR code (Google's key URI format)."""
    label = quote(f"Kith:{principal_id}", safe=":")
    parts = {"secret": base_32(seed), "issuer": "Kith", "algorithm": "SHA1"}
    return f"otpauth://totp/{label}?{urlencode({**parts, 'digits': 6, 'period': PERIOD})}"


def base_32(seed: Secret) -> str:
    """Return the seed as it is typed into an app that reads no QR code."""
    material = seed.expose()
    bits = int.from_bytes(material, "big")
    length = len(material) * 8
    padded = bits << (-length % 5)
    count = -(-length // 5)
    return "".join(_BASE_32[(padded >> shift) & 31] for shift in range(5 * (count - 1), -1, -5))


def recovery_codes(randomness: Randomness = primitives.system_randomness) -> tuple[str, ...]:
    """Return ten codes of 80 random bits, as they are written down: ``xxxx-xxxx-xxxx-xxxx``."""
    return tuple(_recovery_code(randomness(_RECOVERY_CHARACTERS)) for _ in range(RECOVERY_CODES))


def typed_recovery(code: str) -> str:
    """Return a recovery code as it is compared: how it was written down does not matter."""
    kept = (one for one in code.casefold().translate(_LOOK_ALIKES) if one in _ALPHABET)
    return "".join(kept)


_LOOK_ALIKES: Final = str.maketrans({"o": "0", "i": "1", "l": "1", "-": None, " ": None})


def _recovery_code(drawn: Iterable[int]) -> str:
    text = "".join(_ALPHABET[one & 31] for one in drawn)
    return "-".join(text[at : at + 4] for at in range(0, len(text), 4))
