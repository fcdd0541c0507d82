"""A workspace, opened: settings, declaration, keys and database, wired once.

Every command and the API start here. Nothing else opens a key ring or an engine.
"""

import copy
import datetime as dt
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from uuid import UUID, uuid4

import sqlalchemy as sa

from cdp import declaration as declarations
from cdp.declaration import Declaration
from cdp.errors import Stop
from cdp.policy import content
from cdp.policy.changing import Author
from cdp.policy.live import LivePolicy
from cdp.policy.seen import SeenFile
from cdp.policy.versions import trust_of
from cdp.settings import Settings
from cdp.storage import migrate
from cdp.storage.engine import open_engine
from cdp.storage.locks import until_commit
from cdp.storage.schema import metadata, shred
from cdp.storage.schema import workspace as workspace_table
from cdp.vault.errors import (
    KeyRingExists,
    RestoredBeforeShred,
    ShredLedgerAltered,
    ShredLedgerBehind,
)
from cdp.vault.forms import Forms
from cdp.vault.keyed import FIRST
from cdp.vault.keyring import KeyRing
from cdp.vault.roles import FULL, ProcessRole
from cdp.vault.roots.choice import Passphrase, standard
from cdp.vault.roots.file import ONLY_FILE
from cdp.vault.roots.provider import RootProviders
from cdp.vault.shred_file import ShredFile
from cdp.vault.shreds import EMPTY, Head
from cdp.vault.vault import Vault
from policies.decision import Policy

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
    providers: RootProviders = ONLY_FILE  # that may guard the ring's root
    role: ProcessRole = FULL  # of this process: which keys it holds
    # Of one request or run, see `pinned`; None: whatever is in force at each moment.
    pin: Policy | None = field(default=None, repr=False)

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

    @property
    def forms(self) -> Forms:
        """What is stored of values for who must not open them, under the masks in force."""
        masking = self.pin.compiled.masking if self.pin else self.policies.masking
        held: Forms | None = self.__dict__.get("_forms")
        if held is None or held.masking != masking:
            held = self.__dict__["_forms"] = Forms(masking)
        return held

    @property
    def feature_key(self) -> int:
        """The version of the features key that new features are keyed with.

        The database names it, and the ring may have a newer one: see `cdp.keys.feature_rows`.
        Who reads it and writes later does no harm: older features are brought under it.
        """
        with self.engine.connect() as connection:
            return connection.scalar(sa.select(workspace_table.c.feature_key)) or FIRST

    @property
    def shred_file(self) -> ShredFile:
        """The shred ledger in the workspace folder."""
        return ShredFile(self.settings.shred_ledger, self.id)

    def check_ledger(self, connection: sa.Connection) -> None:
        """Refuse a database that does not know of all that was destroyed.

        Whoever reads people calls it first, in the transaction that reads. A shred that is
        just being committed is waited for.

        A process that serves with some of the keys, on another machine, may have no ledger
        file: it then takes the database at its word, which those with every key check.

        Raises:
            RestoredBeforeShred: the database is older than the ledger file.
            ShredLedgerBehind, ShredLedgerAltered, OtherWorkspace: the file is not its own.
        """
        if self.role != FULL and not self.settings.shred_ledger.exists():
            return
        if self.shred_file.head() == ledger_head(connection):
            return
        until_commit(connection, "shred", "wait until the other has ended, then try again")
        _judge(self.shred_file.head(), ledger_head(connection))

    @cached_property
    def policies(self) -> LivePolicy:
        """The policy in force in this process, and what is newer."""
        return LivePolicy(
            self.engine,
            lambda: trust_of(self.keyring),
            lambda: self.declaration.organisation,
            SeenFile(self.settings.policy_seen, self.id),
        )

    @property
    def policy(self) -> Policy:
        """The compiled policy over this workspace's organisation, as it is in force now.

        Two reads may give two policies: whoever decides more than once takes one, or works in a
        `pinned` workspace.

        Raises:
            PolicyUntrusted, PolicyUnusable: what is stored is not to be believed.
        """
        return self.pin or self.policies.policy

    def pinned(self) -> "Workspace":
        """Return the same workspace under one policy, for one request or run."""
        return self if self.pin else self.repinned()

    def repinned(self) -> "Workspace":
        """Return the same workspace under the policy in force now, whatever it was pinned to."""
        policy = self.policies.policy
        _ = self.vault  # made once, not once a request
        one = copy.copy(self)  # with everything that was made when first needed
        object.__setattr__(one, "pin", policy)
        return one


def ledger_head(connection: sa.Connection) -> Head:
    """Where the database's copy of the shred ledger ends."""
    columns = shred.c.sequence, shred.c.mac
    last = sa.select(*columns).order_by(shred.c.sequence.desc()).limit(1)
    row = connection.execute(last).one_or_none()
    return Head(row.sequence, bytes(row.mac)) if row else EMPTY


def _judge(file: Head, stored: Head) -> None:
    if file.sequence > stored.sequence:
        raise RestoredBeforeShred(
            "restored_before_shred",
            "run: cdp vault replay",
            database_line=stored.sequence,
            ledger_line=file.sequence,
        )
    if file.sequence < stored.sequence:
        raise ShredLedgerBehind(
            "shred_ledger_behind",
            "put the newest copy of the ledger file back, or run: cdp vault replay",
            database_line=stored.sequence,
            ledger_line=file.sequence,
        )
    if file != stored:
        raise ShredLedgerAltered(
            "shred_ledger_differs",
            "put the ledger file that was written with this database back",
            line=file.sequence,
        )


