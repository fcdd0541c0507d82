"""One body of messages, stored: events by COPY, and people resolved in the same transaction.

Its promises are those of ``cdp/resolution/inbound.py`` and ``cdp/ingest/happenings.py``.
"""

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, TypeVar

import sqlalchemy as sa

from cdp.ingest import happenings, parking
from cdp.ingest.happenings import Standing
from cdp.ingest.intake import Stored
from cdp.ingest.judging import Assertion, Judged
from cdp.ingest.removed import require_not_removed
from cdp.ingest.storing import committed
from cdp.resolution.online import Arrivals
from cdp.workspace import Workspace
from connectors.events.telling import Teller, Told
from connectors.record import Record, Rejection

MOST_ASSERTING: Final = 100  # messages that say who somebody is, in one transaction
COUNTED_FOR: Final = dt.timedelta(hours=1)
"""How long a body is known of which something was left out: SDKs try again for minutes."""
ATTEMPTS: Final = 5
SHREDDED: Final = "shredded"
UNFORESEEN: Final = "could_not_be_processed"
_MISSING_PARENT: Final = "23503"  # PostgreSQL manual, appendix A: the record went meanwhile
T = TypeVar("T")
Place = tuple[int, Judged]  # position in the body, from 1


@dataclass(frozen=True, slots=True)
class Refusal:
    """A message that was refused, by its place in the body, from 1."""

    position: int
    rule: str
    next_step: str


@dataclass(frozen=True, slots=True)
class Body:
    """The messages of one body that do something, and what was left out of it.

    ``name`` makes the keyed hash that names all of it, however often it is sent.
    """

    messages: list[Place]
    received: dt.datetime
    left_out: Counter[str]
    refused: list[Refusal]
    name: Callable[[], bytes]

    def refuse(self, refusal: Refusal) -> None:
        """Note a message that cannot be used."""
        self.left_out[refusal.rule] += 1
        self.refused.append(refusal)


class Storing:
    """Stores the messages of one source."""

    def __init__(
        self,
        workspace: Workspace,
        source: str,
        teller: Teller,
        arrivals: Callable[[], Arrivals],
    ) -> None:
        self._workspace = workspace
        self._source = source
        self._teller = teller
        self._arrivals = arrivals

    def store(self, body: Body) -> tuple[int, int]:
        """Store a body and commit; return how many messages had their effect now, and before."""
        parts = list(_parts(body.messages))
        counted = False
        stored = repeated = 0
        for place, messages in enumerate(parts, start=1):
            part = self._part(messages, body)
            counted = place == len(parts) and not part.asserts
            whole = body if counted else None
            try:
                self._store(part, body, whole)
            except Exception as error:  # noqa: BLE001 - raised again, where none is at fault
                part = self._part(self._without_failing(messages, body, error), body)
                self._store(part, body, whole)
            body.left_out.update(part.left_out)
            stored += len(part.fresh)
            repeated += part.repeated
        if not counted and body.left_out:
            committed(self._workspace.engine, partial(self._tally, body, body.left_out))
        return stored, repeated

    def _part(self, messages: Sequence[Place], body: Body) -> "_Part":
        return _Part(self._workspace, self._source, self._teller, messages, body.received)

    def _store(self, part: "_Part", body: Body, whole: Body | None) -> None:
        if part.asserts:
            for row in self._resolved(part):
                body.refuse(Refusal(row.position, row.rule, row.next_step))
        else:
            self._alone(part, whole)

    def _without_failing(
        self, messages: Sequence[Place], body: Body, error: Exception
    ) -> Sequence[Place]:
        """The messages without those that fail alone, which are refused with their number."""

        def rehearse(connection: sa.Connection, some: Sequence[Place]) -> None:
            part = self._part(some, body)
            if part.asserts:
                self._arrivals().rehearse(connection, part)
            else:
                part.read(connection)
                part.write(connection, {})

        engine = self._workspace.engine
        found = parking.failing(engine, messages, error, rehearse, self._source)
        for one in messages:
            if id(one) in found:
                step = parking.next_step(found[id(one)])
                body.refuse(Refusal(one[0], UNFORESEEN, step))
        return [one for one in messages if id(one) not in found]

    def _resolved(self, part: "_Part") -> Sequence[Rejection]:
        arrivals = self._arrivals()
        return _again_if_gone(lambda: arrivals.take_in(part).refused)

    def _alone(self, part: "_Part", whole: Body | None) -> None:
        """Store what only happened. What is left out of the whole body is counted beside it."""

        def store(connection: sa.Connection) -> None:
            require_not_removed(connection, self._source)
            part.read(connection)
            part.write(connection, {})
            if whole is not None:
                self._tally(whole, whole.left_out + part.left_out, connection)

        _again_if_gone(lambda: committed(self._workspace.engine, store))

    def _tally(self, body: Body, left_out: Counter[str], connection: sa.Connection) -> None:
        if left_out:
            span = body.received, body.received + COUNTED_FOR
            happenings.tally_once(connection, self._source, body.name(), span, left_out)


