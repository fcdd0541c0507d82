"""Find what a destination does not have yet, and queue it.

Invariants, each named by a test in ``tests/integration/publish``:

1. The outbox names profiles and never holds a value: bodies are compared by keyed digest.
2. A profile has at most one undelivered message for a destination, so that no message can
   overtake another: what is needed now replaces what was not sent yet.
3. Whoever the destination may know of, and who is gone, merged away, outside the scope or
   without consent, is queued for removal, however often it takes.
4. Planning twice in a row queues nothing the second time.

Planning opens cells to compare them. Nobody is shown anything by that, so it leaves no
audit event; sending does.
"""

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from cdp.publish.contract import Contract, contract_of, subject_for
from cdp.publish.render import (
    Rendered,
    Renderer,
    count_not_consenting,
    included,
    included_parts,
)
from cdp.resolution.announcing import REMOVED, UPDATED
from cdp.storage.schema import outbox, profile, published, tag
from cdp.workspace import Workspace

IN_DOUBT: Final = b"?"
"""Before a digest: this may have been sent, and nobody knows whether it arrived."""
KEPT: Final = dt.timedelta(days=7)  # delivered messages, for whoever looks after a fault

_O, _P = outbox.c, published.c


@dataclass(frozen=True, slots=True)
class Planned:
    """What planning found; the parts are disjoint."""

    queued: int  # people whose data the destination does not have, or not as it is now
    unchanged: int
    not_consented: int  # in the scope, and the purpose does not hold for them
    removed: int  # the destination is told to forget them
    waiting: int = 0  # queued by an earlier run and not delivered yet
    parked: int = 0  # given up, and not changed since


def contract_for(workspace: Workspace, name: str) -> Contract:
    """Return the contract of a declared destination.

    Raises:
        Stop, Refused: see `cdp.publish.contract`.
    """
    declaration = workspace.declaration
    return contract_of(
        workspace.policy, declaration.destinations[name], subject_for(declaration, name)
    )


def plan(
    connection: sa.Connection, workspace: Workspace, destination: str, now: dt.datetime
) -> Planned:
    """Queue what is due for a message destination, in the connection's transaction.

    Raises:
        Stop, Refused: see `cdp.publish.contract`.
    """
    contract = contract_for(workspace, destination)
    name = {"name": f"kith.plan {destination}"}
    connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtext(:name))"), name)
    connection.execute(
        sa.delete(outbox).where(_O.destination == destination, _O.delivered_at < now - KEPT)
    )
    return _Planner(connection, contract, now).plan(Renderer(workspace, contract))


def compared(
    connection: sa.Connection, contract: Contract, renderer: Renderer
) -> Iterator[list[tuple[Rendered, bool]]]:
    """Yield everybody included, and whether the destination has them as they are now."""
    for ids in included_parts(connection, contract):
        held = digests(connection, contract, ids)
        yield [
            (one, held.get(one.profile_id) == one.digest)
            for one in renderer.render(connection, ids).values()
        ]


def digests(connection: sa.Connection, contract: Contract, ids: Sequence[str]) -> dict[str, bytes]:
    """Return what the destination has of these people, as far as is known."""
    statement = sa.select(_P.profile_id, _P.digest).where(
        _P.destination == contract.destination, _P.profile_id == sa.any_(_texts(ids))
    )
    return {name: bytes(digest) for name, digest in connection.execute(statement)}


def to_forget(connection: sa.Connection, contract: Contract) -> list[str]:
    """Return whom the destination may know of and must not any more."""
    still = sa.exists().where(profile.c.id == _P.profile_id, included(contract))
    statement = sa.select(_P.profile_id).where(_P.destination == contract.destination, ~still)
    return list(connection.scalars(statement.order_by(_P.profile_id)))


_DUE, _QUEUED, _WAITING, _PARKED, _UNCHANGED = "due", "queued", "waiting", "parked", "unchanged"
_STATES: Final = (_DUE, _QUEUED, _WAITING, _PARKED, _UNCHANGED)


class _Open(NamedTuple):
    """The undelivered message of one profile."""

    id: int
    kind: str
    parked_at: dt.datetime | None


