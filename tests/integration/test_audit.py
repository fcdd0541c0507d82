"""The audit log on a real PostgreSQL. Each test names the invariant of `cdp/audit/log.py`."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cdp.audit.checkpoint import Checkpoint
from cdp.audit.errors import (
    CheckpointNotOurs,
    EventNotRecordable,
    LogBroken,
    NotAudited,
    TransactionNeeded,
)
from cdp.audit.event import AuditEvent
from cdp.audit.findings import Kind, Report
from cdp.audit.log import (
    append,
    append_all,
    audited,
    newest_checkpoint,
    seal,
    verify,
    who_saw,
)
from cdp.audit.verification import SEAL_ACTION
from cdp.storage.schema import audit_checkpoint, audit_event

pytestmark = pytest.mark.integration

NOW = datetime(2026, 1, 31, 8, 0, tzinfo=UTC)
W = "workspace-1"
E, C = audit_event.c, audit_checkpoint.c


@dataclass
class Signer:
    """A signing key of its own."""

    version: int = 1
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    def sign(self, message: bytes) -> bytes:
        """Sign."""
        return self.key.sign(message)

    def public_bytes(self) -> bytes:
        """Return the raw public key."""
        return self.key.public_key().public_bytes_raw()

    @property
    def keys(self) -> dict[int, bytes]:
        """The public key by its version."""
        return {self.version: self.public_bytes()}


def event(number: int = 0, **parts) -> AuditEvent:
    return AuditEvent(
        **{
            "actor": f"clerk.{number % 3}",
            "role": "clerk",
            "action": "profile.read",
            "purpose": "service",
            "decision": "allow",
            "reason": "own_store",
            "policy_version": "1",
            "at": NOW + timedelta(seconds=number),
            "profile_id": f"p_{number % 4}",
            "detail": f"客人来电 {number}",
            **parts,
        }
    )


def seal_now(engine: sa.Engine, signer: Signer, hours: int = 0) -> Checkpoint:
    with engine.begin() as connection:
        return seal(connection, signer, NOW + timedelta(hours=hours), workspace=W)


def judge(engine: sa.Engine, signer: Signer, **more) -> Report:
    with engine.begin() as connection:
        return verify(connection, signer.keys, workspace=W, **more)


def run(engine: sa.Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def count(engine: sa.Engine, table: sa.Table = audit_event) -> int:
    with engine.begin() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0


@pytest.fixture
def signer() -> Signer:
    """A signing key."""
    return Signer()


@pytest.fixture
def sealed(engine: sa.Engine, signer: Signer) -> sa.Engine:
    """Leaves 0 to 11 under checkpoints of sizes 4, 8 and 12; two events wait unsealed."""
    for part in range(3):
        with engine.begin() as connection:
            append_all(connection, [event(part * 3 + number) for number in range(3)])
        seal_now(engine, signer, hours=part)
    with engine.begin() as connection:
        append_all(connection, [event(20), event(21)])
    return engine


# ── 1, 2: before what it describes ──────────────────────────────────────────


def test_an_event_is_kept_or_lost_with_what_it_describes(engine):
    """1: A transaction that fails takes its event with it, and one that succeeds keeps it."""
    with engine.connect() as connection:
        append(connection, event(1))
        connection.rollback()
    assert count(engine) == 0
    with engine.begin() as connection:
        number = append(connection, event(2))
    with engine.connect() as connection:
        assert connection.scalar(sa.select(E.actor).where(E.id == number)) == "clerk.2"


def test_a_connection_that_commits_each_statement_is_refused(engine, signer):
    """1: Where the event could be kept without its effect, nothing is written."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        with pytest.raises(TransactionNeeded):
            append(connection, event())
        with pytest.raises(TransactionNeeded):
            append_all(connection, [event()])
        with pytest.raises(TransactionNeeded):
            seal(connection, signer, NOW, workspace=W)
        with pytest.raises(TransactionNeeded):
            verify(connection, signer.keys, workspace=W)
    assert count(engine) == 0


def test_the_event_is_there_before_the_work_and_in_its_transaction(engine):
    """1: The work already sees its own event, and nobody else does until both are kept."""

    def work(connection: sa.Connection) -> tuple[int, int]:
        inside = connection.scalar(sa.select(sa.func.count()).select_from(audit_event))
        return inside, count(engine)

    assert audited(engine, [event()], work) == (1, 0)
    assert count(engine) == 1


