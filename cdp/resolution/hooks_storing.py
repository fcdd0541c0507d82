"""One webhook, stored: its deletions, its records resolved, its rejected rows, and its name.

Its promises are those of ``cdp/resolution/hooks.py``. Deletions come first, in a transaction of
their own, since they keep everybody else waiting; the last transaction remembers the message, so
one that is broken off between the two is done again, and what was done changes nothing.
"""

import datetime as dt
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

import sqlalchemy as sa

from cdp.ingest import orders
from cdp.ingest.contract import unless_paused
from cdp.ingest.destroyed import hold_ledger, possible_keys, rows_to_keep
from cdp.ingest.feed_sync import Departures, frozen
from cdp.ingest.intake import Stored
from cdp.ingest.orders import Named
from cdp.ingest.parking import failing, parked
from cdp.ingest.remembered import is_known, remember
from cdp.ingest.removed import require_not_removed
from cdp.ingest.storing import committed
from cdp.ingest.writing import SetAside, write_set_aside
from cdp.resolution.online import Arrivals
from cdp.vault.keyed import RecordKeys
from cdp.workspace import Workspace
from connectors.base import Deleted
from connectors.declaration import SourceDeclaration
from connectors.hooks.rows import Row, Sent
from connectors.record import Raw, Record, Rejection

SENT: Final = "hook"  # begins what names the content of rejected rows
REASON: Final = "name a record that was sent"
SUPERSEDED, SHREDDED = "superseded", "shredded"
Ways = tuple[Callable[[], Arrivals], Departures]


@dataclass(frozen=True, slots=True)
class Message(Raw):
    """A message whose sender is known.

    Attributes:
        source: its name.
        name: keyed hash that names the message.
        until: how long it is to be remembered.
        received: when it came.
    """

    source: str
    name: bytes = field(repr=False)
    until: dt.datetime
    received: dt.datetime


class _Repeated(Exception):  # noqa: N818 - caught in this module
    """The message had its effect before; what was written is rolled back."""


def store(
    workspace: Workspace,
    declared: SourceDeclaration,
    message: Message,
    rows: Sequence[Sent],
    ways: Ways,
) -> Counter[str]:
    """Store all of a message, unless it had its effect before, and commit.

    Args:
        workspace: to store it in.
        declared: its source.
        message: as it was proven.
        rows: of its body.
        ways: what resolves records of the source, and what destroys them.

    Returns:
        How many of its records had no effect, by rule.

    A row that fails in a way that nobody foresaw is set aside as one of a file is, and the others
    are stored: the sender does not read answers, and would send the same for ever.

    Raises:
        Refused: others are in the way; send it again.
        Retry: the database went away, or a key was retired meanwhile.
    """
    try:
        return _stored(workspace, declared, message, rows, ways)
    except Exception as error:  # noqa: BLE001 - raised again, where no row is at fault
        arrivals = ways[0]()
        may_be = [one for one in rows if isinstance(one.row, Record | Rejection)]

        def rehearse(connection: sa.Connection, some: Sequence[Sent]) -> None:
            _Part(workspace, declared, message, some).rehearse(connection, arrivals)

        found = failing(workspace.engine, may_be, error, rehearse, declared.name)
    kept = [_or_parked(one, found) for one in rows]
    return _stored(workspace, declared, message, kept, ways)


def _stored(
    workspace: Workspace,
    declared: SourceDeclaration,
    message: Message,
    rows: Sequence[Sent],
    ways: Ways,
) -> Counter[str]:
    arrivals, departures = ways
    part = _Part(workspace, declared, message, rows)
    with workspace.engine.connect() as connection:
        if is_known(connection, message.source, message.name, message.received):
            return Counter()
    left_out: Counter[str] = Counter()
    try:
        if part.gone:
            committed(workspace.engine, lambda one: part.end(one, departures))
        if part.records:
            left_out[SHREDDED] = arrivals().take_in(part).shredded
        elif not part.remembered:
            committed(workspace.engine, part.close)
    except _Repeated:
        return Counter()
    left_out[SUPERSEDED] = part.superseded
    return +left_out


