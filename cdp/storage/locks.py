"""Locks that end with the process that holds them, however it ends."""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from cdp.errors import Refused
from cdp.storage.statements import Statement, ask, send

PATIENCE = 10  # seconds that a short piece of work waits for another
_LOCK_NOT_AVAILABLE = "55P03"  # PostgreSQL manual, appendix A


# Deadlock, serialisation failure, and a key that another transaction stored first.
_COLLISIONS = frozenset({"40P01", "40001", "23505"})  # PostgreSQL manual, appendix A


def is_collision(error: sa.exc.DBAPIError) -> bool:
    """Whether the same transaction, begun anew, may succeed."""
    return getattr(error.orig, "pgcode", None) in _COLLISIONS


@contextmanager
def only_one(engine: sa.Engine, work: str, next_step: str, *, patience: int = 0) -> Iterator[None]:
    """Hold the right to do ``work`` (a name such as ``sync pos``) on a connection of its own.

    A session lock of PostgreSQL: a killed process lets go as soon as its connection
    breaks, and no lock file is left behind.

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
        try:
            yield
        finally:
            connection.execute(sa.text("SELECT pg_advisory_unlock(hashtext(:name))"), name)


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
        if getattr(error.orig, "pgcode", None) != _LOCK_NOT_AVAILABLE:
            raise
        raise Refused("already_running", next_step, work=work) from None
    connection.execute(sa.text("SET LOCAL lock_timeout TO DEFAULT"))


SHARED = "coalesce(current_setting('kith.shared', TRUE) = 'true', FALSE)"
_SHARE_IF_FREE = Statement(
    "share_if_free",
    ("text",),
    "SELECT set_config('kith.shared', pg_try_advisory_xact_lock_shared(hashtext($1))::text, TRUE)",
)
_TRY_ALONE, _SHARE = (
    Statement(name, ("text",), f"SELECT {function}(hashtext($1))")
    for name, function in (
        ("try_alone", "pg_try_advisory_xact_lock"),
        ("share", "pg_advisory_xact_lock_shared"),
    )
)
