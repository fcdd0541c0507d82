"""The one way to PostgreSQL."""

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import make_url

from cdp.errors import Stop
from cdp.storage import embedded

OLDEST = 150000  # PostgreSQL 15


def open_engine(database_url: str | None, folder: Path) -> sa.Engine:
    """Connect to the external server, or start the embedded one in ``folder``.

    Raises:
        Stop: the address is not PostgreSQL, the server does not answer or is too old.
    """
    engine = sa.create_engine(
        _with_driver(database_url) if database_url else embedded.start(folder),
        pool_pre_ping=True,
        pool_size=5,
        max_overflow=20,
        connect_args={"application_name": "kith", "options": "-c timezone=UTC"},
        # An error must not print what was bound: it may be personal.
        hide_parameters=True,
    )
    _check(engine)
    return engine


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
