"""The two transactions around a send: take messages, and write down how they came out.

What is sent is decided in `take`, on what is true then: a message says only that something
was to be told about a profile. Between the two transactions nothing is locked; a message
that is being sent belongs to its sender for the time of a lease.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert

from cdp.access.trail import Attempt
from cdp.audit import log
from cdp.profiles import reader
from cdp.publish.contract import Contract
from cdp.publish.plan import IN_DOUBT, digests, fresh_message_id
from cdp.publish.render import Renderer
from cdp.publish.retry import Pace
from cdp.resolution.announcing import REMOVED, UPDATED
from cdp.storage.schema import outbox, published
from connectors.base import Message
from connectors.record import Raw
from policies.vocabulary import FieldClass

UPDATED_EVENT: Final = "kith.profile.updated.v1"
REMOVED_EVENT: Final = "kith.profile.removed.v1"
PUBLISH_ACTION: Final = "profile.publish"
WITHDRAW_ACTION: Final = "profile.withdraw"
IN_FLIGHT: Final = "in_flight"

_O, _P = outbox.c, published.c
_Row = sa.Row[int, str, str, int, dt.datetime]  # id, profile_id, message_id, attempts, at


@dataclass(frozen=True, slots=True)
class Taken:
    """One message to send now."""

    row: int  # of the outbox
    profile_id: str
    attempt: int  # 1 for the first
    kind: str
    digest: bytes
    shown: tuple[str, ...]
    message: Message


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one send came out."""

    taken: Taken
    rule: str | None = None  # None: delivered
    next_step: str = ""
    not_before: dt.datetime | None = None  # None: now
    parked: bool = False
    counted: bool = True  # the attempt counts towards parking


def reclaim(connection: sa.Connection, destination: str, now: dt.datetime) -> int:
    """Take back what a publisher that died was sending; only for the one publisher there is."""
    return connection.execute(
        sa.update(outbox)
        .where(*_waiting(destination), _O.last_error == IN_FLIGHT)
        .values(not_before=now)
    ).rowcount


def open_messages(connection: sa.Connection, destination: str) -> tuple[int, dt.datetime | None]:
    """Count the messages that are neither delivered nor parked; say when the first is due."""
    statement = sa.select(sa.func.count(), sa.func.min(_O.not_before))
    row = connection.execute(statement.where(*_waiting(destination))).one()
    return row[0], row[1]


def take(
    connection: sa.Connection,
    contract: Contract,
    renderer: Renderer,
    now: dt.datetime,
    limits: Pace,
) -> list[Taken]:
    """Lock due messages, render them, write their audit events, and lease them.

    Send nothing of it before the transaction is committed. Messages that have nothing to
    say any more are dropped and not returned; while it returns fewer than there are, call
    it again.
    """
    rows = connection.execute(
        sa.select(_O.id, _O.profile_id, _O.message_id, _O.attempts, _O.at)
        .where(*_waiting(contract.destination), _O.not_before <= now)
        .order_by(_O.id)
        .limit(limits.batch)
        .with_for_update(skip_locked=True)
    ).all()
    ids = [row.profile_id for row in rows]
    rendered = renderer.render(connection, ids)
    held = digests(connection, contract, ids)
    said: list[_Said] = []
    dropped: list[int] = []
    for row in rows:
        one, known = rendered.get(row.profile_id), held.get(row.profile_id)
        if one is None and known is None:
            dropped.append(row.id)  # not included, and never heard of
        elif one is None:
            said.append(_removal(connection, renderer, row))
        elif one.digest == known:
            dropped.append(row.id)  # known as they are
        else:
            said.append(_Said(row, UPDATED, one.digest, one.shown, one.data))
    if dropped:
        connection.execute(sa.delete(outbox).where(_O.id == sa.any_(_ids(dropped))))
    renewed = _renew(connection, [one.row.id for one in said if _says_else(one, held)])
    taken = [one.taken(renewed.get(one.row.id, one.row.message_id)) for one in said]
    _record(connection, contract, taken, now)
    _lease(connection, taken, now + dt.timedelta(seconds=limits.lease))
    doubted = {one.profile_id: IN_DOUBT + one.digest for one in taken}
    know(connection, contract, doubted, now)
    return taken


def settle(
    connection: sa.Connection, contract: Contract, outcomes: Sequence[Outcome], now: dt.datetime
) -> None:
    """Write down how sends came out."""
    delivered = [one.taken for one in outcomes if one.rule is None]
    if delivered:
        connection.execute(
            sa.update(outbox)
            .where(_O.id == sa.any_(_ids([one.row for one in delivered])))
            .values(delivered_at=now, last_error=None)
        )
        know(
            connection, contract, {t.profile_id: t.digest for t in delivered if _is_update(t)}, now
        )
        forget(connection, contract, [t.profile_id for t in delivered if not _is_update(t)])
    for one in outcomes:
        if one.rule is not None:
            connection.execute(
                sa.update(outbox)
                .where(_O.id == one.taken.row)
                .values(
                    attempts=one.taken.attempt if one.counted else one.taken.attempt - 1,
                    not_before=one.not_before or now,
                    last_error=one.rule,
                    parked_at=now if one.parked else None,
                )
            )