def test_no_audit_no_reveal(engine):
    """2: Where the event cannot be written, the work is never done."""
    done = []
    run(engine, "ALTER TABLE kith.audit_event ADD CONSTRAINT full_disk CHECK (actor = 'nobody')")
    with pytest.raises(sa.exc.IntegrityError):
        audited(engine, [event()], done.append)
    assert done == []


def test_nothing_is_handed_out_unless_the_event_is_kept(engine):
    """2: A commit that fails after the work keeps the result back."""
    run(
        engine,
        "CREATE FUNCTION kith.refuse() RETURNS trigger LANGUAGE plpgsql"
        " AS $$ BEGIN RAISE EXCEPTION 'no'; END $$",
        "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON kith.audit_event"
        " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION kith.refuse()",
    )
    shown = None
    with pytest.raises(sa.exc.InternalError):
        shown = audited(engine, [event()], lambda _: "value")
    assert shown is None
    assert count(engine) == 0


def test_work_that_fails_leaves_no_event(engine):
    """1: What did not happen is not in the log."""

    def fail(_: sa.Connection) -> None:
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        audited(engine, [event()], fail)
    assert count(engine) == 0


@pytest.mark.parametrize("decisions", [[], ["deny"], ["allow", "deny"]], ids=str)
def test_nothing_is_done_that_no_event_allows(engine, decisions):
    """2: No event at all, or one that says deny, and the work is not done."""
    done = []
    with pytest.raises(NotAudited):
        audited(engine, [event(decision=decision) for decision in decisions], done.append)
    assert done == []
    assert count(engine) == 0


def test_the_log_keeps_its_own_action_to_itself(engine):
    """3: Nobody but a seal writes a seal's event."""
    with engine.begin() as connection, pytest.raises(EventNotRecordable):
        append(connection, event(action=SEAL_ACTION))


# ── 4, 5, 6: sealing ────────────────────────────────────────────────────────


def test_leaves_have_no_gaps_where_ids_have(engine, signer):
    """4: A rolled back event leaves a gap in the ids and none in the leaves."""
    for number in range(6):
        with engine.connect() as connection:
            append(connection, event(number))
            connection.commit() if number % 2 else connection.rollback()
    made = seal_now(engine, signer)
    with engine.connect() as connection:
        rows = connection.execute(sa.select(E.id, E.leaf).order_by(E.leaf)).all()
    assert [leaf for _, leaf in rows] == [0, 1, 2, 3]
    assert [number for number, _ in rows] == [2, 4, 6, 7]
    assert made.size == 4
    assert judge(engine, signer).ok


def test_an_event_still_open_waits_for_the_next_seal(engine, signer):
    """4, 6: A late commit gets a later leaf although its id is lower, and nobody waits."""
    with engine.connect() as late:
        first = append(late, event(1))
        with engine.begin() as connection:
            second = append(connection, event(2))
        assert seal_now(engine, signer).size == 2
        late.commit()
    assert seal_now(engine, signer, hours=1).size == 4
    with engine.connect() as connection:
        leaves = dict(map(tuple, connection.execute(sa.select(E.id, E.leaf))))
    assert first < second
    assert (leaves[second], leaves[first]) == (0, 2)
    assert judge(engine, signer).ok


def test_sealing_with_nothing_new_writes_nothing(sealed, signer):
    """A seal of an unchanged log gives the newest checkpoint again."""
    first = seal_now(sealed, signer, hours=8)
    assert seal_now(sealed, signer, hours=9) == first
    assert (count(sealed), count(sealed, audit_checkpoint)) == (15, 4)
    with sealed.connect() as connection:
        assert newest_checkpoint(connection, workspace=W) == first


def test_a_seal_takes_effect_with_its_transaction(engine, signer):
    """4: A rolled back seal leaves no leaf and no checkpoint."""
    with engine.connect() as connection:
        assert newest_checkpoint(connection, workspace=W) is None
        append(connection, event())
        connection.commit()
        seal(connection, signer, NOW, workspace=W)
        connection.rollback()
    assert (count(engine), count(engine, audit_checkpoint)) == (1, 0)
    assert judge(engine, signer).unsealed == 1


