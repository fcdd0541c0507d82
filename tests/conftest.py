"""What every test may use: real PostgreSQL, fresh and empty, and a workspace on it."""

import os
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import settings
from sqlalchemy.engine import make_url

from cdp.storage import embedded, migrate, statements

# A busy machine makes a fast law slow now and then: that says nothing about the law.
settings.register_profile("kith", deadline=None)
settings.load_profile("kith")


@pytest.fixture(scope="session")
def server() -> Iterator[sa.URL]:
    """A PostgreSQL server: the one of CDP_DATABASE_URL, or the embedded one."""
    named = os.environ.get("CDP_DATABASE_URL")
    # Not pytest's own folder: pytest closes it to the embedded server's user when another
    # run begins, and the server dies.
    with tempfile.TemporaryDirectory(prefix="kith-", ignore_cleanup_errors=True) as folder:
        url = make_url(named or embedded.start(Path(folder)))
        if not named:
            _hurry(url)
        yield url.set(drivername="postgresql+psycopg2")
        if not named:
            embedded.stop(Path(folder))


def _hurry(server: sa.URL) -> None:
    """Have a server of ours not wait for the disk: a test's database need not survive a power cut.

    Every database that is dropped costs a checkpoint, and tests drop hundreds.
    """
    with _administrator(server) as connection:
        for setting in ("fsync", "full_page_writes"):
            connection.execute(sa.text(f"ALTER SYSTEM SET {setting} = off"))
        connection.execute(sa.text("SELECT pg_reload_conf()"))


@pytest.fixture(scope="session")
def template(server: sa.URL) -> Iterator[str]:
    """A migrated database to copy: a copy takes a tenth of the time of a migration."""
    name = f"kith_template_{secrets.token_hex(4)}"
    with _administrator(server) as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    engine = sa.create_engine(server.set(database=name), hide_parameters=True)
    migrate.upgrade(engine)
    engine.dispose()
    yield name
    with _administrator(server) as connection:
        connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def database_url(server: sa.URL, template: str) -> Iterator[str]:
    """The address of a fresh, migrated, empty database; it is gone after the test."""
    name = f"kith_test_{secrets.token_hex(6)}"
    with _administrator(server) as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name} TEMPLATE {template}"))
    yield server.set(database=name).render_as_string(hide_password=False)
    with _administrator(server) as connection:
        connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    """An engine on a fresh, migrated, empty database."""
    engine = sa.create_engine(database_url, hide_parameters=True, pool_size=20)
    statements.follow(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty workspace folder."""
    return tmp_path / "home"


class _administrator:  # noqa: N801 - used like a function
    """A connection that may create and drop databases."""

    def __init__(self, server: sa.URL) -> None:
        self._engine = sa.create_engine(server, isolation_level="AUTOCOMMIT")

    def __enter__(self) -> sa.Connection:
        self._connection = self._engine.connect()
        return self._connection

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._engine.dispose()
