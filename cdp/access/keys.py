"""API keys: shown once, stored as a keyed digest, refused without saying why.

A key reads ``kith_<id>_<secret>``. The id is public and finds the row; the secret has 256
random bits, so a plain keyed hash of it is enough (see ``cdp.vault.keyed.ApiKeyDigests``).

Invariants, each named by a test in ``tests/integration/access``:

1. The secret half is stored nowhere and shown once.
2. Unknown, garbled, wrong, expired and revoked keys give one answer, and each costs one
   look-up, one digest and one comparison in constant time.
3. A key ends: one without an end cannot be issued.
4. A key with scopes is good for those actions and no other; it never adds to a role.
5. A rotated key goes on for the overlap that was asked for, and no longer than before; its
   successor has its principal, its scopes and a life as long. It has one.
6. A key that is revoked, and one whose principal left, was moved or is locked, is judged anew in
   every request, by one statement.
7. When a key was last used is kept to the hour: of many requests, one writes.
"""

import datetime as dt
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa

from cdp.access.principals import Standing
from cdp.errors import Refused, Stop
from cdp.storage.schema import api_key, principal
from cdp.vault import primitives
from cdp.vault.keyed import ApiKeyDigests
from cdp.vault.primitives import Randomness
from connectors.record import Raw
from policies.vocabulary import Action

