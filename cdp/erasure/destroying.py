"""Destroy records inside a transaction: nothing that was derived from them is left in it.

Invariants, each named by a test in ``tests/integration/erasure/test_shredding.py``:

1. Nothing of the record is left: no cell of any tier, data key, blind index, feature,
   blocking key, edge, membership, value set aside or rejected row of it.
2. Those who stay are as if it had never been there: people, golden fields, consent.
3. A destination that may know somebody who ended is told to forget them.
4. It never waits for a resolve and never fails for what does not open: where a repair is
   not possible, what is left is marked for a full resolve.

Who may do it, the ledger and the audit event are for the caller.
"""

import datetime as dt
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from cdp.erasure import rejected
from cdp.erasure.targets import Held
from cdp.errors import KithError
from cdp.profiles.build import rebuild
from cdp.resolution.announcing import announce
from cdp.resolution.at_once import forget
from cdp.resolution.storing import Outcome
from cdp.storage.schema import profile
from cdp.vault.keyed import RecordKeys
from cdp.workspace import Workspace
from identity.errors import IdentityError


@dataclass(frozen=True, slots=True)
class Destroyed:
    """What went, and whom it changed.

    Attributes:
        rows: by table, of those that held something of the records.
        ended: profiles that are gone.
        changed: profiles that stay, and say something else now.
        repaired: whether identity is whole again; else the next resolve is a full one.
    """

    rows: Mapping[str, int]
    ended: tuple[str, ...]
    changed: tuple[str, ...]
    repaired: bool


def destroy(
    connection: sa.Connection,
    workspace: Workspace,
    records: Sequence[Held],
    now: dt.datetime,
    rejects: Callable[..., int] = rejected.remove,
) -> Destroyed:
    """Delete records and all that was derived from them; see ``ledger.alone`` first.

    Args:
        connection: in the caller's transaction.
        workspace: whose.
        records: to be destroyed.
        now: when.
        rejects: deletes the rejected rows of records, and says how many.
    """
    if not records:
        return Destroyed({}, (), (), repaired=True)
    ids = [one.id for one in records]
    own = [RecordKeys(workspace.keyring).profile_id(one.key) for one in records]
    rows = {name: connection.scalar(sa.text(text), {"ids": ids}) or 0 for name, text in _COUNTS}
    there = profile.c.id == sa.any_(sa.cast(own, sa.ARRAY(sa.Text)))
    ended = list(connection.scalars(sa.select(profile.c.id).where(there).order_by(profile.c.id)))
    rows["reject"] += rejects(connection, workspace, records)
    outcome = _forgotten(connection, workspace, ids)
    repaired = outcome is not None
    if outcome is None:
        outcome = _uprooted(connection, workspace, ids, now)
    changed = tuple(one for one in outcome.touched if one not in own)
    announce(connection, workspace.declaration, outcome, now, gone=ended)
    named = {"own": own, "changed": list(changed), "keys": [one.key for one in records]}
    for statement in _TRACES:
        asked = statement.compile().params
        connection.execute(statement, {name: named[name] for name in asked})
    return Destroyed(rows, tuple(ended), changed, repaired)


def _forgotten(
    connection: sa.Connection, workspace: Workspace, ids: Collection[int]
) -> Outcome | None:
    """Let identity forget the records; None where it cannot be repaired now."""
    try:
        with connection.begin_nested():
            return forget(connection, workspace, ids).outcome
    except (KithError, IdentityError, LookupError, ValueError):
        # No epoch yet, keys of another version, features or keys that are not all there.
        # Whatever it is, what is to be destroyed is destroyed.
        return None


def _uprooted(
    connection: sa.Connection, workspace: Workspace, ids: Sequence[int], now: dt.datetime
) -> Outcome:
    """Delete the records alone, and have everybody decided anew by the next resolve."""
    given = {"ids": list(ids)}
    touched = tuple(connection.scalars(_THEIRS, given))
    for statement in _UPROOT:
        connection.execute(statement, given)
    rebuild(connection, workspace.declaration.trust, touched, now)
    return Outcome(0, (), (), touched)


_IDS: Final = "ANY(CAST(:ids AS bigint[]))"
_BLOCKS: Final = (
    f"SELECT coalesce(sum(cardinality(keys)), 0) FROM kith.record_block WHERE record_id = {_IDS}"
)
_COUNTS: Final = (
    ("record", f"SELECT count(*) FROM kith.record WHERE id = {_IDS}"),
    *(
        (name, f"SELECT count(*) FROM {schema}.{name} WHERE record_id = {_IDS}")
        for schema, name in (
            ("kith_vault", "contact"),
            ("kith_vault", "sensitive"),
            ("kith_vault", "masked"),
            ("kith_vault", "blind_index"),
            ("kith_keys", "data_key"),
            ("kith", "membership"),
            ("kith", "membership_history"),
            ("kith", "reject"),
            ("kith", "event"),
        )
    ),
    ("block", _BLOCKS),
    *(
        (name, f"SELECT count(*) FROM kith.{name} WHERE low_id = {_IDS} OR high_id = {_IDS}")
        for name in ("edge", "decision_link")
    ),
)
_THEIRS: Final = sa.text(
    f"SELECT DISTINCT profile_id FROM kith.membership WHERE record_id = {_IDS} ORDER BY 1"
)
# A profile cannot be without its anchor: whoever was in it waits for the resolve.
_UPROOT: Final = (
    sa.text(
        f"""
        UPDATE kith.record SET dirty = TRUE WHERE id IN (
            SELECT m.record_id FROM kith.membership m
              JOIN kith.membership gone ON gone.profile_id = m.profile_id
             WHERE gone.record_id = {_IDS})
        """
    ),
    sa.text(
        f"""
        DELETE FROM kith.membership WHERE record_id = {_IDS} OR profile_id IN (
            SELECT id FROM kith.profile WHERE anchor_id = {_IDS})
        """
    ),
    sa.text(f"DELETE FROM kith.profile WHERE anchor_id = {_IDS}"),
    sa.text(f"DELETE FROM kith.record WHERE id = {_IDS}"),
    sa.text("UPDATE kith.workspace SET blocked_with = NULL"),
)
# What still names the profile ids of the records, or was worked out from their values.
# ``published`` stays: it says whom a destination is still to be told to forget.
_TRACES: Final = (
    sa.text("DELETE FROM kith.profile_event WHERE profile_id = ANY(:own) OR other_id = ANY(:own)"),
    sa.text("DELETE FROM kith.redirect WHERE old_id = ANY(:own) OR new_id = ANY(:own)"),
    sa.text("DELETE FROM kith.membership_history WHERE profile_id = ANY(:own)"),
    sa.text("DELETE FROM kith.outbox WHERE profile_id = ANY(:own) AND delivered_at IS NOT NULL"),
    sa.text("DELETE FROM kith.tag WHERE profile_id = ANY(:changed)"),
    # Events that came before the record was there; the others went with it.
    sa.text("DELETE FROM kith.event WHERE subject = ANY(:keys) AND record_id IS NULL"),
    # Who was shown what, when and why stays to be reviewed; whose it was goes.
    sa.text("UPDATE kith.reveal SET profile_id = NULL WHERE profile_id = ANY(:own)"),
    sa.text("UPDATE kith.reveal_request SET profile_id = NULL WHERE profile_id = ANY(:own)"),
    sa.text(
        """
        DELETE FROM kith.decision d WHERE d.profiles <@ CAST(:own AS text[])
           AND NOT EXISTS (SELECT FROM kith.decision_link k WHERE k.decision_id = d.id)
        """
    ),
)
