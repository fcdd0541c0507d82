"""The audit log: append, seal, verify, and who saw whom.

Invariants, each named by a test in ``tests/integration/audit``:

1. An event is written in the same transaction as, and before, what it describes: either
   both are kept or neither is.
2. No audit, no reveal: without a kept event that allows it, the work is not done and
   its result is not handed out.
3. A sealed line cannot be changed, removed, moved, inserted, truncated or forged without
   `verify` finding it: the root of all lines is signed by a key outside the database.
4. Leaf numbers have no gaps and never change; ids may have gaps, for a transaction that
   is rolled back takes its id with it.
5. A seal never signs on top of a log that differs from its newest checkpoint.
6. Appending waits for nobody. Sealing waits for other seals and verifications.

What it does not do: an event that is not sealed yet can be changed by whoever may write
to the table, so seal often. Whoever removes the newest checkpoint together with all it
sealed, or holds the signing key, is found only against an exported checkpoint, so export.
An event's id is a handle, not evidence: the line and its leaf are.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeVar

import sqlalchemy as sa

from cdp.audit.checkpoint import Checkpoint, Signer, signed_text
from cdp.audit.errors import (
    CheckpointNotOurs,
    EventNotRecordable,
    LogBroken,
    NotAudited,
    TransactionNeeded,
)
from cdp.audit.event import AuditEvent, line, parse
from cdp.audit.findings import Report
from cdp.audit.merkle import CompactRange, leaf_hash
from cdp.audit.verification import SEAL_ACTION, StoredEvent, Verification
from cdp.storage.schema import audit_checkpoint, audit_event

T = TypeVar("T")

_LOCK: Final = 0x6B6974685F617564  # "kith_aud": one seal at a time in a database
_PART: Final = 5000  # rows fetched at once
_VERIFY_COMMAND: Final = "run cdp audit verify and follow what it says"
_E, _C = audit_event.c, audit_checkpoint.c
_INSERT: Final = sa.insert(audit_event)


def _time_text(column: sa.ColumnElement[object]) -> sa.ColumnElement[str]:
    """The time as the line writes it, and the era: text can hold what a datetime cannot."""
    written = sa.func.to_char(
        column.op("AT TIME ZONE")("UTC"), sa.literal('YYYY-MM-DD"T"HH24:MI:SS.US"Z" AD')
    )
    return sa.func.coalesce(written, "")


# ── append ──────────────────────────────────────────────────────────────────


def append(connection: sa.Connection, event: AuditEvent) -> int:
    """Write one event in the connection's transaction, before what it describes.

    Hand nothing out before that transaction is committed; `audited` sees to it.

    Returns:
        The id of the event.

    Raises:
        TransactionNeeded: the connection commits each statement by itself.
        EventNotRecordable: the action is the log's own.
    """
    _check_transaction(connection)
    statement = _INSERT.returning(_E.id)
    return int(connection.execute(statement, _row(event)).scalar_one())


def append_all(connection: sa.Connection, events: Iterable[AuditEvent]) -> list[int]:
    """Write events in their order, as `append` does, many to a statement.

    Returns:
        Their ids, in the order of the events.
    """
    _check_transaction(connection)
    rows = [_row(event) for event in events]
    if not rows:
        return []
    statement = _INSERT.returning(_E.id, sort_by_parameter_order=True)
    return list(connection.execute(statement, rows).scalars())


def audited(
    engine: sa.Engine, events: Sequence[AuditEvent], work: Callable[[sa.Connection], T]
) -> T:
    """Write ``events``, do ``work`` in the same transaction, commit, hand out the result.

    If the events cannot be written, the work is not done; if it fails or the commit
    does, nothing is kept and nothing is handed out.

    Raises:
        NotAudited: there is no event, or one of them says deny. A refusal is recorded
            with `append` and there is no work to do.
    """
    if not events or any(event.decision != "allow" for event in events):
        raise NotAudited("no_event_allows_it", "pass an event that allows each thing done")
    with engine.begin() as connection:
        append_all(connection, events)
        return work(connection)  # reaches the caller only if the commit succeeds


def _row(event: AuditEvent) -> dict[str, object]:
    if event.action == SEAL_ACTION:
        raise EventNotRecordable("action_of_the_log_itself", "name the action otherwise")
    return _columns(event)


def _columns(event: AuditEvent) -> dict[str, object]:
    return {
        "line": line(event),
        "actor": event.actor,
        "action": event.action,
        "profile_id": event.profile_id,
        "at": event.at,
    }


# ── seal ────────────────────────────────────────────────────────────────────


def seal(connection: sa.Connection, signer: Signer, now: datetime, *, workspace: str) -> Checkpoint:
    """Give every committed event its leaf, and sign the root of the whole log.

    Leaves are given in the order of ids. An event whose transaction is still open waits
    for the next seal. The seal leaves an event of its own as the last leaf, so that a
    removed checkpoint is missed. With nothing new to seal, the newest checkpoint is
    returned and nothing is written. It takes effect when the transaction commits.

    Raises:
        TransactionNeeded: the transaction is not READ COMMITTED, so that it could not
            see what another seal wrote while this one waited.
        LogBroken: the stored log is not the one that the newest checkpoint signed.
    """
    _check_transaction(connection)
    if connection.scalar(sa.text("SHOW transaction_isolation")) != "read committed":
        raise TransactionNeeded("seal_needs_read_committed", "seal in a transaction of its own")
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    newest = newest_checkpoint(connection, workspace=workspace)
    size = newest.size if newest else 0
    _check_end(connection, size)
    if newest is not None:
        _check_signature(newest, signer)
        if not connection.scalar(sa.select(sa.exists().where(_E.leaf.is_(None)))):
            return newest
    _number(connection, size, _seal_event(now))
    tree = _replay(connection, newest)
    message = signed_text(workspace, tree.size, tree.root(), now)
    checkpoint = Checkpoint(
        workspace=workspace,
        size=tree.size,
        root=tree.root(),
        at=now,
        key_version=signer.version,
        signature=signer.sign(message),
    )
    connection.execute(
        sa.insert(audit_checkpoint),
        {name: getattr(checkpoint, name) for name in _C.keys()},  # noqa: SIM118 - not a dict
    )
    return checkpoint


def newest_checkpoint(connection: sa.Connection, *, workspace: str) -> Checkpoint | None:
    """Return the newest checkpoint, to export with `Checkpoint.to_text`; None before the first."""
    found = _checkpoints(connection, workspace, newest=True)
    return found[0] if found else None


def _seal_event(now: datetime) -> AuditEvent:
    return AuditEvent(
        actor="kith",
        role="platform",
        action=SEAL_ACTION,
        purpose="audit",
        decision="allow",
        reason="seal",
        policy_version="audit-v1",
        at=now,
    )


def _number(connection: sa.Connection, size: int, own: AuditEvent) -> None:
    """Write the seal's own event and number it last, after every unsealed event."""
    last = connection.execute(_INSERT.returning(_E.id), _columns(own)).scalar_one()
    place = sa.func.row_number().over(order_by=_E.id) - 1 + size
    # Events committed meanwhile may have a higher id; they wait for the next seal.
    fresh = (
        sa.select(_E.id, place.label("leaf"))
        .where(_E.leaf.is_(None), _E.id <= last)
        .subquery("fresh")
    )
    connection.execute(sa.update(audit_event).where(_E.id == fresh.c.id).values(leaf=fresh.c.leaf))


