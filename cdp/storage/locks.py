"""Locks that end with the process that holds them, however it ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import sqlalchemy as sa

from cdp.errors import Refused, Retry
from cdp.storage.statements import Statement, ask, send

PATIENCE = 10  # seconds that a short piece of work waits for another
_LOCK_NOT_AVAILABLE = "55P03"  # PostgreSQL manual, appendix A


# Deadlock, serialisation failure, and a key that another transaction stored first.
_COLLISIONS = frozenset({"40P01", "40001", "23505"})  # PostgreSQL manual, appendix A


def is_collision(error: sa.exc.DBAPIError) -> bool:
    """Whether the same transaction, begun anew, may succeed."""
    return getattr(error.orig, "pgcode", None) in _COLLISIONS


def is_timed_out(error: sa.exc.DBAPIError) -> bool:
    """Whether a lock was waited for longer than the transaction waits."""
    return getattr(error.orig, "pgcode", None) == _LOCK_NOT_AVAILABLE


@dataclass(frozen=True, slots=True)
class Hold:
    """The right to do a piece of work alone, as the server knows it.

    Attributes:
        work: what only one may do at a time.
        process: the server's process that holds it, and when that server was started: after
            a restart another process may have the same number.
    """

    work: str
    process: tuple[int, str]

    def require(self, connection: sa.Connection) -> None:
        """See that nobody else can have had the right since it was taken.

        It ends with the connection that it was taken on, which lies idle through long work.
        Ask before a commit: what is held then was held all the time.

        Raises:
            Retry: it was lost; roll back.
        """
        number, started = self.process
        given = {"name": f"kith.{self.work}", "number": number, "started": started}
        if not connection.scalar(_IS_HELD, given):
            step = "nothing was stored; begin again once the database answers"
            raise Retry("lock_lost", step, work=self.work)


@contextmanager
def only_one(engine: sa.Engine, work: str, next_step: str, *, patience: int = 0) -> Iterator[Hold]:
    """Hold the right to do ``work`` (a name such as ``sync pos``) on a connection of its own.

    A session lock of PostgreSQL: a killed process lets go as soon as its connection
    breaks, and no lock file is left behind. What is given says whether it is held still.

    Args:
        engine: of the workspace.
        work: what only one may do at a time.
        next_step: what to do when another does it.
        patience: seconds to wait for another to end; 0 does not wait.

    Raises:
        Refused: another process does the same work now.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        name = {"name": f"kith.{work}"}
        if not _taken(connection, name, patience):
            raise Refused("already_running", next_step, work=work)
        number, started = connection.execute(_PROCESS).one()
        try:
            yield Hold(work, (number, started))
        finally:
            _let_go(connection, name)


def _let_go(connection: sa.Connection, name: dict[str, str]) -> None:
    try:
        connection.execute(sa.text("SELECT pg_advisory_unlock(hashtext(:name))"), name)
    except sa.exc.DBAPIError as error:
        if not error.connection_invalidated:  # it ended with its connection
            raise


def _taken(connection: sa.Connection, name: dict[str, str], patience: int) -> bool:
    if not patience:
        taken = connection.scalar(sa.text("SELECT pg_try_advisory_lock(hashtext(:name))"), name)
        return bool(taken)
    connection.execute(sa.text(f"SET lock_timeout = '{int(patience)}s'"))
    try:
        connection.execute(sa.text("SELECT pg_advisory_lock(hashtext(:name))"), name)
    except sa.exc.OperationalError as error:
        if getattr(error.orig, "pgcode", None) != _LOCK_NOT_AVAILABLE:
            raise
        return False
    finally:
        connection.execute(sa.text("RESET lock_timeout"))
    return True


def wait_at_most(connection: sa.Connection, seconds: float) -> None:
    """Wait so long for each lock until the transaction ends; then it fails (`is_timed_out`).

    It holds for locks of rows too, from the next statement on.
    """
    send(connection, _WAIT_AT_MOST, f"{round(1000 * seconds)}ms")


def share_if_free(connection: sa.Connection, work: str) -> None:
    """Share ``work`` with others of its kind until the transaction ends, if nobody has it alone.

    Where somebody has it alone, or waits for it, nothing is held. ``SHARED`` says which, in
    SQL: the answer comes with the next statement. It has to be another statement, which sees
    what whoever had it alone has committed.
    """
    send(connection, _SHARE_IF_FREE, f"kith.{work}")


def alone_or_shared(connection: sa.Connection, work: str) -> bool:
    """Do ``work`` alone if nobody else does it now, else share it; until the transaction ends.

    Whoever shares waits for the one who works alone, for moments.

    Returns:
        Whether it is done alone.
    """
    if ask(connection, _TRY_ALONE, f"kith.{work}")[0][0]:
        return True
    ask(connection, _SHARE, f"kith.{work}")
    return False


def share(connection: sa.Connection, work: str) -> None:
    """Share ``work`` until the transaction ends, once nobody has it alone."""
    ask(connection, _SHARE, f"kith.{work}")


def until_commit(connection: sa.Connection, work: str, next_step: str) -> None:
    """Hold the right to do ``work`` until the transaction ends, waiting a moment for it.

    It is the same right as ``only_one`` gives.

    Raises:
        Refused: others kept it for longer than ``PATIENCE``.
    """
    connection.execute(sa.text(f"SET LOCAL lock_timeout = '{PATIENCE}s'"))
    try:
        name = {"name": f"kith.{work}"}
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtext(:name))"), name)
    except sa.exc.OperationalError as error:
        if not is_timed_out(error):
            raise
        raise Refused("already_running", next_step, work=work) from None
    connection.execute(sa.text("SET LOCAL lock_timeout TO DEFAULT"))


_PROCESS = sa.text("SELECT pg_backend_pid(), pg_postmaster_start_time()::text")
# A lock by one number stands as its upper and its lower half, with 1 behind.
_IS_HELD = sa.text(
    """
    SELECT EXISTS (
        SELECT FROM pg_locks l
          JOIN pg_database d ON d.oid = l.database AND d.datname = current_database()
         WHERE l.locktype = 'advisory' AND l.mode = 'ExclusiveLock' AND l.granted
           AND l.pid = :number AND l.objsubid = 1
           AND (l.classid::bigint << 32 | l.objid::bigint) = hashtext(:name)
    ) AND pg_postmaster_start_time()::text = :started
    """
)
SHARED = "coalesce(current_setting('kith.shared', TRUE) = 'true', FALSE)"
_SHARE_IF_FREE = Statement(
    "share_if_free",
    ("text",),
    "SELECT set_config('kith.shared', pg_try_advisory_xact_lock_shared(hashtext($1))::text, TRUE)",
)
_WAIT_AT_MOST = Statement("wait_at_most", ("text",), "SELECT set_config('lock_timeout', $1, TRUE)")
_TRY_ALONE, _SHARE = (
    Statement(name, ("text",), f"SELECT {function}(hashtext($1))")
    for name, function in (
        ("try_alone", "pg_try_advisory_xact_lock"),
        ("share", "pg_advisory_xact_lock_shared"),
    )
)
