"""API keys: shown once, stored as a keyed digest, refused without saying why.

A key reads ``kith_<id>_<secret>``. The id is public and finds the row; the secret has 256
random bits, so a plain keyed hash of it is enough (see ``cdp.vault.keyed.ApiKeyDigests``).

Invariants, each named by a test in ``tests/integration/access``:

1. The secret half is stored nowhere and shown once.
2. Unknown, garbled, wrong, expired and revoked keys give one answer, and each costs one
   look-up, one digest and one comparison in constant time.
3. A key ends: one without an end cannot be issued.
"""

import datetime as dt
import re
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa

from cdp.errors import Refused, Stop
from cdp.storage.schema import api_key, principal
from cdp.vault import primitives
from cdp.vault.keyed import ApiKeyDigests
from cdp.vault.primitives import Randomness
from connectors.record import Raw

DEFAULT_LIFE: Final = dt.timedelta(days=90)
LONGEST_LIFE: Final = dt.timedelta(days=366)
_ID_BYTES: Final = 8
_SECRET_BYTES: Final = 32
_KEY: Final = re.compile(r"kith_([0-9a-f]{16})_([0-9a-f]{64})", re.ASCII)
# Looked up and compared when a text is no key at all, so that it costs what a key costs.
_NO_ID: Final = "none"
_NO_DIGEST: Final = bytes(32)


@dataclass(frozen=True, slots=True)
class IssuedKey(Raw):
    """A new key. ``text`` is the whole key: show it once and keep it nowhere."""

    id: str
    principal_id: str
    expires_at: dt.datetime
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ListedKey:
    """A key as listings show it: without its secret."""

    id: str
    principal_id: str
    created_at: dt.datetime
    expires_at: dt.datetime
    revoked_at: dt.datetime | None
    state: str  # active | expired | revoked


def issue(
    connection: sa.Connection,
    keys: ApiKeyDigests,
    principal_id: str,
    now: dt.datetime,
    life: dt.timedelta = DEFAULT_LIFE,
    randomness: Randomness = primitives.system_randomness,
) -> IssuedKey:
    """Make a key for a principal of the ``principal`` table.

    Raises:
        Stop: there is no such principal; sync them first.
        Refused: the life is not between nothing and 366 days.
    """
    if not dt.timedelta(0) < life <= LONGEST_LIFE:
        raise Refused("key_life_out_of_range", f"choose 1 to {LONGEST_LIFE.days} days")
    if not connection.scalar(sa.select(sa.exists().where(principal.c.id == principal_id))):
        raise Stop(
            "no_such_principal", "add it to cdp.yaml and run: cdp init", principal=principal_id
        )
    key_id, secret = randomness(_ID_BYTES).hex(), randomness(_SECRET_BYTES).hex()
    connection.execute(
        sa.insert(api_key).values(
            id=key_id,
            principal_id=principal_id,
            digest=keys.api_key_digest(secret),
            created_at=now,
            expires_at=now + life,
        )
    )
    return IssuedKey(key_id, principal_id, now + life, f"kith_{key_id}_{secret}")


def authenticate(
    connection: sa.Connection, keys: ApiKeyDigests, text: str, now: dt.datetime
) -> str | None:
    """Return whose key this is, or None: not a key, unknown, wrong, expired or revoked."""
    parts = _KEY.fullmatch(text)
    key_id, secret = parts.groups() if parts else (_NO_ID, text)
    row = connection.execute(sa.select(api_key).where(api_key.c.id == key_id)).one_or_none()
    stored = bytes(row.digest) if row else _NO_DIGEST
    known = primitives.same(keys.api_key_digest(secret), stored)
    if row is None or not known or _state(row, now) != "active":
        return None
    return str(row.principal_id)


def revoke(connection: sa.Connection, key_id: str, now: dt.datetime) -> bool:
    """End a key; False when there is no such key or it was revoked before."""
    found = connection.execute(
        sa.update(api_key)
        .where(api_key.c.id == key_id, api_key.c.revoked_at.is_(None))
        .values(revoked_at=now)
    )
    return found.rowcount == 1


def list_keys(connection: sa.Connection, now: dt.datetime) -> list[ListedKey]:
    """Return every key without its secret, by principal, the newest first."""
    rows = connection.execute(
        sa.select(api_key).order_by(
            api_key.c.principal_id, api_key.c.created_at.desc(), api_key.c.id
        )
    )
    return [
        ListedKey(
            id=row.id,
            principal_id=row.principal_id,
            created_at=row.created_at,
            expires_at=row.expires_at,
            revoked_at=row.revoked_at,
            state=_state(row, now),
        )
        for row in rows
    ]


def _state(row: sa.Row[Any], now: dt.datetime) -> str:
    if row.revoked_at is not None:  # whatever this machine's clock says
        return "revoked"
    return "expired" if row.expires_at <= now else "active"