def _replay(connection: sa.Connection, newest: Checkpoint | None) -> CompactRange:
    """Stream every sealed line into the tree, and compare it with the newest checkpoint."""
    tree = CompactRange()
    statement = sa.select(_E.leaf, _E.line).where(_E.leaf.is_not(None)).order_by(_E.leaf)
    rows = connection.execute(statement, execution_options={"yield_per": _PART})
    for leaf, text in rows:
        if leaf != tree.size:
            raise LogBroken("leaf_out_of_place", _VERIFY_COMMAND, leaf=leaf)
        tree.append(leaf_hash(text.encode()))
        if newest and tree.size == newest.size and tree.root() != newest.root:
            raise LogBroken("root_differs", _VERIFY_COMMAND, size=newest.size)
    return tree


def _check_end(connection: sa.Connection, size: int) -> None:
    """The last leaf is the last that the newest checkpoint signed."""
    last = connection.scalar(sa.select(sa.func.max(_E.leaf)))
    if (-1 if last is None else last) != size - 1:
        raise LogBroken("leaves_do_not_end_at_the_newest_checkpoint", _VERIFY_COMMAND, size=size)


def _check_signature(newest: Checkpoint, signer: Signer) -> None:
    # An older key is not at hand here; `verify` knows them all.
    if newest.key_version == signer.version and not newest.is_signed_by(
        {signer.version: signer.public_bytes()}
    ):
        raise LogBroken("signature_forged", _VERIFY_COMMAND, size=newest.size)