class _Part:
    """The rows of one message; a ``Delivery`` of its records."""

    def __init__(
        self,
        workspace: Workspace,
        declared: SourceDeclaration,
        message: Message,
        rows: Sequence[Sent],
    ) -> None:
        self._workspace, self._declared, self._message = workspace, declared, message
        self._keys = RecordKeys(workspace.keyring)
        checked = [_unless_paused(row) for row in rows]
        named = [self._named(row) for row in checked if isinstance(row, Record | Deleted)]
        newest = orders.newest(named)
        self.gone = {key: one for key, one in newest.items() if isinstance(one.row, Deleted)}
        self.records = {key: one for key, one in newest.items() if isinstance(one.row, Record)}
        self._refused = [row for row in checked if isinstance(row, Rejection)]
        self._kept: list[Named] = []
        self.remembered = False

    @property
    def superseded(self) -> int:
        """How many records came behind a newer row of theirs."""
        return len(self.records) - len(self._kept)

    def _named(self, row: Record | Deleted) -> Named:
        record_id = row.record_id.reveal(reason=REASON)
        return Named(self._keys.record_key(self._declared.name, record_id), row)

    # ── deletions ───────────────────────────────────────────────────────────

    def end(self, connection: sa.Connection, departures: Departures) -> None:
        """Destroy what the message says is gone."""
        departures.begin(connection)
        hold_ledger(connection)
        require_not_removed(connection, self._declared.name)
        counting = orders.not_late(connection, self.gone)
        keys = sorted(one.key for one in counting)
        _, stay = departures.end(connection, self._workspace, self._declared.name, keys)
        orders.remember(connection, self._declared.name, counting)
        self._set_aside(connection, [frozen(one) for one in counting if one.key in stay])
        if not self.records:
            self.close(connection)

    # ── records ─────────────────────────────────────────────────────────────

    def read(self, connection: sa.Connection) -> tuple[Sequence[Record], tuple[Rejection, ...]]:
        """Return the records that no newer row of theirs came before."""
        self.close(connection)
        self._kept = orders.not_late(connection, self.records)
        return [one.row for one in self._kept if isinstance(one.row, Record)], ()

    def stored(self, connection: sa.Connection, stored: Stored) -> None:
        """Keep how new they are."""
        del stored
        orders.remember(connection, self._declared.name, self._kept)

    def rehearse(self, connection: sa.Connection, arrivals: Arrivals) -> None:
        """Take the records in, and keep what is rejected; the caller rolls it back."""
        with suppress(_Repeated):
            if self.records:
                arrivals.rehearse(connection, self)
            else:
                self.close(connection)

    # ── the message ─────────────────────────────────────────────────────────

    def close(self, connection: sa.Connection) -> None:
        """Keep the rejected rows, and remember the message.

        Raises:
            _Repeated: it was remembered meanwhile.
        """
        hold_ledger(connection)
        require_not_removed(connection, self._declared.name)
        one = self._message
        if not remember(connection, one.source, one.name, one.until, one.received):
            raise _Repeated
        rows = rows_to_keep(connection, self._keys, self._declared, self._refused)
        self._set_aside(connection, [self._looked_into(one) for one in rows])
        self.remembered = True

    def _looked_into(self, row: Rejection) -> SetAside:
        """A rejected row, with the keys of the records that it may be of."""
        text = row.raw.reveal(reason=REASON)
        keys = possible_keys(self._keys, self._declared.name, self._declared, text)
        known = None if keys is None else tuple(sorted(keys))
        return SetAside(row.position, "", row.rule, row.next_step, row.raw, None, keys=known)

    def _set_aside(self, connection: sa.Connection, rows: Sequence[SetAside]) -> None:
        fingerprint = f"{SENT} {self._message.name.hex()}"
        name, now = self._declared.name, self._message.received
        write_set_aside(connection, self._workspace.vault, name, fingerprint, rows, now)


def _or_parked(sent: Sent, found: Mapping[int, str]) -> Sent:
    number = found.get(id(sent))
    if number is None or not isinstance(sent.row, Record | Rejection):
        return sent
    return replace(sent, row=parked(sent.row, number))


def _unless_paused(sent: Sent) -> Row:
    return unless_paused(sent.row, sent.text) if isinstance(sent.row, Record) else sent.row
