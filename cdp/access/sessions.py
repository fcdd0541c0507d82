"""Sessions of people who signed in. The database holds them; a cookie holds a random secret.

Invariants, each named by a test in ``tests/integration/signing_in/test_sessions.py``:

1. The secret has 256 random bits and is stored nowhere: the row has a keyed digest of it.
2. A session ends when nobody used it for 30 minutes, 12 hours after it began, when it is signed
   out of, when the account changes, and when the principal leaves.
3. Whose session it is, what they may act as and whether they are locked out is read in the
   statement that finds it.
4. A process takes only sessions that were begun under its own role of the database.
5. A session acts under one assignment, and can be told another one of its own.
"""

import datetime as dt
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa

from cdp.access.principals import Standing
from cdp.storage.schema import principal, session
from cdp.vault import primitives
from cdp.vault.primitives import Randomness
from cdp.vault.sign_in import SignInKeys
from connectors.record import Raw

IDLE: Final = dt.timedelta(minutes=30)
LONGEST: Final = dt.timedelta(hours=12)
SEEN_EVERY: Final = dt.timedelta(minutes=1)  # so that not every request writes
SECRET_BYTES: Final = 32
_ID_BYTES: Final = 8
_MINE: Final = session.c.made_by == sa.func.current_user()
_FOUND: Final = (
    sa.select(
        session,
        sa.func.coalesce(session.c.assignments, principal.c.assignments).label("held"),
        principal.c.destination,
        principal.c.locked_at,
    )
    .join(principal)
    .where(session.c.digest == sa.bindparam("digest"), _MINE)
)
_SEEN: Final = (
    sa.update(session)
    .where(
        session.c.id
        == sa.select(session.c.id)
        .where(session.c.id == sa.bindparam("one"))
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    .values(seen_at=sa.bindparam("now"))
)


@dataclass(frozen=True, slots=True)
class Begun(Raw):
    """A new session. ``secret`` is for the cookie of whoever signed in, and for nobody else."""

    id: str
    principal_id: str
    ends_at: dt.datetime
    secret: str = field(repr=False)
    csrf: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Found:
    """A session that is good now."""

    id: str
    standing: Standing
    acting_as: str | None
    method: str
    ends_at: dt.datetime


@dataclass(frozen=True, slots=True)
class ListedSession:
    """A session as listings show it."""

    id: str
    principal_id: str
    method: str
    created_at: dt.datetime
    seen_at: dt.datetime
    ends_at: dt.datetime
    state: str  # active | idle | over | ended


def begin(  # noqa: PLR0913 - whose, how and what for are one request
    connection: sa.Connection,
    keys: SignInKeys,
    principal_id: str,
    method: str,
    now: dt.datetime,
    *,
    assignments: tuple[str, ...] | None = None,
    randomness: Randomness = primitives.system_randomness,
) -> Begun:
    """Begin a session.

    Args:
        connection: in a transaction.
        keys: of the workspace.
        principal_id: whose.
        method: password or oidc.
        now: the time.
        assignments: what claims gave; None: those of the principal, as they are at each request.
        randomness: for the id and the secret.
    """
    session_id, secret = randomness(_ID_BYTES).hex(), randomness(SECRET_BYTES).hex()
    connection.execute(
        sa.insert(session).values(
            id=session_id,
            digest=keys.session(secret),
            principal_id=principal_id,
            method=method,
            assignments=None if assignments is None else list(assignments),
            created_at=now,
            seen_at=now,
            ends_at=now + LONGEST,
        )
    )
    return Begun(session_id, principal_id, now + LONGEST, secret, keys.csrf(secret))


def find(
    connection: sa.Connection, keys: SignInKeys, secret: str, now: dt.datetime
) -> Found | None:
    """Return the session of that secret, or None: there is none, or it is over."""
    row = connection.execute(_FOUND, {"digest": keys.session(secret)}).one_or_none()
    if row is None or _state(row, now) != "active" or not row.held or row.locked_at is not None:
        return None
    if now - row.seen_at >= SEEN_EVERY:
        connection.execute(_SEEN, {"one": row.id, "now": now})
    standing = Standing(row.principal_id, tuple(row.held), row.destination)
    acting_as = row.acting_as if row.acting_as in row.held else None
    return Found(row.id, standing, acting_as, row.method, row.ends_at)


def act_as(connection: sa.Connection, session_id: str, assignment: str) -> None:
    """Have a session act under another assignment; the caller has seen that it is their own."""
    connection.execute(
        sa.update(session).where(session.c.id == session_id).values(acting_as=assignment)
    )


def end(connection: sa.Connection, session_id: str, now: dt.datetime) -> str | None:
    """End a session; return whose it was, or None: there is no such session, or it was over."""
    ended = sa.update(session).where(session.c.id == session_id, session.c.ended_at.is_(None))
    whose = connection.scalar(ended.values(ended_at=now).returning(session.c.principal_id))
    return None if whose is None else str(whose)


def end_presented(
    connection: sa.Connection, keys: SignInKeys, secret: str, now: dt.datetime
) -> None:
    """End the session that a browser held when it signed in anew."""
    mine = session.c.digest == keys.session(secret), session.c.ended_at.is_(None)
    connection.execute(sa.update(session).where(*mine).values(ended_at=now))


def end_all(connection: sa.Connection, principal_id: str, now: dt.datetime) -> int:
    """End every session of somebody; return how many."""
    mine = session.c.principal_id == principal_id, session.c.ended_at.is_(None)
    return connection.execute(sa.update(session).where(*mine).values(ended_at=now)).rowcount


def list_sessions(
    connection: sa.Connection, now: dt.datetime, principal_id: str | None = None
) -> list[ListedSession]:
    """Return the sessions that are kept, the newest first."""
    statement = sa.select(session).order_by(session.c.created_at.desc(), session.c.id)
    if principal_id is not None:
        statement = statement.where(session.c.principal_id == principal_id)
    return [
        ListedSession(
            id=row.id,
            principal_id=row.principal_id,
            method=row.method,
            created_at=row.created_at,
            seen_at=row.seen_at,
            ends_at=row.ends_at,
            state=_state(row, now),
        )
        for row in connection.execute(statement)
    ]


def _state(row: sa.Row[Any], now: dt.datetime) -> str:
    if row.ended_at is not None:
        return "ended"
    if row.ends_at <= now:
        return "over"
    return "idle" if now - row.seen_at >= IDLE else "active"
