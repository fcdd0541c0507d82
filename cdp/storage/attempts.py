"""Work that another transaction may be in the way of: done again, from its beginning.

Of writers that wait for one another in a circle PostgreSQL ends one, and rolls back what
it did. Whoever holds much in memory that went into it, or a right that took long to get,
begins again at a savepoint and loses only what it had written since.
"""

from collections.abc import Callable
from typing import Final, TypeVar

import sqlalchemy as sa

from cdp.storage.locks import is_collision
from cdp.storage.statements import flush

ATTEMPTS: Final = 5
T = TypeVar("T")


def again_if_collided(connection: sa.Connection, work: Callable[[], T]) -> T:
    """Do work in the caller's transaction, anew where it collides with other writers.

    Args:
        connection: in a transaction; what was done in it before ``work`` stays.
        work: writes on ``connection``; called ``ATTEMPTS`` times at most.

    Raises:
        sqlalchemy.exc.DBAPIError: it collided each time, or failed otherwise.
    """
    for left in reversed(range(ATTEMPTS)):
        try:
            with connection.begin_nested():
                done = work()
                flush(connection)  # what waits belongs to it
                return done
        except sa.exc.DBAPIError as error:
            if not (left and is_collision(error)):
                raise
    raise AssertionError("the last attempt returns or raises")
