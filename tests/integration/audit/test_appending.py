"""The audit log on a real PostgreSQL: events before what they describe.

Each test names the invariant of `cdp/audit/log.py`.
"""

import pytest
import sqlalchemy as sa

from cdp.audit.errors import (
    EventNotRecordable,
    NotAudited,
    TransactionNeeded,
)
from cdp.audit.log import (
    append,
    append_all,
    audited,
    seal,
    verify,
)
from cdp.audit.verification import SEAL_ACTION
from cdp.storage.schema import audit_event
from tests.integration.audit.signed_log import NOW, E, W, count, event, run

pytestmark = pytest.mark.integration


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
