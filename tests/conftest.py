"""What every test may use: real PostgreSQL, fresh and empty, and a workspace on it."""

import gc
import os
import secrets
import shutil
import sys
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
import sqlalchemy as sa
from hypothesis import settings
from sqlalchemy.engine import make_url

from cdp.storage import embedded, migrate, statements
from policies import decision
from tests.journeys.databases import administrator

# What tests start imports what they import: the bytecode of it is kept for the next one, and
# that of the tests themselves for the next run.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A busy machine makes a fast law slow now and then: that says nothing about the law.
settings.register_profile("kith", deadline=None)
settings.load_profile("kith")

ROOM = 6 * 2**30  # bytes: the log, the databases of a module, and what the tests themselves need


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests come first, whatever the order of the others: the last ones fill what is left.

    Otherwise a run ends on one core, while a test of a minute that came last ends on another.
    """
    items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    kinds = ("long", "journey", "integration")
    return next((at for at, kind in enumerate(kinds) if item.get_closest_marker(kind)), len(kinds))


def pytest_collection_finish() -> None:
    """Nothing of what was collected is garbage before the end: it is not looked through again.

    Nor is it copied, page by page, into each process that a test forks.
    """
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """What was put by is garbage now: libraries that count their objects at the end find none."""
    gc.unfreeze()


@pytest.fixture(scope="session", autouse=True)
def policies_put_to_work() -> Iterator[None]:
    """What `Policy` works out of the table of a compiled policy is worked out once a table.

    It takes a tenth of a second, depends on nothing but the immutable table, and otherwise
    every test that opens a workspace would wait for it, many of them several times.
    """
    with pytest.MonkeyPatch.context() as patched:
        for name in ("_entries", "needed"):
            patched.setattr(decision, name, _once_a_table(getattr(decision, name)))
        yield


def _once_a_table(
    derive: Callable[[Mapping[Any, Any]], Any], tables: int = 8
) -> Callable[[Mapping[Any, Any]], Any]:
    """``derive``, which remembers what it answered about the newest few tables."""
    # The table is kept with its answer: its number is not another one's while it is here.
    known: OrderedDict[int, tuple[Mapping[Any, Any], Any]] = OrderedDict()

    def remembered(table: Mapping[Any, Any]) -> Any:
        found = known.get(id(table)) or (table, derive(table))
        known[id(table)] = found
        while len(known) > tables:
            known.popitem(last=False)
        return found[1]

    return remembered


@pytest.fixture(scope="session")
def server() -> Iterator[sa.URL]:
    """A PostgreSQL server: the one of CDP_DATABASE_URL, or the embedded one."""
    named = os.environ.get("CDP_DATABASE_URL")
    # Not pytest's own folder: pytest closes it to the embedded server's user when another
    # run begins, and the server dies.
    with tempfile.TemporaryDirectory(
        prefix="kith-", dir=_in_memory(), ignore_cleanup_errors=True
    ) as folder:
        url = make_url(named or embedded.start(Path(folder))).set(drivername="postgresql+psycopg2")
        if not named:
            _hurry(url)
        yield url
        administrator(url).dispose()
        if not named:
            embedded.stop(Path(folder))


def _in_memory() -> str | None:
    """A folder that is kept in memory, if there is one with room; else the usual one.

    A copy of a database is a thousand files: made and deleted thousands of times, they cost a
    disk more time than the tests themselves take.
    """
    memory = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
    if not (memory.is_dir() and os.access(memory, os.W_OK)):
        return None
    free = min(shutil.disk_usage(memory).free, psutil.virtual_memory().available)
    return str(memory) if free >= ROOM else None


def _hurry(server: sa.URL) -> None:
    """Have a server of ours not wait for the disk: a test's database need not survive a power cut.

    Every database that is dropped costs a checkpoint, and tests drop hundreds.
    """
    with administrator(server).connect() as connection:
        for setting in ("fsync", "full_page_writes"):
            connection.execute(sa.text(f"ALTER SYSTEM SET {setting} = off"))
        connection.execute(sa.text("ALTER SYSTEM SET max_wal_size = '256MB'"))  # it is in memory
        connection.execute(sa.text("SELECT pg_reload_conf()"))


@pytest.fixture(scope="session")
def template(server: sa.URL) -> Iterator[str]:
    """A migrated database to copy: a copy takes a tenth of the time of a migration."""
    name = f"kith_template_{secrets.token_hex(4)}"
    with administrator(server).connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    engine = sa.create_engine(server.set(database=name), hide_parameters=True)
    migrate.upgrade(engine)
    engine.dispose()
    yield name
    with administrator(server).connect() as connection:
        connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def database_url(server: sa.URL, template: str) -> Iterator[str]:
    """The address of a fresh, migrated, empty database; it is gone after the test."""
    name = f"kith_test_{secrets.token_hex(6)}"
    with administrator(server).connect() as connection:
        # Its files are copied, not logged: half of the work.
        like = f"TEMPLATE {template} STRATEGY FILE_COPY"
        connection.execute(sa.text(f"CREATE DATABASE {name} {like}"))
    yield server.set(database=name).render_as_string(hide_password=False)
    with administrator(server).connect() as connection:
        connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    """An engine on a fresh, migrated, empty database."""
    engine = sa.create_engine(
        database_url, hide_parameters=True, pool_size=20, use_native_hstore=False
    )
    statements.follow(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty workspace folder."""
    return tmp_path / "home"
