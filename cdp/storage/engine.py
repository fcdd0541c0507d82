"""The one way to PostgreSQL."""

import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import make_url

from cdp.errors import Stop
from cdp.storage import embedded, roles, scopes, statements
from cdp.storage.key_schema import refuse_retired

OLDEST = 150000  # PostgreSQL 15
# A connection whose other end is gone without a word (a pulled cable, a firewall that forgot it)
# is given up after seconds: by itself, TCP waits for a quarter of an hour. Names are libpq's.
DEAD_AFTER = 10  # seconds
_LOST = {
    "connect_timeout": DEAD_AFTER,
    "keepalives": 1,
    "keepalives_idle": DEAD_AFTER,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": DEAD_AFTER * 1000,  # milliseconds
}
RESTED = 1.0  # seconds; a connection that lay unused for longer is tried before it is used
_USED = "kith.used"


def open_engine(database_url: str | None, folder: Path, role: str | None = None) -> sa.Engine:
    """Connect to the external server, or start the embedded one in ``folder``.

    Args:
        database_url: of the external server.
        folder: of the embedded one.
        role: a group role to take on every connection, if it is there and the login may.

    Raises:
        Stop: the address is not PostgreSQL, the server does not answer or is too old.
    """
    engine = sa.create_engine(
        _with_driver(database_url) if database_url else embedded.start(folder),
        pool_size=5,
        max_overflow=20,
        # What is prepared is prepared for few rows, and its plan does not depend on which;
        # compiling a plan takes longer than any of them runs.
        connect_args=_LOST
        | {
            "application_name": "kith",
            "options": "-c timezone=UTC -c jit=off -c plan_cache_mode=force_generic_plan"
            f" -c {scopes.SETTING}={scopes.PIPELINES}",
        },
        # An error must not print what was bound: it may be personal.
        hide_parameters=True,
        use_native_hstore=False,  # a type that no table has, looked up for every connection
    )
    sa.event.listen(engine, "checkin", _left)
    sa.event.listen(engine, "checkout", _taken)
    sa.event.listen(engine, "handle_error", _failed)
    statements.follow(engine)
    _check(engine)
    if role is not None:
        _take(engine, role)
    return engine


def _take(engine: sa.Engine, role: str) -> None:
    """Take a role on every connection from now on; a login that is a member of it has no more."""
    with engine.connect() as connection:
        if not roles.may_take(connection, role):
            return

    def set_role(driver: Any, _: object) -> None:
        with driver.cursor() as cursor:
            cursor.execute(f"SET ROLE {role}")
        driver.commit()

    sa.event.listen(engine, "connect", set_role)
    engine.dispose()  # what was connected before has not taken it


def _failed(context: sa.engine.ExceptionContext) -> None:
    """Name what the database refuses by a rule of ours."""
    refuse_retired(context.original_exception)


def _left(_: object, record: "sa.pool.ConnectionPoolEntry") -> None:
    """Note when a connection was used last."""
    record.info[_USED] = time.monotonic()


def _taken(driver: Any, record: "sa.pool.ConnectionPoolEntry", proxy: Any) -> None:
    """Try a connection that rested; one that was used a moment ago is taken as it is."""
    del proxy
    used = record.info.get(_USED)
    if used is not None and time.monotonic() - used > RESTED and not _answers(driver):
        raise sa.exc.DisconnectionError  # the pool opens another one


def _answers(driver: Any) -> bool:
    try:
        with driver.cursor() as cursor:
            cursor.execute("SELECT 1")
        driver.rollback()
    except driver.Error:
        return False
    return True


def _with_driver(database_url: str) -> sa.URL:
    try:
        url = make_url(database_url)
    except (sa.exc.ArgumentError, ValueError):
        # Without its cause: the message quotes the address, and that may hold a password.
        raise Stop(
            "database_address_unreadable",
            "set CDP_DATABASE_URL to postgresql://user:password@host:port/name",
        ) from None
    if url.get_backend_name() != "postgresql":
        raise Stop("database_not_postgresql", "set CDP_DATABASE_URL to a postgresql:// address")
    return url.set(drivername="postgresql+psycopg2")


def _check(engine: sa.Engine) -> None:
    try:
        with engine.connect() as connection:
            version = int(connection.scalar(sa.text("SHOW server_version_num")) or 0)
    except sa.exc.OperationalError as error:
        raise Stop(
            "database_unreachable",
            "check that the server of CDP_DATABASE_URL runs and that its user may connect",
        ) from error
    if version < OLDEST:
        raise Stop("database_too_old", "use PostgreSQL 15 or newer")
