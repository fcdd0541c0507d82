"""The audit log on a real PostgreSQL: every way of tampering is found.

Each test names the invariant of `cdp/audit/log.py`.
"""

from collections.abc import Callable
from datetime import timedelta

import pytest
import sqlalchemy as sa

from cdp.audit.checkpoint import Checkpoint
from cdp.audit.errors import (
    CheckpointNotOurs,
)
from cdp.audit.findings import Kind
from cdp.audit.log import (
    newest_checkpoint,
    verify,
)
from cdp.storage.schema import audit_checkpoint, audit_event
from tests.integration.audit.signed_log import (
    C,
    E,
    Signer,
    W,
    judge,
    run,
)

pytestmark = pytest.mark.integration


_ROOM = "UPDATE kith.audit_event SET leaf = -leaf - 1 WHERE leaf >= 6"
_UP = "UPDATE kith.audit_event SET leaf = -leaf WHERE leaf < 0"
_DOWN = "UPDATE kith.audit_event SET leaf = -leaf - 2 WHERE leaf < 0"
_SWAP = (
    "UPDATE kith.audit_event SET leaf = 100 WHERE leaf = 5",
    "UPDATE kith.audit_event SET leaf = 5 WHERE leaf = 6",
    "UPDATE kith.audit_event SET leaf = 6 WHERE leaf = 100",
)
_FORGE = (
    "INSERT INTO kith.audit_event (line, actor, action, profile_id, at, leaf)"
    " SELECT line, actor, action, profile_id, at, {leaf} FROM kith.audit_event WHERE leaf = 5"
)

TAMPERING = {
    "line": (
        ["UPDATE kith.audit_event SET line = replace(line, 'own_store', 'x') WHERE leaf = 5"],
        Kind.LINE_ALTERED,
    ),
    "line and column": (
        ["UPDATE kith.audit_event SET actor = 'x', line = replace(line, actor, 'x') WHERE leaf=5"],
        Kind.LINE_ALTERED,
    ),
    "line lost": (
        [
            "ALTER TABLE kith.audit_event ALTER line DROP NOT NULL",
            "UPDATE kith.audit_event SET line = NULL WHERE leaf = 5",
        ],
        Kind.LINE_ALTERED,
    ),
    "column": (
        ["UPDATE kith.audit_event SET profile_id = 'p_9' WHERE leaf = 5"],
        Kind.COLUMN_ALTERED,
    ),
    "time column": (
        ["UPDATE kith.audit_event SET at = 'infinity' WHERE leaf = 5"],
        Kind.COLUMN_ALTERED,
    ),
    "era of the time column": (
        ["UPDATE kith.audit_event SET at = (at::text || ' BC')::timestamptz WHERE leaf = 5"],
        Kind.COLUMN_ALTERED,
    ),
    "column before sealing": (
        ["UPDATE kith.audit_event SET profile_id = 'p_9' WHERE leaf IS NULL"],
        Kind.COLUMN_ALTERED,
    ),
    "deleted": (["DELETE FROM kith.audit_event WHERE leaf = 5"], Kind.EVENT_DELETED),
    "deleted, gap closed": (
        ["DELETE FROM kith.audit_event WHERE leaf = 5", _ROOM, _DOWN],
        Kind.EVENT_DELETED,
    ),
    "unsealed again": (
        ["UPDATE kith.audit_event SET leaf = NULL WHERE leaf = 5"],
        Kind.EVENT_DELETED,
    ),
    "swapped": (_SWAP, Kind.EVENTS_SWAPPED),
    "inserted": (
        [_ROOM, _FORGE.format(leaf=6), _UP],
        Kind.EVENT_INSERTED,
    ),
    "inserted at the end": ([_FORGE.format(leaf=12)], Kind.EVENT_INSERTED),
    "tail": (["DELETE FROM kith.audit_event WHERE leaf >= 10"], Kind.TAIL_TRUNCATED),
    "everything": (["TRUNCATE kith.audit_event"], Kind.TAIL_TRUNCATED),
    "first checkpoint removed": (
        ["DELETE FROM kith.audit_checkpoint WHERE size = 4"],
        Kind.CHECKPOINT_REMOVED,
    ),
    "newest checkpoint removed": (
        ["DELETE FROM kith.audit_checkpoint WHERE size = 12"],
        Kind.CHECKPOINT_REMOVED,
    ),
    "root": (
        ["UPDATE kith.audit_checkpoint SET root = sha256('') WHERE size = 8"],
        Kind.CHECKPOINT_ALTERED,
    ),
    "checkpoint's time": (
        ["UPDATE kith.audit_checkpoint SET at = 'infinity' WHERE size = 8"],
        Kind.SIGNATURE_FORGED,
    ),
    "checkpoint's key": (
        ["UPDATE kith.audit_checkpoint SET key_version = 2 WHERE size = 8"],
        Kind.SIGNATURE_FORGED,
    ),
    "signature": (
        ["UPDATE kith.audit_checkpoint SET signature = 'none' WHERE size = 8"],
        Kind.SIGNATURE_FORGED,
    ),
}


