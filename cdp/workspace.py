"""A workspace, opened: settings, declaration, keys and database, wired once.

Every command and the API start here. Nothing else opens a key ring or an engine.
"""

import datetime as dt
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from uuid import UUID, uuid4

import sqlalchemy as sa

from cdp import declaration as declarations
from cdp.declaration import Declaration
from cdp.errors import Stop
from cdp.settings import Settings
from cdp.storage import migrate
from cdp.storage.engine import open_engine
from cdp.storage.schema import workspace as workspace_table
from cdp.vault.errors import KeyRingExists
from cdp.vault.keyring import KeyRing
from cdp.vault.vault import Vault
from policies.decision import Policy
from policies.enforcer import load_policy

DEMO_MARK = "made-by-demo"  # a file that says: this folder may be thrown away
Clock = Callable[[], dt.datetime]


def utc_now() -> dt.datetime:
    """The time, in UTC. The one place that asks the clock."""
    return dt.datetime.now(dt.UTC)  # noqa: TID251 - everything else takes `now` as an argument


@dataclass(frozen=True)
class Workspace:
    """One retailer's Kith."""

    settings: Settings
    engine: sa.Engine
    keyring: KeyRing
    now: Clock

    @property
    def id(self) -> UUID:
        """The workspace's id; every sealed cell is bound to it."""
        return self.keyring.workspace

    @cached_property
    def declaration(self) -> Declaration:
        """``cdp.yaml``, read when first needed."""
        return declarations.load(self.settings.declaration)

    @cached_property
    def vault(self) -> Vault:
        """The vault of this workspace."""
        return Vault(self.keyring, self.id)

    @cached_property
    def policy(self) -> Policy:
        """The compiled policy over this workspace's organisation."""
        return Policy(load_policy(), self.declaration.organisation)


def create(settings: Settings, now: Clock = utc_now, *, demo: bool = False) -> Workspace:
    """Make a new workspace: folder, key ring, database, schema.

    What exists already and belongs together is kept, so that a broken-off ``init`` can
    be run again.

    Raises:
        Stop: the database belongs to another key ring, or the ring to another database.
    """
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    settings.exports.mkdir(exist_ok=True, mode=0o700)
    if demo:
        (settings.home / DEMO_MARK).touch()
    engine = open_engine(settings.database_url, settings.database_folder)
    migrate.upgrade(engine)
    with engine.begin() as connection:
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtext('kith.init'))"))
        stored = connection.execute(sa.select(workspace_table)).one_or_none()
        if stored is not None:
            return Workspace(settings, engine, _ring_of(settings.key_ring, stored), now)
        keyring = _new_ring(settings.key_ring)
        connection.execute(
            workspace_table.insert().values(
                id=keyring.workspace,
                only=True,
                key_check=keyring.key_check(keyring.workspace),
                demo=demo,
                at=now(),
            )
        )
    return Workspace(settings, engine, keyring, now)


def open_workspace(settings: Settings, now: Clock = utc_now) -> Workspace:
    """Open an existing workspace.

    Raises:
        Stop: there is none, its database is gone, its schema is of another version, or
            the key ring is missing or is not its own.
    """
    if not settings.home.exists():
        raise Stop("no_workspace", "run: cdp init", path=settings.home)
    gone = settings.database_url is None and not (settings.database_folder / "PG_VERSION").exists()
    if gone:
        raise Stop(
            "database_missing",
            "restore the database folder from a backup, or run cdp init and sync again",
            path=settings.database_folder,
        )
    engine = open_engine(settings.database_url, settings.database_folder)
    if not migrate.is_current(engine):
        raise Stop("schema_not_current", "run: cdp init")
    with engine.connect() as connection:
        stored = connection.execute(sa.select(workspace_table)).one_or_none()
    if stored is None:
        raise Stop("database_empty", "run: cdp init")
    return Workspace(settings, engine, _ring_of(settings.key_ring, stored), now)


def _new_ring(path: Path) -> KeyRing:
    """Draw a ring, or take the one that a broken-off or simultaneous ``init`` drew."""
    try:
        return KeyRing.create(path, uuid4())
    except KeyRingExists:
        return KeyRing.open(path)


def _ring_of(path: Path, stored: sa.Row[tuple[object, ...]]) -> KeyRing:
    keyring = KeyRing.open(path, stored.id)
    keyring.confirm(stored.id, stored.key_check)
    return keyring


def discard_demo(settings: Settings) -> None:
    """Throw away an earlier demo workspace, and never anything else.

    Raises:
        Stop: what is there was not made by a demo.
    """
    if not settings.home.exists():
        return
    if not (settings.home / DEMO_MARK).exists() and any(settings.home.iterdir()):
        raise Stop(
            "not_a_demo_workspace", "move it away, or name another CDP_HOME", path=settings.home
        )
    embedded = settings.database_folder / "PG_VERSION"
    if settings.database_url is None and not embedded.exists():
        shutil.rmtree(settings.home)
        return
    engine = open_engine(settings.database_url, settings.database_folder)
    inspector = sa.inspect(engine)
    if inspector.has_table("workspace", schema="kith"):
        with engine.begin() as connection:
            demo = connection.scalar(sa.select(workspace_table.c.demo))
            if demo is False:
                raise Stop(
                    "database_in_use",
                    "name an empty database, or one that an earlier demo made",
                )
            connection.execute(sa.text("DROP SCHEMA IF EXISTS kith_keys, kith_vault, kith CASCADE"))
    engine.dispose()
    if settings.key_ring.exists():
        settings.key_ring.unlink()