# ── verify and ask ──────────────────────────────────────────────────────────


def verify(
    connection: sa.Connection,
    keys: Mapping[int, bytes],
    *,
    workspace: str,
    trusted: Checkpoint | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Recompute the whole log and compare it with every checkpoint.

    Rows are streamed, never held; sealing waits meanwhile, appending does not.

    Args:
        connection: in a transaction; end it afterwards, so that sealing goes on.
        keys: raw Ed25519 public keys by key version, retired ones included.
        workspace: the workspace whose log this must be.
        trusted: a checkpoint that was kept outside the database.
        progress: called with events done and events in all, every few thousand.

    Raises:
        CheckpointNotOurs: ``trusted`` is not signed by one of the keys for this workspace.
    """
    _check_transaction(connection)
    if not keys:
        raise CheckpointNotOurs("no_public_key", "pass the public keys of the key ring")
    if trusted and (trusted.workspace != workspace or not trusted.is_signed_by(keys)):
        raise CheckpointNotOurs(
            "trusted_checkpoint_not_ours", "take one that was exported from this workspace"
        )
    # Checkpoints and events are read by two statements: no seal may come between.
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock_shared(_LOCK)))
    checkpoints = _checkpoints(connection, workspace)
    total = connection.scalar(sa.select(sa.func.count()).select_from(audit_event)) or 0
    judged = Verification(checkpoints, keys, trusted)
    statement = sa.select(
        _E.id,
        _E.leaf,
        sa.func.coalesce(_E.line, ""),  # whoever can drop a constraint must not stop us
        _E.actor,
        _E.action,
        _E.profile_id,
        _time_text(_E.at),
    ).order_by(_E.leaf)
    rows = connection.execute(statement, execution_options={"yield_per": _PART})
    for part in rows.partitions():
        for row in part:
            judged.event(StoredEvent(*row))
        if progress:
            progress(judged.events, max(total, judged.events))
    return judged.report()


@dataclass(frozen=True, slots=True)
class Sighting:
    """One answer to "who saw this person, when, why"."""

    event_id: int
    leaf: int | None  # None: not sealed yet
    event: AuditEvent


def who_saw(connection: sa.Connection, profile_id: str, *former_ids: str) -> list[Sighting]:
    """Return what was done, or refused, with a person's data, oldest first.

    Args:
        connection: any.
        profile_id: the person's present id.
        former_ids: the ids that redirect to it: merged profiles were seen under them.

    Raises:
        EventNotRecordable: a stored line was altered beyond reading; names the event.
    """
    statement = (
        sa.select(_E.id, _E.leaf, _E.line)
        .where(_E.profile_id.in_([profile_id, *former_ids]))
        .order_by(_E.at, _E.id)
    )
    return [_sighting(*row) for row in connection.execute(statement)]


def _sighting(event_id: int, leaf: int | None, text: str) -> Sighting:
    try:
        return Sighting(event_id, leaf, parse(text))
    except EventNotRecordable as error:
        raise EventNotRecordable.at(error, event=event_id) from None


def _checkpoints(
    connection: sa.Connection, workspace: str, *, newest: bool = False
) -> list[Checkpoint]:
    statement = sa.select(_C.size, _C.root, _C.key_version, _C.signature, _time_text(_C.at))
    statement = statement.order_by(_C.size.desc() if newest else _C.size)
    return [
        Checkpoint(
            workspace=workspace,
            size=size,
            root=bytes(root),
            at=_instant(at),
            key_version=key_version,
            signature=bytes(signature),
        )
        for size, root, key_version, signature, at in connection.execute(
            statement.limit(1) if newest else statement
        )
    ]


def _instant(text: str) -> datetime:
    """Return a stored time; one that Kith never writes becomes one that nobody signed."""
    try:
        return datetime.fromisoformat(text.removesuffix(" AD"))
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)


def _check_transaction(connection: sa.Connection) -> None:
    driver = connection.connection.dbapi_connection
    if driver is None or connection.dialect.detect_autocommit_setting(driver):
        raise TransactionNeeded(
            "autocommit", "use a connection that keeps the event and its effect together"
        )
