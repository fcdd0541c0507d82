"""Publish to a destination that takes a whole table at a time, such as a file.

Invariants, each named by a test in ``tests/integration/publish``:

1. No audit, no export: the events, one for each person and one for the table, are
   committed after the last row is written and before the table appears.
2. All of the table or the old one: a failure leaves what was there.
3. Nothing changed, nothing written.
4. The table holds the people and fields of one moment.
"""

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import sqlalchemy as sa

from cdp.access.trail import Attempt
from cdp.audit import log
from cdp.audit.event import AuditEvent
from cdp.publish import ledger
from cdp.publish.contract import Contract
from cdp.publish.plan import IN_DOUBT, Planned, compared, to_forget
from cdp.publish.render import Rendered, Renderer, count_not_consenting, included_parts
from cdp.workspace import Workspace
from connectors.base import Row, TableDestination
from policies.reasons import Reason

TABLE_ACTION: Final = "table.publish"
KEPT: Final = 50_000  # people held in memory between comparing and writing, some 2 kB each


@dataclass(slots=True)
class TableRun:
    """One publication of one table. Use it once."""

    workspace: Workspace
    contract: Contract
    destination: TableDestination
    now: dt.datetime
    _bodies: dict[str, bytes] = field(
        default_factory=dict, init=False
    )  # digests of what is written
    _forgotten: list[str] = field(default_factory=list, init=False)
    _kept: list[list[Rendered]] | None = field(default_factory=list, init=False, repr=False)

    def publish(self, *, present: bool) -> tuple[Planned, int]:
        """Write the table if it would differ; return what was found, and the rows written.

        Args:
            present: whether the table that was written last is still there.
        """
        renderer = Renderer(self.workspace, self.contract)
        engine = self.workspace.engine
        # Both passes over the people must see the same people.
        snapshot = engine.execution_options(isolation_level="REPEATABLE READ")
        with snapshot.connect() as connection:
            planned, changed = self._compare(connection, renderer)
            if present and not planned.queued and not planned.removed:
                return planned, 0
            ledger.know(connection, self.contract, dict.fromkeys(changed, IN_DOUBT), self.now)
            written = self.destination.write(self._rows(connection, renderer))
        with engine.begin() as connection:
            ledger.know(connection, self.contract, self._bodies, self.now)
            ledger.forget(connection, self.contract, self._forgotten)
        return planned, written

    def _compare(self, connection: sa.Connection, renderer: Renderer) -> tuple[Planned, list[str]]:
        unchanged, changed = 0, []
        for part in compared(connection, self.contract, renderer):
            unchanged += sum(same for _, same in part)
            changed += [one.profile_id for one, same in part if not same]
            self._keep([one for one, _ in part])
        self._forgotten = to_forget(connection, self.contract)
        missing = count_not_consenting(connection, self.contract)
        return Planned(len(changed), unchanged, missing, len(self._forgotten)), changed

    def _keep(self, people: list[Rendered]) -> None:
        """Keep what was rendered for writing it; above ``KEPT`` people it is rendered again."""
        if self._kept is not None:
            self._kept.append(people)
            if sum(map(len, self._kept)) > KEPT:
                self._kept = None

    def _parts(self, connection: sa.Connection, renderer: Renderer) -> Iterator[list[Rendered]]:
        if self._kept is not None:
            yield from self._kept
            return
        for ids in included_parts(connection, self.contract):
            yield list(renderer.render(connection, ids).values())

    def _rows(self, connection: sa.Connection, renderer: Renderer) -> Iterator[Row]:
        """Yield the rows; the events are committed before the writer learns that it is the end."""
        for people in self._parts(connection, renderer):
            log.append_all(connection, [self._event(one) for one in people])
            for one in people:
                self._bodies[one.profile_id] = one.digest
                yield {name: _flat(value) for name, value in one.data.items()}
        log.append(connection, self._table_event(len(self._bodies)))
        connection.commit()

    def _event(self, one: Rendered) -> AuditEvent:
        contract = self.contract
        attempt = Attempt(
            subject=contract.subject,
            action=ledger.PUBLISH_ACTION,
            purpose=contract.purpose,
            policy_version=contract.policy_version,
            at=self.now,
            request_id=None,
        )
        return attempt.allowed(one.profile_id, one.shown)

    def _table_event(self, count: int) -> AuditEvent:
        contract = self.contract
        return AuditEvent(
            actor=contract.subject.id,
            role=contract.subject.role,
            action=TABLE_ACTION,
            purpose=contract.purpose,
            decision="allow",
            reason=Reason.GRANTED.value,
            policy_version=contract.policy_version,
            at=self.now,
            fields=contract.fields,
            detail=in_words(count),
        )


def in_words(count: int) -> str:
    """Write a number of people so that the log does not take it for a phone number."""
    millions, rest = divmod(count, 1_000_000)
    return f"{millions} million {rest} people" if millions else f"{rest} people"


def _flat(value: object) -> object:
    """One cell: pairs become ``name=value``, joined by whoever writes the table."""
    if isinstance(value, Mapping):
        return [f"{name}={one}" for name, one in sorted(value.items())]
    return value
