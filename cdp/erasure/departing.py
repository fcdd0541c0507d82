"""Destroy what its own source deleted, in the transaction of the sync that heard of it.

It is not a shred: nothing stands in the ledger, and the source may deliver the record again,
as a new one.

Invariants, each named by a test in ``tests/integration/feeds/test_departing.py``:

1. Of a record that its source deleted nothing is left, as of one that was shredded.
2. Those who stay are as if it had never been there.
3. A frozen record stays: a person decided that, and a source does not undo it.
4. The audit event of each person is written first, in the same transaction.
5. Where a resolve is at work for longer than a moment, nothing is done, and the sync says so:
   it goes on where it ended.
"""

from collections.abc import Collection

import sqlalchemy as sa

from cdp.audit import log
from cdp.audit.event import AuditEvent
from cdp.erasure import ledger, targets
from cdp.erasure.destroying import destroy
from cdp.erasure.rejected import remove_looked_into
from cdp.erasure.shredding import FROZEN
from cdp.workspace import Workspace

EVENT = "source.delete"
REASON = "deleted_at_source"
ROLE = "source"
PURPOSE = "legal"


class Departing:
    """What a sync of a feed does with deletions: see `cdp.ingest.feed_sync.Departures`."""

    def begin(self, connection: sa.Connection) -> None:
        """Keep others from resolving and destroying until the transaction ends.

        Raises:
            Refused: others do, for longer than a moment.
        """
        ledger.alone(connection)

    def end(
        self, connection: sa.Connection, workspace: Workspace, source: str, keys: Collection[bytes]
    ) -> tuple[int, set[bytes]]:
        """Destroy the records of these keys that are stored.

        Returns:
            How many there were, and the keys of those that stay, frozen.
        """
        stored = targets.by_key(connection, sorted(keys))
        stay = {one.key for one in stored if one.state == FROZEN}
        go = [one for one in stored if one.key not in stay]
        if not go:
            return 0, stay
        people = dict.fromkeys(one.profile_id for one in go)
        log.append_all(connection, [_event(workspace, source, one) for one in people])
        destroy(connection, workspace, go, workspace.now(), remove_looked_into)
        return len(go), stay


def _event(workspace: Workspace, source: str, profile_id: str | None) -> AuditEvent:
    return AuditEvent(
        actor=f"source:{source}",
        role=ROLE,
        action=EVENT,
        purpose=PURPOSE,
        decision="allow",
        reason=REASON,
        policy_version=workspace.policy.version,
        at=workspace.now(),
        profile_id=profile_id,
    )
