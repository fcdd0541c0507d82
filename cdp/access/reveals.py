"""Requests to reveal and what was revealed, as the database keeps them.

Invariants, each named by a test in ``tests/integration/reveals``:

1. What one subject reveals is counted while a lock of theirs is held: however many requests
   come at once, no more is revealed than the limits say.
2. A request changes only under its row lock, so of two acts at once one applies.
3. One person's request for the same field of the same person and purpose is there once.
4. What ended is written down as ended: a clock set back later brings nothing back.
5. However often somebody breaks the glass, each one counts against them and each can be found:
   glasses that nobody has reviewed come first in a list, the oldest before all.
"""

import dataclasses
import datetime as dt
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from cdp.access.reveal_states import (
    BARRED_BY,
    GLASSES,
    REVIEW_WITHIN,
    SKEW,
    UNREVIEWED,
    WAITS,
    Actor,
    Deed,
    Request,
    State,
    Wrong,
    after,
    at_time,
)
from cdp.storage.schema import reveal, reveal_request
from cdp.vault import primitives
from cdp.vault.primitives import Randomness
from connectors.record import Raw
from policies.reveal_limits import HOUR, Shown
from policies.vocabulary import SENSITIVE

MOST_OPEN: Final = 20  # requests of one subject that wait for an answer
MOST_LISTED: Final = 200
_ID_LETTERS: Final = "bcdfghjkmnpqrstv"  # no digits: the audit log holds no long numbers
_ID_LENGTH: Final = 16
_ID: Final = re.compile(r"[a-z]{1,32}", re.ASCII)
_R, _S = reveal_request.c, reveal.c
_WAITING: Final = (State.OPEN, State.APPROVED)
_UNREVIEWED: Final = _R.state.in_(UNREVIEWED)
_BEGINNING: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_TICK: Final = dt.timedelta(microseconds=1)
_PLACE: Final = re.compile(r"([01])-([0-9]{1,16})-([a-z]{1,32})", re.ASCII)
_COLUMNS: Final = tuple(reveal_request.c.keys())


@dataclass(frozen=True, slots=True)
class Wish(Raw):
    """Which field of whom is asked for, by whom, what for and why."""

    requester: Actor
    profile_id: str
    field: str
    purpose: str
    reason: str = dataclasses.field(repr=False)


class Place(NamedTuple):
    """Where a list ended: at a glass to review or not, of which time and id."""

    unreviewed: bool
    at: dt.datetime
    id: str


def lock(connection: sa.Connection, principal: str) -> None:
    """Let nobody else count or spend what this subject may reveal, until the commit."""
    connection.execute(_LOCK, {"name": f"kith.reveal.{principal}"})


def past(connection: sa.Connection, principal: str, now: dt.datetime) -> list[Shown]:
    """Return what the subject was shown within the hour; take `lock` first to rely on it."""
    rows = connection.execute(
        sa.select(_S.id, _S.at, _S.profile_id, _S.sensitive)
        .where(_S.principal == principal, _S.at > now - HOUR)
        .order_by(_S.at)
    )
    # Somebody who was destroyed counts as somebody.
    return [Shown(r.at, r.profile_id or f"destroyed-{r.id}", r.sensitive) for r in rows]


def count(connection: sa.Connection, wish: Wish, request_id: str | None, now: dt.datetime) -> None:
    """Write down that something was revealed."""
    connection.execute(
        sa.insert(reveal).values(
            principal=wish.requester.id,
            profile_id=wish.profile_id,
            field=wish.field,
            sensitive=wish.field in SENSITIVE,
            request_id=request_id,
            at=now,
        )
    )


def end_what_is_over(connection: sa.Connection, now: dt.datetime) -> None:
    """Write down what has ended by now (invariant 4); what others work on is left to them."""
    connection.execute(_END, {"now": now, "back": now + SKEW})


def new(
    connection: sa.Connection,
    wish: Wish,
    now: dt.datetime,
    *,
    broken: bool = False,
    randomness: Randomness = primitives.system_randomness,
) -> Request | None:
    """Store a request that waits for a second person, or a broken glass that waits for review.

    Returns:
        The request; None: the same one is there already, approved a moment ago.
    """
    request = Request(
        id="".join(_ID_LETTERS[byte & 15] for byte in randomness(_ID_LENGTH)),
        requester=wish.requester,
        profile_id=wish.profile_id,
        field=wish.field,
        purpose=wish.purpose,
        reason=wish.reason,
        state=State.TO_REVIEW if broken else State.OPEN,
        at=now,
        latest_at=now,
        ends_at=now + (REVIEW_WITHIN if broken else WAITS),
    )
    stored = insert(reveal_request).values(_row(request)).on_conflict_do_nothing()
    return request if connection.execute(stored).rowcount == 1 else None


def waiting(
    connection: sa.Connection, principal: str, now: dt.datetime, *, held: bool = False
) -> list[Request]:
    """Return the subject's requests that may still come to something, the newest first.

    ``held``: under their row locks.
    """
    found = _read(connection, _R.requester == principal, _R.state.in_(_WAITING), held=held)
    return [one for one in (at_time(r, now) for r in found) if one.state in _WAITING]


def barred(connection: sa.Connection, principal: str, now: dt.datetime) -> bool:
    """Say whether a broken glass of the subject keeps them from breaking another one."""
    late = sa.and_(_R.state == State.TO_REVIEW, _R.ends_at <= sa.func.greatest(_R.latest_at, now))
    against = sa.or_(_R.state.in_(BARRED_BY), late)
    found = sa.select(_R.id).where(_R.requester == principal, against)
    return bool(connection.scalar(sa.select(found.exists())))