@pytest.mark.parametrize(
    "tamper",
    [
        "UPDATE kith.audit_event SET line = replace(line, 'own_store', 'other') WHERE leaf = 1",
        "DELETE FROM kith.audit_event WHERE leaf = 1",
        "DELETE FROM kith.audit_event WHERE leaf >= 7",
        "UPDATE kith.audit_event SET leaf = 12 WHERE id = (SELECT max(id) FROM kith.audit_event)",
        "UPDATE kith.audit_checkpoint SET root = sha256('') WHERE size = 12",
        "UPDATE kith.audit_checkpoint SET at = at + interval '1 s' WHERE size = 12",
        "UPDATE kith.audit_event SET leaf = NULL",
    ],
    ids=["line", "deleted", "tail", "inserted", "root", "signature", "leaves"],
)
def test_a_seal_never_signs_on_top_of_a_broken_log(sealed, signer, tamper):
    """5: What the newest checkpoint does not fit is not signed again."""
    run(sealed, tamper)
    with pytest.raises(LogBroken):
        seal_now(sealed, signer, hours=9)
    assert count(sealed, audit_checkpoint) == 3


def test_a_seal_that_could_not_see_other_seals_is_refused(engine, signer):
    """5: In a transaction with an old view, sealing is refused."""
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        append(connection, event())
        with pytest.raises(TransactionNeeded):
            seal(connection, signer, NOW, workspace=W)


def test_four_at_once_append_and_seal(engine, signer):
    """4, 6: Threads that append and seal at once leave one sound log with every event."""

    def work(worker: int) -> None:
        for number in range(30):
            with engine.begin() as connection:
                append(connection, event(number, actor=f"worker.{worker}"))
            if number % 5 == worker % 5:
                seal_now(engine, signer, hours=number)
                assert judge(engine, signer).ok

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    last = seal_now(engine, signer, hours=99)
    report = judge(engine, signer)
    assert report.ok
    assert report.unsealed == 0
    assert report.events == last.size == 120 + report.checkpoints
    with engine.connect() as connection:
        leaves = connection.scalars(sa.select(E.leaf).order_by(E.leaf)).all()
        workers = connection.execute(
            sa.select(E.actor, sa.func.count()).where(E.action != SEAL_ACTION).group_by(E.actor)
        ).all()
    assert leaves == list(range(last.size))
    assert sorted(workers) == [(f"worker.{number}", 30) for number in range(4)]


def test_a_new_signing_key_takes_over(sealed, signer):
    """3: Checkpoints of a retired key stay good while its public key is kept."""
    newer = Signer(version=2)
    seal_now(sealed, newer, hours=9)
    both = {**signer.keys, **newer.keys}
    with sealed.begin() as connection:
        assert verify(connection, both, workspace=W).ok
    with sealed.begin() as connection:
        report = verify(connection, newer.keys, workspace=W)
    assert {finding.kind for finding in report.findings} == {Kind.SIGNATURE_FORGED}


# ── 3: tampering ────────────────────────────────────────────────────────────

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


# ── the officer's question ──────────────────────────────────────────────────


def test_who_saw_this_person_when_and_why(engine, signer):
    """Reads, reveals and refusals of one person come back in order, under all their ids."""
    with engine.begin() as connection:
        append_all(
            connection,
            [
                event(5, profile_id="p_1", action="profile.reveal", fields=("phone",)),
                event(1, profile_id="p_1"),
                event(2, profile_id="p_old", decision="deny", reason="other_store"),
                event(3, profile_id="p_2"),
                event(4, profile_id=None),
            ],
        )
    seal_now(engine, signer)
    with engine.connect() as connection:
        found = who_saw(connection, "p_1", "p_old")
        assert who_saw(connection, "p_none") == []
    assert [(s.event.at.second, s.event.decision) for s in found] == [
        (1, "allow"),
        (2, "deny"),
        (5, "allow"),
    ]
    reveal = found[-1]
    assert (reveal.event.actor, reveal.event.fields) == ("clerk.2", ("phone",))
    assert reveal.event.detail == "客人来电 5"
    assert (reveal.event_id, reveal.leaf) == (1, 0)


def test_many_events_are_written_in_their_order(engine):
    """1: A page of reads is written at once, in order, and a page of none writes nothing."""
    with engine.begin() as connection:
        assert append_all(connection, []) == []
        ids = append_all(connection, [event(number) for number in range(1500)])
        assert ids == sorted(ids)
        at = connection.scalars(sa.select(E.at).order_by(E.id)).all()
    assert [moment - NOW for moment in at] == [timedelta(seconds=n) for n in range(1500)]


def test_an_unreadable_event_is_named_to_the_officer(sealed):
    """A line altered beyond reading stops the answer and names the event, not its content."""
    run(sealed, "UPDATE kith.audit_event SET line = '{\"secret\"' WHERE leaf = 1")
    with sealed.connect() as connection:
        with pytest.raises(EventNotRecordable, match="event 2") as caught:
            who_saw(connection, "p_1")
        assert "secret" not in str(caught.value)