def create(
    settings: Settings,
    now: Clock = utc_now,
    *,
    demo: bool = False,
    anew: bool = False,
    providers: RootProviders | None = None,
) -> Workspace:
    """Make a new workspace: folder, key ring, database, schema.

    What exists already and belongs together is kept, so that a broken-off ``init`` can
    be run again.

    Where the database lost a policy that this machine saw, it begins with the shipped one only
    ``anew``: if somebody said so.

    Raises:
        Stop: database and key ring are not of each other, or the database lost what it had.
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
            made = _on(settings, engine, now, stored, providers)
            _begin_policy(connection, settings, made.keyring, now(), anew=anew)
            return made
        _require_empty(connection)
        asked = Passphrase(settings.passphrase, settings.passphrase_file)
        known = providers or standard(settings, asked)
        keyring, drawn = _new_ring(settings, known, now)
        connection.execute(
            workspace_table.insert().values(
                id=keyring.workspace,
                only=True,
                key_check=keyring.key_check(keyring.workspace),
                demo=demo,
                at=now(),
            )
        )
        # A ring drawn now has seen nothing. One that is kept has, and says so.
        _begin_policy(connection, settings, keyring, now(), anew=anew or drawn)
    return Workspace(_with(settings, asked), engine, keyring, now, known)


def _require_empty(connection: sa.Connection) -> None:
    """Refuse a database whose workspace was taken out of it while other rows stayed.

    Raises:
        Stop: some table holds rows.
    """
    held = (
        f"SELECT '{table.name}' WHERE EXISTS (SELECT FROM {table.fullname})"
        for table in metadata.sorted_tables
    )
    found = connection.scalar(sa.text(f"{' UNION ALL '.join(held)} LIMIT 1"))
    if found is not None:
        raise Stop(
            "workspace_row_missing",
            "restore the newest backup of the database, or name an empty one",
            table=found,
        )


def _begin_policy(
    connection: sa.Connection, settings: Settings, keyring: KeyRing, now: dt.datetime, *, anew: bool
) -> None:
    """Put the shipped policy in force where none ever was, or where somebody says so."""
    seen = SeenFile(settings.policy_seen, keyring.workspace)
    author = Author(trust_of(keyring), keyring.signer(), now)
    begun = author.begin(connection, content.shipped(), None if anew else seen.newest())
    if begun is not None and anew:
        seen.forget()  # of a database that is gone


def open_workspace(
    settings: Settings,
    now: Clock = utc_now,
    *,
    any_age: bool = False,
    providers: RootProviders | None = None,
    role: ProcessRole = FULL,
) -> Workspace:
    """Open an existing workspace.

    Args:
        settings: where it is.
        now: its clock.
        any_age: also one that was restored from before a shred, to bring it up to date.
        providers: that may guard the ring's root; None: those that the settings give.
        role: of this process; it holds no key beyond, and takes its role in the database.

    Raises:
        Stop: there is none, its database is gone, its schema is of another version, the
            key ring is missing or is not its own, or see ``Workspace.check_ledger``.
    """
    if not settings.home.exists():
        raise Stop("no_workspace", "run: cdp init", path=settings.home)
    gone = settings.database_url is None and not (settings.database_folder / "PG_VERSION").exists()
    if gone:
        raise Stop(
            "database_missing",
            "restore the database folder from a backup, or begin again with cdp init --begin-anew "
            "and sync every source",
            path=settings.database_folder,
        )
    engine = open_engine(settings.database_url, settings.database_folder, role.database)
    if not migrate.is_current(engine):
        raise Stop("schema_not_current", "run: cdp init")
    with engine.connect() as connection:
        stored = connection.execute(sa.select(workspace_table)).one_or_none()
    if stored is None:
        raise Stop("database_empty", "run: cdp init")
    workspace = _on(settings, engine, now, stored, providers, role)
    if not any_age:
        with engine.begin() as connection:
            workspace.check_ledger(connection)
    return workspace


def _new_ring(settings: Settings, providers: RootProviders, now: Clock) -> tuple[KeyRing, bool]:
    """Draw a ring, or take the one that an earlier ``init`` drew; say whether it was drawn."""
    path, provider = settings.key_ring, providers.named(settings.root_provider)
    try:
        return KeyRing.create(path, uuid4(), provider=provider, now=now()), True
    except KeyRingExists:
        return KeyRing.open(path, providers=providers), False


def _on(
    settings: Settings,
    engine: sa.Engine,
    now: Clock,
    stored: sa.Row[tuple[object, ...]],
    providers: RootProviders | None,
    role: ProcessRole = FULL,
) -> Workspace:
    """The workspace of a database, its ring opened and held against it."""
    asked = Passphrase(settings.passphrase, settings.passphrase_file)
    known = providers or standard(settings, asked)
    keyring = KeyRing.open(settings.key_ring, stored.id, known, role.withheld)
    keyring.confirm(stored.id, stored.key_check)
    return Workspace(_with(settings, asked), engine, keyring, now, known, role)


def _with(settings: Settings, asked: Passphrase) -> Settings:
    """The settings with the passphrase that was typed, for processes that this one starts."""
    return settings if asked.typed is None else replace(settings, passphrase=asked.typed)


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
    for made in (settings.key_ring, settings.shred_ledger, settings.policy_seen):
        made.unlink(missing_ok=True)
