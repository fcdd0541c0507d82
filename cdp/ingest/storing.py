"""One batch of a source, stored in one transaction, however the source is read.

Invariants:
    1. What is counted is what was committed: a batch that is tried again is counted once.
    2. Every row of a batch ends as added, changed, unchanged, rejected or shredded, each once.
"""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import sqlalchemy as sa

from cdp.declaration import Declaration
from cdp.errors import Stop
from cdp.ingest.destroyed import rows_to_keep
from cdp.ingest.normalise.phone import is_country
from cdp.ingest.prepare import Preparer, Recognised
from cdp.ingest.values import Reading
from cdp.ingest.writing import (
    Incoming,
    SetAside,
    by_field,
    incoming_of,
    write_records,
    write_set_aside,
)
from cdp.storage.key_schema import SealedUnderRetiredKey
from cdp.storage.locks import is_collision
from cdp.vault.keyed import RecordKeys
from cdp.workspace import Workspace
from connectors.declaration import SourceDeclaration
from connectors.record import Record, Rejection
from policies.vocabulary import NodeKind

ATTEMPTS = 5  # to store a batch
Row = tuple[Record, Recognised]
Stored = TypeVar("Stored")


def reading_of(workspace: Workspace, today: dt.date) -> Reading:
    """How the sources of a workspace are read on a day."""
    return reading_under(workspace.declaration, today)


def reading_under(declared: Declaration, today: dt.date) -> Reading:
    """How sources are read under a declaration.

    Raises:
        Stop: a source names a country whose phones nobody can read.
    """
    for source in declared.sources.values():
        for country in (one for spec in source.fields.get("phone", ()) for one in spec.formats):
            if not is_country(country):
                step = "write a country as ISO 3166 has it, such as DE"
                raise Stop("unknown_country", step, source=source.name, field="phone")
    nodes = declared.organisation.nodes.values()
    return Reading(
        today,
        labels=tuple(node.name for node in nodes),
        stores=frozenset(node.id for node in nodes if node.kind is NodeKind.STORE),
        identifiers=declared.identifiers,
        indexes=tuple(declared.indexes.values()),
    )


def committed(engine: sa.Engine, store: Callable[[sa.Connection], Stored]) -> Stored:
    """Store in one transaction, anew where somebody else stored a record or retired a key."""
    for attempt in range(ATTEMPTS):
        try:
            with engine.begin() as connection:
                return store(connection)
        except (sa.exc.DBAPIError, SealedUnderRetiredKey) as error:
            again = isinstance(error, SealedUnderRetiredKey) or is_collision(error)
            if not again or attempt == ATTEMPTS - 1:
                raise
    raise AssertionError("the last attempt returns or raises")


@dataclass(frozen=True, slots=True)
class Place:
    """Where what is set aside is kept.

    Attributes:
        fingerprint: of the content that is read, or of how it came.
        of: the position of a value of a record.
    """

    fingerprint: str
    of: Callable[[Incoming], int] = lambda one: one.record.position


class Storing:
    """Stores batches of one source."""

    def __init__(
        self, workspace: Workspace, declaration: SourceDeclaration, started: dt.datetime
    ) -> None:
        """Make it for one run, which began at ``started``."""
        self._workspace = workspace
        self._declaration = declaration
        self._started = started
        self.record_keys = RecordKeys(workspace.keyring)
        self.preparer = Preparer(
            workspace.keyring,
            workspace.vault,
            declaration,
            reading_of(workspace, started.date()),
            forms=workspace.forms,
        )

    def rows_to_keep(
        self, connection: sa.Connection, refused: Sequence[Rejection]
    ) -> list[Rejection]:
        """Those of the rejected rows that are of no destroyed record."""
        return rows_to_keep(connection, self.record_keys, self._declaration, refused)

    def store(
        self,
        connection: sa.Connection,
        rows: Sequence[Row],
        aside: Sequence[SetAside],
        place: Place,
    ) -> dict[str, int]:
        """Store records, each once among the rows, and whole rows that are set aside.

        Returns:
            Rows by how they ended; ``set_aside`` counts single values.
        """
        incoming, _, gone = incoming_of(connection, self.preparer, rows)
        write_records(connection, self._declaration, incoming, self._started)
        fields = [
            SetAside(place.of(one), p.field, p.rule, p.next_step, p.raw, one.id)
            for one in incoming
            for p in by_field(one.prepared.problems)
        ]
        write_set_aside(
            connection,
            self._workspace.vault,
            self._declaration.name,
            place.fingerprint,
            [*aside, *fields],
            self._started,
        )
        added = sum(one.is_new for one in incoming)
        return {
            "added": added,
            "changed": len(incoming) - added,
            "unchanged": len(rows) - len(incoming) - gone,
            "rejected": len(aside),
            "set_aside": len(fields),
            "shredded": gone,
        }