@pytest.mark.parametrize(("statements", "kind"), TAMPERING.values(), ids=TAMPERING)
def test_tampering_is_found_and_named(sealed, signer, statements, kind):
    """3: Each way of tampering is found in the database and called by its name."""
    assert judge(sealed, signer).ok
    run(sealed, *statements)
    report = judge(sealed, signer)
    assert {finding.kind for finding in report.findings} == {kind}
    assert all(finding.where and finding.next_step for finding in report.findings)


def test_a_signature_by_another_key_is_found(sealed, signer):
    """3: A checkpoint that is sound but signed by another key is found."""
    with sealed.begin() as connection:
        newest = newest_checkpoint(connection, workspace=W)
        forged = Signer().sign(newest.signed_text())
        connection.execute(
            sa.update(audit_checkpoint).where(C.size == newest.size).values(signature=forged)
        )
    (finding,) = judge(sealed, signer).findings
    assert finding.kind == Kind.SIGNATURE_FORGED


def test_the_log_of_another_workspace_is_not_this_one(sealed, signer):
    """3: A log that the same key signed for another workspace is found."""
    with sealed.begin() as connection:
        report = verify(connection, signer.keys, workspace="workspace-2")
    assert {finding.kind for finding in report.findings} == {Kind.SIGNATURE_FORGED}


def test_an_exported_checkpoint_finds_what_leaves_no_trace(sealed, signer):
    """3: The newest checkpoint cut off with its events is missed against an exported copy."""
    with sealed.connect() as connection:
        text = newest_checkpoint(connection, workspace=W).to_text()
    run(
        sealed,
        "DELETE FROM kith.audit_event WHERE leaf >= 8 OR leaf IS NULL",
        "DELETE FROM kith.audit_checkpoint WHERE size = 12",
    )
    assert judge(sealed, signer).ok
    (finding,) = judge(sealed, signer, trusted=Checkpoint.from_text(text)).findings
    assert (finding.kind, finding.where) == (Kind.TAIL_TRUNCATED, "leaves 8 to 11")


def test_an_exported_checkpoint_must_be_ours(sealed, signer):
    """3: A trusted checkpoint of another key or workspace, or no key at all, is refused."""
    with sealed.begin() as connection:
        newest = newest_checkpoint(connection, workspace=W)
        for keys, workspace in ((Signer().keys, W), (signer.keys, "workspace-2"), ({}, W)):
            with pytest.raises(CheckpointNotOurs):
                verify(connection, keys, workspace=workspace, trusted=newest)


CHANGES: dict[str, Callable[[sa.Row], object]] = {
    "line": lambda row: row.line[:-2] + "2}",
    "actor": lambda row: row.actor + "x",
    "action": lambda row: row.action + "x",
    "profile_id": lambda row: None if row.profile_id else "p_1",
    "at": lambda row: row.at + timedelta(microseconds=1),
    "leaf": lambda row: 50 + row.leaf,
    "size": lambda row: row.size + 1,
    "root": lambda row: bytes([row.root[0] ^ 1]) + row.root[1:],
    "key_version": lambda row: row.key_version + 1,
    "signature": lambda row: row.signature[:-1] + bytes([row.signature[-1] ^ 1]),
}


@pytest.mark.parametrize("table", [audit_event, audit_checkpoint], ids=lambda t: t.name)
def test_any_single_change_is_found(sealed, signer, table):
    """3: Every column of every sealed row and checkpoint, changed a little, and every row gone."""
    key = table.primary_key.columns[0]
    with sealed.connect() as connection:
        statement = sa.select(table)
        rows = connection.execute(
            statement.where(E.leaf.is_not(None)) if table is audit_event else statement
        ).all()
        assert len(rows) in {12, 3}
        changes = [
            sa.update(table).where(key == row[0]).values({name: change(row)})
            for row in rows
            for name, change in CHANGES.items()
            if name in table.c
        ]
        changes += [sa.delete(table).where(key == row[0]) for row in rows]
        for change in changes:
            undo = connection.begin_nested()
            connection.execute(change)
            assert not verify(connection, signer.keys, workspace=W).ok, change.compile().params
            undo.rollback()
        assert verify(connection, signer.keys, workspace=W).ok


def test_verifying_reports_progress(sealed, signer):
    """Progress is told with events done and events in all."""
    told = []
    judge(sealed, signer, progress=lambda done, total: told.append((done, total)))
    assert told == [(14, 14)]
