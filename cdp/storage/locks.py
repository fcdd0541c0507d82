"""Locks that end with the process that holds them, however it ends."""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from cdp.errors import Refused


@contextmanager
def only_one(engine: sa.Engine, work: str, next_step: str) -> Iterator[None]:
    """Hold the right to do ``work`` (a name such as ``sync pos``) on a connection of its own.

    A session lock of PostgreSQL: a killed process lets go as soon as its connection
    breaks, and no lock file is left behind.

    Raises:
        Refused: another process does the same work now.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        name = {"name": f"kith.{work}"}
        taken = connection.scalar(sa.text("SELECT pg_try_advisory_lock(hashtext(:name))"), name)
        if not taken:
            raise Refused("already_running", next_step, work=work)
        try:
            yield
        finally:
            connection.execute(sa.text("SELECT pg_advisory_unlock(hashtext(:name))"), name)