def unreviewed(connection: sa.Connection, principal: str) -> list[Request]:
    """Return the broken glasses of a subject that nobody has reviewed yet, the oldest first."""
    return _read(connection, _R.requester == principal, _R.state.in_(UNREVIEWED))


def held(connection: sa.Connection, request_id: str) -> Request | None:
    """Return a request under its row lock, or None. What has not the shape of an id is none."""
    if not _ID.fullmatch(request_id):
        return None
    return next(iter(_read(connection, _R.id == request_id, held=True)), None)


@dataclass(frozen=True, slots=True)
class Reach:
    """Whose requests somebody sees: their own, and those of others that they may judge.

    Attributes:
        principal: whose own are meant.
        purposes: what those of others are for.
        nodes: where those who made them work.
        gone: all nodes that there are, for who reviews glasses broken at none of them; else None.
    """

    principal: str
    purposes: Collection[str]
    nodes: Collection[str]
    gone: Collection[str] | None = None


def visible(
    connection: sa.Connection,
    reach: Reach,
    states: Collection[State],
    after: Place | None = None,
) -> list[Request]:
    """Return up to `MOST_LISTED` requests: glasses to review, the oldest first; then the newest.

    Args:
        connection: any.
        reach: whose.
        states: the ones wanted; empty: all.
        after: where the list before this one ended.
    """
    at: sa.ColumnElement[bool] = _R.node.in_(reach.nodes)
    if reach.gone is not None:
        at = sa.or_(at, sa.and_(_R.state.in_(GLASSES), _R.node.not_in(reach.gone)))
    conditions = [
        sa.or_(_R.requester == reach.principal, sa.and_(_R.purpose.in_(reach.purposes), at))
    ]
    if states:
        conditions.append(_R.state.in_(states))
    if after is not None:
        conditions.append(_behind(after))
    return _read(connection, *conditions)


def place(request: Request) -> str:
    """Return where a request stands in a list, as text that `placed` reads."""
    return f"{int(request.state in UNREVIEWED)}-{(request.at - _BEGINNING) // _TICK}-{request.id}"


def placed(text: str) -> Place | None:
    """Read what `place` wrote; None: it did not write this."""
    parts = _PLACE.fullmatch(text)
    if parts is None:
        return None
    return Place(parts[1] == "1", _BEGINNING + int(parts[2]) * _TICK, parts[3])


def carry_out(
    connection: sa.Connection, request: Request, deed: Deed, now: dt.datetime
) -> Request | Wrong:
    """Do something to a request that is held, and store what became of it."""
    done = after(request, deed, now)
    if isinstance(done, Request):
        changed = sa.update(reveal_request).where(_R.id == request.id)
        connection.execute(changed.values(_row(done)))
    return done


# ── inside ──────────────────────────────────────────────────────────────────


def _behind(after: Place) -> sa.ColumnElement[bool]:
    later = sa.and_(_R.at == after.at, _R.id > after.id)
    if after.unreviewed:
        left = sa.and_(_UNREVIEWED, sa.or_(_R.at > after.at, later))
        return sa.or_(left, ~_UNREVIEWED)
    return sa.and_(~_UNREVIEWED, sa.or_(_R.at < after.at, later))


def _read(
    connection: sa.Connection, *conditions: sa.ColumnElement[bool], held: bool = False
) -> list[Request]:
    oldest = sa.case((_UNREVIEWED, _R.at))  # nothing for the others, which come last
    statement = (
        sa.select(reveal_request)
        .where(*conditions)
        .order_by(oldest.nulls_last(), _R.at.desc(), _R.id)
        .limit(MOST_LISTED)
    )
    if held:
        statement = statement.with_for_update()
    return [_request(row) for row in connection.execute(statement)]


def _request(row: sa.Row[Any]) -> Request:
    second = Actor(row.second, row.second_role, row.second_node) if row.second else None
    return Request(
        id=row.id,
        requester=Actor(row.requester, row.role, row.node),
        profile_id=row.profile_id,
        field=row.field,
        purpose=row.purpose,
        reason=row.reason,
        state=State(row.state),
        at=row.at,
        latest_at=row.latest_at,
        ends_at=row.ends_at,
        second=second,
        comment=row.comment,
        second_at=row.second_at,
        used_at=row.used_at,
    )


def _row(request: Request) -> dict[str, object]:
    second = request.second
    told = {
        "requester": request.requester.id,
        "role": str(request.requester.role),
        "node": request.requester.node,
        "second": second.id if second else None,
        "second_role": str(second.role) if second else None,
        "second_node": second.node if second else None,
        "state": request.state.value,
    }
    return {name: told[name] if name in told else getattr(request, name) for name in _COLUMNS}


_LOCK: Final = sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")
_END: Final = sa.text(
    """
    UPDATE kith.reveal_request r
       SET state = CASE r.state WHEN 'to-review' THEN 'overdue' ELSE 'expired' END,
           latest_at = greatest(r.latest_at, :now)
      FROM (SELECT id FROM kith.reveal_request
             WHERE (state IN ('open', 'approved', 'to-review') AND ends_at <= :now)
                OR (state IN ('open', 'approved') AND latest_at > :back)
               FOR UPDATE SKIP LOCKED) AS over
     WHERE r.id = over.id
    """
)