DEFAULT_LIFE: Final = dt.timedelta(days=90)
LONGEST_LIFE: Final = dt.timedelta(days=366)
LONGEST_OVERLAP: Final = dt.timedelta(days=30)
_ID_BYTES: Final = 8
_SECRET_BYTES: Final = 32
_KEY: Final = re.compile(r"kith_([0-9a-f]{16})_([0-9a-f]{64})", re.ASCII)
# Looked up and compared when a text is no key at all, so that it costs what a key costs.
_NO_ID: Final = "none"
_NO_DIGEST: Final = bytes(32)
_FOUND: Final = (
    sa.select(api_key, principal.c.assignments, principal.c.destination, principal.c.locked_at)
    .join(principal)
    .where(api_key.c.id == sa.bindparam("id"))
)
# Who finds the row taken lets it be: another request is writing the same hour.
_USED: Final = (
    sa.update(api_key)
    .where(
        api_key.c.id
        == sa.select(api_key.c.id)
        .where(
            api_key.c.id == sa.bindparam("key"),
            sa.func.coalesce(api_key.c.last_used_at < sa.bindparam("hour"), sa.true()),
        )
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    .values(last_used_at=sa.bindparam("hour"))
)


@dataclass(frozen=True, slots=True)
class IssuedKey(Raw):
    """A new key. ``text`` is the whole key: show it once and keep it nowhere."""

    id: str
    principal_id: str
    expires_at: dt.datetime
    text: str = field(repr=False)
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ListedKey:
    """A key as listings show it: without its secret."""

    id: str
    principal_id: str
    created_at: dt.datetime
    expires_at: dt.datetime
    revoked_at: dt.datetime | None
    state: str  # active | expired | revoked
    scopes: tuple[str, ...]  # actions; none: all that the role may do
    last_used_at: dt.datetime | None  # the hour of it


def issue(  # noqa: PLR0913 - who, how long and what for are one request
    connection: sa.Connection,
    keys: ApiKeyDigests,
    principal_id: str,
    now: dt.datetime,
    life: dt.timedelta = DEFAULT_LIFE,
    *,
    scopes: Collection[str] = (),
    randomness: Randomness = primitives.system_randomness,
) -> IssuedKey:
    """Make a key for a principal of the ``principal`` table.

    Args:
        connection: in a transaction.
        keys: of the workspace.
        principal_id: whose key.
        now: the time.
        life: how long it is good for.
        scopes: actions that it is good for; none: all that the role may do.
        randomness: for the id and the secret.

    Raises:
        Stop: there is no such principal; sync them first.
        Refused: the life is not between nothing and 366 days, or a scope is no action.
    """
    if not dt.timedelta(0) < life <= LONGEST_LIFE:
        raise Refused("key_life_out_of_range", f"choose 1 to {LONGEST_LIFE.days} days")
    known = {action.value for action in Action}
    if unknown := sorted(set(scopes) - known):
        raise Refused("unknown_scope", f"use some of: {', '.join(sorted(known))}", scope=unknown[0])
    working = sa.exists().where(principal.c.id == principal_id, principal.c.assignments != [])
    if not connection.scalar(sa.select(working)):
        raise Stop(
            "no_such_principal", "add it to cdp.yaml and run: cdp init", principal=principal_id
        )
    key_id, secret = randomness(_ID_BYTES).hex(), randomness(_SECRET_BYTES).hex()
    limits = tuple(sorted(set(scopes)))
    connection.execute(
        sa.insert(api_key).values(
            id=key_id,
            principal_id=principal_id,
            digest=keys.api_key_digest(secret),
            scopes=list(limits),
            created_at=now,
            expires_at=now + life,
        )
    )
    text = f"kith_{key_id}_{secret}"
    return IssuedKey(key_id, principal_id, now + life, text, limits)


def rotate(
    connection: sa.Connection,
    keys: ApiKeyDigests,
    key_id: str,
    now: dt.datetime,
    overlap: dt.timedelta,
) -> IssuedKey:
    """Issue the successor of a key; the old one ends when ``overlap`` is over, or before.

    Raises:
        Stop: there is no such key, or it has ended.
        Refused: the overlap is negative or longer than 30 days, or it has a successor.
    """
    if not dt.timedelta(0) <= overlap <= LONGEST_OVERLAP:
        raise Refused("overlap_out_of_range", f"choose 0 to {LONGEST_OVERLAP.days} days")
    row = connection.execute(
        sa.select(api_key).where(api_key.c.id == key_id).with_for_update()
    ).one_or_none()
    if row is None or _state(row, now) != "active":
        raise Stop("no_such_key", "list them with: cdp access list-keys", key=key_id)
    if row.rotated_at is not None:
        step = "rotate its successor, or issue another key: cdp access issue-key"
        raise Refused("key_has_a_successor", step, key=key_id)
    life = row.expires_at - row.created_at
    issued = issue(connection, keys, row.principal_id, now, life, scopes=row.scopes)
    ends = min(row.expires_at, now + overlap)
    rotated = {"expires_at": ends, "rotated_at": now}
    connection.execute(sa.update(api_key).where(api_key.c.id == key_id).values(rotated))
    return issued


def authenticate(
    connection: sa.Connection, keys: ApiKeyDigests, text: str, now: dt.datetime
) -> Standing | None:
    """Return whose key this is, or None: not a key, unknown, wrong, expired or revoked."""
    parts = _KEY.fullmatch(text)
    key_id, secret = parts.groups() if parts else (_NO_ID, text)
    row = connection.execute(_FOUND, {"id": key_id}).one_or_none()
    stored = bytes(row.digest) if row else _NO_DIGEST
    known = primitives.same(keys.api_key_digest(secret), stored)
    if row is None or not known or not _lets_in(row, now):
        return None
    hour = now.replace(minute=0, second=0, microsecond=0)
    if row.last_used_at is None or row.last_used_at < hour:
        connection.execute(_USED, {"key": key_id, "hour": hour})
    actions = frozenset(row.scopes) or None
    return Standing(row.principal_id, tuple(row.assignments), row.destination, actions)


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
            scopes=tuple(row.scopes),
            last_used_at=row.last_used_at,
        )
        for row in rows
    ]


def _lets_in(row: sa.Row[Any], now: dt.datetime) -> bool:
    return _state(row, now) == "active" and bool(row.assignments) and row.locked_at is None


def _state(row: sa.Row[Any], now: dt.datetime) -> str:
    if row.revoked_at is not None:  # whatever this machine's clock says
        return "revoked"
    return "expired" if row.expires_at <= now else "active"