def forget(connection: sa.Connection, contract: Contract, ids: Sequence[str]) -> None:
    """Write down that the destination knows these people no more."""
    if ids:
        listed = sa.literal(list(ids), ARRAY(sa.Text))
        connection.execute(
            sa.delete(published).where(
                _P.destination == contract.destination, _P.profile_id == sa.any_(listed)
            )
        )


def know(
    connection: sa.Connection, contract: Contract, bodies: Mapping[str, bytes], now: dt.datetime
) -> None:
    """Write down what the destination has of these people."""
    if not bodies:
        return
    unnested = sa.func.unnest(
        sa.literal(list(bodies), ARRAY(sa.Text)),
        sa.literal(list(bodies.values()), ARRAY(sa.LargeBinary)),
    )
    listed = unnested.table_valued("profile_id", "digest", name="listed").render_derived()
    rows = sa.select(
        sa.literal(contract.destination), listed.c.profile_id, listed.c.digest, sa.literal(now)
    )
    fresh = insert(published).from_select(["destination", "profile_id", "digest", "at"], rows)
    connection.execute(
        fresh.on_conflict_do_update(
            index_elements=["destination", "profile_id"],
            set_={"digest": fresh.excluded.digest, "at": fresh.excluded.at},
        )
    )


def _waiting(destination: str) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        _O.destination == destination,
        _O.delivered_at.is_(None),
        _O.parked_at.is_(None),
    )


def _is_update(taken: Taken) -> bool:
    return taken.kind == UPDATED


@dataclass(frozen=True, slots=True)
class _Said(Raw):
    """What a message says now; it has no id yet."""

    row: _Row
    kind: str
    digest: bytes
    shown: tuple[str, ...]
    data: Mapping[str, object] = field(repr=False)

    def taken(self, message_id: str) -> Taken:
        message = Message(
            id=message_id,
            type=UPDATED_EVENT if self.kind == UPDATED else REMOVED_EVENT,
            subject=self.row.profile_id,
            time=self.row.at,
            data=self.data,
        )
        attempt = self.row.attempts + 1
        return Taken(
            self.row.id, self.row.profile_id, attempt, self.kind, self.digest, self.shown, message
        )


def _removal(connection: sa.Connection, renderer: Renderer, row: _Row) -> _Said:
    """Tell the destination to forget, and into whom the profile was merged if it may know that."""
    now_id = reader.current_id(connection, row.profile_id)
    merged = None
    if now_id is not None and now_id != row.profile_id and renderer.render(connection, [now_id]):
        merged = now_id
    data = {FieldClass.PROFILE_ID.value: row.profile_id, "redirect_to": merged}
    return _Said(row, REMOVED, renderer.digest(data), (FieldClass.PROFILE_ID.value,), data)


def _says_else(one: _Said, held: Mapping[str, bytes]) -> bool:
    """Say whether something else may have been sent about this profile, under this id perhaps."""
    known = held.get(one.row.profile_id, b"")
    return known.startswith(IN_DOUBT) and known != IN_DOUBT + one.digest


def _renew(connection: sa.Connection, rows: Sequence[int]) -> dict[int, str]:
    """Give messages a new id: under the old one a receiver would drop the newer content as seen."""
    if not rows:
        return {}
    statement = (
        sa.update(outbox)
        .where(_O.id == sa.any_(_ids(rows)))
        .values(message_id=fresh_message_id())
        .returning(_O.id, _O.message_id)
    )
    return {row.id: row.message_id for row in connection.execute(statement)}


def _record(
    connection: sa.Connection, contract: Contract, taken: Sequence[Taken], now: dt.datetime
) -> None:
    """Write the audit events: one for each person, before anything of them is sent."""
    log.append_all(
        connection,
        [
            Attempt(
                subject=contract.subject,
                action=PUBLISH_ACTION if _is_update(one) else WITHDRAW_ACTION,
                purpose=contract.purpose,
                policy_version=contract.policy_version,
                at=now,
                request_id=one.message.id,
            ).allowed(one.profile_id, one.shown)
            for one in taken
        ],
    )


def _lease(connection: sa.Connection, taken: Sequence[Taken], until: dt.datetime) -> None:
    for kind in (UPDATED, REMOVED):
        rows = [one.row for one in taken if one.kind == kind]
        if rows:
            connection.execute(
                sa.update(outbox)
                .where(_O.id == sa.any_(_ids(rows)))
                .values(kind=kind, attempts=_O.attempts + 1, last_error=IN_FLIGHT, not_before=until)
            )


def _ids(values: Sequence[int]) -> sa.ColumnElement[Sequence[int]]:
    return sa.literal(list(values), ARRAY(sa.BigInteger))
