"""Devices that people are known by: a random value in a cookie, and a keyed digest of it here.

Who tries from such a device is judged by its own failures alone (``cdp.access.lockout``), so
nobody far away keeps a person from their till. A device is known for one account.

Invariants, each named by a test in ``tests/integration/signing_in/test_passwords.py``:

1. A device is known once somebody enrolled or signed in on it, for thirty days.
2. What a device says of itself is kept only if we could have given it, else it gets another.
"""

import datetime as dt
import re
from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from cdp.storage.schema import throttle
from cdp.vault import primitives
from cdp.vault.primitives import Randomness
from cdp.vault.sign_in import SignInKeys

KNOWN_FOR: Final = dt.timedelta(days=30)
_GIVEN: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)


def bucket(keys: SignInKeys, principal_id: str, device: str | None) -> bytes:
    """Return what a device is stored under for an account."""
    return keys.bucket("device", principal_id, device or "")


def is_known(
    connection: sa.Connection,
    keys: SignInKeys,
    principal_id: str,
    device: str | None,
    now: dt.datetime,
) -> bool:
    """Say whether the account is signed in to from this device; without one nothing is asked."""
    if device is None or not _GIVEN.fullmatch(device):
        return False
    mark = bucket(keys, principal_id, device)
    known = sa.exists().where(throttle.c.digest == mark, throttle.c.known_until > now)
    return bool(connection.scalar(sa.select(known)))


def own(device: str | None, randomness: Randomness = primitives.system_randomness) -> str:
    """Return what the cookie of a device is to say: what it said, or something of ours."""
    return device if device and _GIVEN.fullmatch(device) else randomness(32).hex()


def know(
    connection: sa.Connection, keys: SignInKeys, principal_id: str, device: str, now: dt.datetime
) -> None:
    """Know a device from now on, its failures forgotten."""
    fresh = insert(throttle).values(
        digest=bucket(keys, principal_id, device),
        failures=0,
        failed_at=now,
        known_until=now + KNOWN_FOR,
    )
    taken = {name: fresh.excluded[name] for name in ("failures", "failed_at", "known_until")}
    connection.execute(fresh.on_conflict_do_update(index_elements=[throttle.c.digest], set_=taken))
