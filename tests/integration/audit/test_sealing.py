"""The audit log on a real PostgreSQL: leaves and checkpoints.

Each test names the invariant of `cdp/audit/log.py`.
"""

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from cdp.audit.errors import (
    LogBroken,
    TransactionNeeded,
)
from cdp.audit.findings import Kind
from cdp.audit.log import (
    append,
    newest_checkpoint,
    seal,
    verify,
)
from cdp.audit.verification import SEAL_ACTION
from cdp.storage.schema import audit_checkpoint
from tests.integration.audit.signed_log import NOW, E, Signer, W, count, event, judge, run, seal_now

pytestmark = pytest.mark.integration


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