class _Planner:
    """One planning: what is open, and what it becomes."""

    def __init__(self, connection: sa.Connection, contract: Contract, now: dt.datetime) -> None:
        self._connection = connection
        self._contract = contract
        self._now = now
        self._open = self._undelivered()

    def plan(self, renderer: Renderer) -> Planned:
        """Compare everybody, then queue, revive and drop messages."""
        counts = Counter[str]()
        for part in compared(self._connection, self._contract, renderer):
            sorted_out: dict[str, list[str]] = {state: [] for state in _STATES}
            obsolete: list[int] = []
            again: list[int] = []
            for one, same in part:
                held = self._open.pop(one.profile_id, None)
                if held is not None and held.kind == REMOVED:
                    obsolete.append(held.id)  # they are included again
                    held = None
                state = self._state(one.profile_id, held, same=same)
                if held is not None and state == _QUEUED:
                    again.append(held.id)
                sorted_out[state].append(one.profile_id)
            self._drop(obsolete)
            revive(self._connection, again, self._now)
            self._queue(sorted_out[_DUE], UPDATED)
            counts.update({state: len(ids) for state, ids in sorted_out.items()})
        removed, still_waiting = self._forget()
        return Planned(
            queued=counts[_DUE] + counts[_QUEUED],
            unchanged=counts[_UNCHANGED],
            not_consented=count_not_consenting(self._connection, self._contract),
            removed=removed,
            waiting=counts[_WAITING] + still_waiting,
            parked=counts[_PARKED],
        )

    def _state(self, profile_id: str, held: "_Open | None", *, same: bool) -> str:
        if held is None:
            return _UNCHANGED if same else _DUE
        if held.parked_at is None:
            return _WAITING
        return _QUEUED if self._changed_since(profile_id, held.parked_at) else _PARKED

    def _forget(self) -> tuple[int, int]:
        """Queue removals; what is left open for people who are not included is dropped."""
        due: list[str] = []
        obsolete: list[int] = []
        revived: list[int] = []
        waiting = 0
        for profile_id in to_forget(self._connection, self._contract):
            held = self._open.pop(profile_id, None)
            if held is None or held.kind != REMOVED:
                due.append(profile_id)
                obsolete += [held.id] if held else []
            elif held.parked_at is None:
                waiting += 1
            else:
                revived.append(held.id)
        # Nobody ever heard of the rest: whatever was queued for them is not sent.
        self._drop([*obsolete, *(held.id for held in self._open.values())])
        revive(self._connection, revived, self._now)
        self._queue(due, REMOVED)
        return len(due) + len(revived), waiting

    def _undelivered(self) -> dict[str, _Open]:
        statement = sa.select(_O.profile_id, _O.id, _O.kind, _O.parked_at).where(
            _O.destination == self._contract.destination, _O.delivered_at.is_(None)
        )
        return {row[0]: _Open(*row[1:]) for row in self._connection.execute(statement)}

    def _changed_since(self, profile_id: str, when: dt.datetime) -> bool:
        tagged = sa.select(sa.func.max(tag.c.at)).where(tag.c.profile_id == profile.c.id)
        statement = sa.select(sa.func.greatest(profile.c.updated_at, tagged.scalar_subquery()))
        latest = self._connection.scalar(statement.where(profile.c.id == profile_id))
        return latest is not None and latest > when

    def _queue(self, ids: Sequence[str], kind: str) -> None:
        if not ids:
            return
        unnested = sa.func.unnest(_texts(ids))
        listed = unnested.table_valued(
            "profile_id", with_ordinality="place", name="listed"
        ).render_derived()
        rows = sa.select(
            sa.literal(self._contract.destination),
            listed.c.profile_id,
            sa.literal(kind),
            fresh_message_id(),
            sa.literal(0),
            sa.literal(self._now),
            sa.literal(self._now),
        ).order_by(listed.c.place)
        columns = [
            "destination",
            "profile_id",
            "kind",
            "message_id",
            "attempts",
            "not_before",
            "at",
        ]
        self._connection.execute(sa.insert(outbox).from_select(columns, rows))

    def _drop(self, ids: Sequence[int]) -> None:
        if ids:
            self._connection.execute(sa.delete(outbox).where(_O.id == sa.any_(_ids(ids))))


def fresh_message_id() -> sa.ColumnElement[str]:
    """A message id that was never used: ``msg_`` and 32 hex digits, drawn by the database."""
    drawn = sa.func.replace(sa.cast(sa.func.gen_random_uuid(), sa.Text), "-", "")
    return sa.func.concat("msg_", drawn)


def revive(connection: sa.Connection, ids: Sequence[int], now: dt.datetime) -> None:
    """Take messages out of parking; each keeps its id."""
    if ids:
        connection.execute(sa.update(outbox).where(_O.id == sa.any_(_ids(ids))).values(_fresh(now)))


def _fresh(now: dt.datetime) -> dict[str, object]:
    return {"parked_at": None, "attempts": 0, "not_before": now, "last_error": None}


def retry_parked(connection: sa.Connection, destination: str, now: dt.datetime) -> int:
    """Give every parked message of a destination another chance; return how many."""
    return connection.execute(
        sa.update(outbox)
        .where(_O.destination == destination, _O.delivered_at.is_(None), _O.parked_at.is_not(None))
        .values(_fresh(now))
    ).rowcount


def _texts(values: Sequence[str]) -> sa.ColumnElement[Sequence[str]]:
    return sa.literal(list(values), ARRAY(sa.Text))


def _ids(values: Sequence[int]) -> sa.ColumnElement[Sequence[int]]:
    return sa.literal(list(values), ARRAY(sa.BigInteger))
