"""Records that another system sends: who may send them, and what the sender is told.

Invariants, each named by a test in ``tests/integration/api/test_sending.py``:
    1. Policy is asked and the event is committed before a record is read.
    2. The answer holds counts and what is wrong with refused rows, never a value, and the
       id of a person only for whom the sender may read, with an event of its own.
    3. The same records sent again change nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from cdp.access.answers import Denial, DenialKind
from cdp.audit.errors import DetailRefused
from cdp.audit.event import screen
from cdp.ingest.intake import MOST_SENT
from cdp.profiles import reader
from cdp.resolution.every_source import EverySource
from cdp.resolution.online import Arrival
from cdp.resolution.permission import NOBODY, Permission
from cdp.workspace import Workspace
from policies.decision import Subject
from policies.vocabulary import Action, FieldClass

MOST: Final = MOST_SENT
NO_SUCH_SOURCE: Final = Denial(
    DenialKind.NOT_FOUND, "no_such_source", "Name a source of cdp.yaml in the address."
)

KEY_WITHHELD: Final = Denial(
    DenialKind.FORBIDDEN,
    "key_withheld",
    "This process lacks the keys that records are taken in with: send them to one started "
    "with --role full.",
)


@dataclass(frozen=True, slots=True)
class Sent:
    """What a sender is told.

    Attributes:
        arrival: what became of the rows.
        profiles: the people whom they belong to, where the sender may read all of these;
            None where it may not.
    """

    arrival: Arrival
    profiles: tuple[str, ...] | None


class Sending:
    """Takes in what is sent to the sources of a workspace. Any number of threads may use it."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self.sources = EverySource(workspace)

    def refusal(
        self, connection: sa.Connection, subject: Subject, source: str, request_id: str
    ) -> Denial | None:
        """Say why the subject may not send; the event of either answer is written.

        Commit before anything is taken in.
        """
        permission = Permission(
            self._workspace, subject, Action.INGEST, "records.send", request_id=request_id
        )
        denial = permission.refusal()
        if denial is None and not self._takes_rows(source):
            denial = NO_SUCH_SOURCE
        if denial is None and not self._workspace.keyring.holds("features"):
            denial = KEY_WITHHELD
        if denial is not None:
            permission.log_refused(connection, denial)
            return denial
        permission.log_allowed(connection, [NOBODY], _loggable(source))
        return None

    def _takes_rows(self, source: str) -> bool:
        """Whether there is such a source, and rows of it come as they are."""
        declared = self._workspace.declaration.sources.get(source)
        return declared is not None and declared.inbound is None

    def take_in(self, subject: Subject, source: str, rows: Sequence[str], request_id: str) -> Sent:
        """Store rows (JSON objects, as text) and resolve them, in a transaction of their own.

        Args:
            subject: whom ``refusal`` did not refuse.
            source: as ``refusal`` was asked.
            rows: at most ``MOST``.
            request_id: for the log.

        Raises:
            Refused: others kept changing the same people; nothing was stored.
            Retry: the database went away, or a key was retired meanwhile; sent again, what
                was stored counts as unchanged.
        """
        arrival = self.sources.arrivals(source).resolve(rows)
        permission = Permission(
            self._workspace,
            subject,
            Action.READ,
            "profile.read",
            FieldClass.PROFILE_ID,
            request_id=request_id,
        )
        if permission.refusal() is not None:
            return Sent(arrival, None)
        with self._workspace.engine.begin() as connection:
            found = reader.locate_many(connection, arrival.profiles)
            if any(permission.why_not(one) for one in found):
                return Sent(arrival, None)
            permission.log_allowed(connection, [one.id for one in found])
        return Sent(arrival, tuple(one.id for one in found))


def _loggable(source: str) -> str | None:
    """The name of a source, unless it holds so many digits that it reads like a number."""
    try:
        screen(source)
    except DetailRefused:
        return None
    return source