class _Part:
    """Some messages of a body, for one transaction: a ``Delivery`` of those that assert."""

    def __init__(
        self,
        workspace: Workspace,
        source: str,
        teller: Teller,
        messages: Sequence[Place],
        received: dt.datetime,
    ) -> None:
        self.received = received
        self.fresh: list[Judged] = []  # that have their effect now
        self.repeated = 0
        self.left_out: Counter[str] = Counter()
        self._workspace = workspace
        self._source = source
        self._teller = teller
        self._messages = messages
        self._standing = Standing(frozenset(), {}, frozenset())

    @property
    def asserts(self) -> bool:
        """Whether a message of it says who somebody is."""
        return any(one.assertion is not None for _, one in self._messages)

    def read(self, connection: sa.Connection) -> tuple[Sequence[Record], tuple[Rejection, ...]]:
        """Leave out what had its effect or is of somebody destroyed; merge what is told."""
        self.repeated, self.left_out = 0, Counter()
        if self.asserts:
            asserting = [one.subject for _, one in self._messages if one.assertion is not None]
            happenings.hold(connection, asserting)
        self._standing = happenings.standing(
            connection, self._source, [one for _, one in self._messages]
        )
        fresh = list(self._unseen())
        records, refused = self._records(connection, fresh) if self.asserts else ([], {})
        self.fresh = [
            one for _, one in fresh if one.assertion is None or one.subject not in refused
        ]
        for one in self.fresh:
            self.left_out.update(one.left_out)
        return records, tuple(refused.values())

    def stored(self, connection: sa.Connection, stored: Stored) -> None:
        """Store the events beside the records that they are of."""
        self.write(
            connection, {one.recognised.key: one.id for one in stored.incoming if one.is_new}
        )

    def write(self, connection: sa.Connection, new: dict[bytes, int]) -> None:
        """Store the events; ``new`` are records that were not there before, by key."""
        owners = {**new, **self._standing.owners}
        devices = {
            one.device: owners[one.subject]
            for one in self.fresh
            if one.device is not None and one.subject in owners
        }
        # What a message of this very body says of a device counts for the others in it.
        known = {**owners, **devices}
        happenings.write(connection, self._source, self.fresh, known, self.received)
        if devices or new:
            happenings.join(connection, devices, new)

    def _unseen(self) -> Iterator[Place]:
        seen = set(self._standing.seen)
        for position, one in self._messages:
            if one.message in seen:
                self.repeated += 1
            elif one.subject in self._standing.gone:
                self.left_out[SHREDDED] += 1
            else:
                seen.add(one.message)
                yield position, one

    def _records(
        self, connection: sa.Connection, fresh: Sequence[Place]
    ) -> tuple[list[Record], dict[bytes, Rejection]]:
        """The records as they are with what is told now, and those that cannot be read, by key."""
        told: dict[bytes, tuple[int, Assertion]] = {}
        for position, one in fresh:
            if one.assertion is not None:
                place, earlier = told.get(
                    one.subject, (position, replace(one.assertion, told=Told()))
                )
                merged = earlier.told.merged(one.assertion.told)
                told[one.subject] = place, replace(earlier, told=merged)
        before = happenings.told_of(connection, self._workspace, told)
        records: list[Record] = []
        refused: dict[bytes, Rejection] = {}
        for key, (position, assertion) in told.items():
            whole = before.get(key, Told()).merged(assertion.told)
            found = self._teller.record(position, assertion.record_id, whole)
            if isinstance(found, Rejection):
                refused[key] = found
            else:
                records.append(found)
        return records, refused


def _parts(messages: Sequence[Place]) -> Iterator[Sequence[Place]]:
    """Cut a body where a transaction would hold too many people."""
    begin = asserting = 0
    for end, (_, one) in enumerate(messages):
        if one.assertion is not None:
            if asserting == MOST_ASSERTING:
                yield messages[begin:end]
                begin, asserting = end, 0
            asserting += 1
    if begin < len(messages):
        yield messages[begin:]


def _again_if_gone(store: Callable[[], T]) -> T:
    """Begin anew where a record went between the look-up and the writing of its event."""
    attempt = 1
    while True:
        try:
            return store()
        except sa.exc.DBAPIError as error:
            gone = getattr(error.orig, "pgcode", None) == _MISSING_PARENT
            if not gone or attempt == ATTEMPTS:
                raise
            attempt += 1
