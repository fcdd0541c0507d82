"""Changes of keys that fail, are killed or have to wait: what the log and the others learn."""

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from cdp.access.principals import subject_of
from cdp.audit import log
from cdp.ingest import index_keys
from cdp.keys import keeping, permission, usage
from cdp.keys.keeping import KeyKeeper
from cdp.storage import schema
from cdp.storage.engine import open_engine
from cdp.storage.key_schema import REFUSED
from cdp.storage.locks import only_one
from cdp.vault import ring_file
from cdp.vault.keyring import KeyRing
from cdp.vault.roots.file import FILE, ONLY_FILE
from cdp.workspace import Workspace, open_workspace
from tests.journeys import tills

pytestmark = pytest.mark.integration
NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)


class KilledError(BaseException):
    """Where a process ends in the middle."""


@pytest.fixture
def shop(folder: Path, database_url: str) -> Iterator[Workspace]:
    """The shop, opened."""
    shop = open_workspace(tills.settings(folder, database_url))
    yield shop
    shop.engine.dispose()


def keeper(shop: Workspace) -> KeyKeeper:
    """The operator of the shop."""
    return KeyKeeper(shop, subject_of(shop, "operator"))


def reasons(engine: sa.Engine) -> list[str]:
    """Of each event of a key, whether it says that something failed."""
    with engine.connect() as connection:
        columns = schema.audit_event.c
        lines = connection.scalars(sa.select(columns.line).order_by(columns.id))
        mine = [line for line in lines if '"action":"key.' in line]
    return ["failed" if '"reason":"failed"' in line else "granted" for line in mine]


def versions(shop: Workspace, purpose: str) -> set[int]:
    """The versions that stand in the file."""
    return set(KeyRing.open(shop.settings.key_ring, shop.id).versions(purpose))


# ── failures have an event ──────────────────────────────────────────────────


def test_a_database_without_room_leaves_an_event(shop: Workspace, engine: sa.Engine) -> None:
    """Invariants 2 and 4: a full disk of the database is in the log; the same command works."""
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                """
                CREATE FUNCTION kith.full() RETURNS trigger LANGUAGE plpgsql AS $$
                BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = '53100'; END $$;
                CREATE TRIGGER full_disk BEFORE UPDATE ON kith.workspace
                    FOR EACH STATEMENT EXECUTE FUNCTION kith.full();
                """
            )
        )
    with pytest.raises(sa.exc.OperationalError, match="no room"):
        keeper(shop).rotate("contact")
    assert reasons(engine) == ["granted", "failed"]
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TRIGGER full_disk ON kith.workspace"))
    assert keeper(shop).rotate("contact") == 3
    assert reasons(engine) == ["granted", "failed", "granted"]


def test_a_connection_that_breaks_leaves_an_event(
    shop: Workspace, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariant 2: where the connection is lost the failure is told on another one."""

    def lost(connection: sa.Connection) -> None:
        process = connection.scalar(sa.text("SELECT pg_backend_pid()"))
        with engine.begin() as other:
            other.execute(sa.text("SELECT pg_terminate_backend(:process)"), {"process": process})
        usage.in_use(connection)

    monkeypatch.setattr(usage, "hold_still", lost)
    with pytest.raises(sa.exc.OperationalError):
        keeper(shop).rotate("contact")
    assert versions(shop, "contact") == {1}
    assert reasons(engine) == ["granted", "failed"]


def test_who_gives_up_at_the_passphrase_leaves_an_event(shop: Workspace, engine: sa.Engine) -> None:
    """Invariant 2: an edit that somebody broke off has failed too."""
    before = shop.settings.key_ring.read_bytes()

    def given_up() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        keeper(shop).move(Watching(given_up))
    assert shop.settings.key_ring.read_bytes() == before
    assert reasons(engine) == ["granted", "failed"]


def test_what_failed_is_said_also_where_the_log_cannot_be_told(
    shop: Workspace, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first failure is raised, with a note that the second event is lacking."""

    def gone(*_: object) -> None:
        raise sa.exc.OperationalError("INSERT", None, Exception("gone"))

    def fails() -> None:
        with permission.tried(shop, subject_of(shop, "operator"), "try"):
            monkeypatch.setattr(log, "append", gone)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        fails()
    assert caught.value.__notes__ == ["the audit log could not be told that this failed"]
    assert reasons(engine) == ["granted"]


# ── a version that leaves the ring ──────────────────────────────────────────


def test_killed_before_the_version_leaves_the_ring_it_is_refused_already(
    shop: Workspace, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariant 6: the refusal is committed before the ring is written, whatever follows."""
    monkeypatch.setattr(keeping, "GRACE", dt.timedelta(0))
    keeper(shop).rotate("rejects")
    with monkeypatch.context() as patch:

        def killed(*_: object) -> None:
            raise KilledError

        patch.setattr(ring_file, "replace", killed)
        with pytest.raises(KilledError):
            keeper(shop).retire("rejects", 1)
    assert versions(shop, "rejects") == {1, 2}
    with pytest.raises(sa.exc.DBAPIError) as refused, engine.begin() as connection:
        connection.execute(_row(1))
    assert refused.value.orig.pgcode == REFUSED  # type: ignore[union-attr]
    with engine.begin() as connection:
        connection.execute(_row(2))
    keeper(shop).retire("rejects", 1)
    assert versions(shop, "rejects") == {2}


def _row(version: int) -> sa.Insert:
    """A rejected row that is sealed under that version."""
    return sa.insert(schema.reject).values(
        source="till", fingerprint="0", position=1, field="", rule="r", next_step="n",
        sealed=b"\1" + version.to_bytes(2, "big") + bytes(60), at=NOW,
    )  # fmt: skip


# ── nobody waits for the provider of the root ───────────────────────────────


class Watching:
    """The `file` provider; each time that it is asked it looks at something first."""

    name = FILE.name
    needs = FILE.needs

    def __init__(self, look: Callable[[], None]) -> None:
        self._look = look
        self.asked = 0

    def wrap(self, root, place):
        """Look, then wrap."""
        self._look()
        self.asked += 1
        return FILE.wrap(root, place)

    def unwrap(self, held, place):
        """Look, then open."""
        self._look()
        self.asked += 1
        return FILE.unwrap(held, place)


@pytest.fixture
def watched(shop: Workspace, database_url: str, tmp_path: Path) -> Iterator[Watching]:
    """A provider that fails if anybody else would have to wait while it is asked."""
    engine = open_engine(database_url, tmp_path)

    def look() -> None:
        with only_one(engine, "resolve", ""), only_one(engine, "repair", ""):
            pass
        with engine.begin() as connection:
            for table in usage._WRITTEN.split(","):
                connection.execute(sa.text(f"LOCK TABLE {table} IN ROW EXCLUSIVE MODE NOWAIT"))
            connection.execute(sa.text("SELECT FROM kith.workspace FOR UPDATE NOWAIT"))

    yield Watching(look)
    engine.dispose()


def test_others_write_while_the_provider_is_asked(shop: Workspace, watched: Watching) -> None:
    """Invariant 7: somebody types a passphrase, or a KMS is slow, and nobody waits for it."""
    slow = replace(shop, providers=ONLY_FILE.adding(watched))
    keeper(slow).rotate("contact")
    keeper(slow).rotate("root")
    keeper(slow).move(watched)
    keeper(slow).upgrade()
    assert watched.asked >= 4
    assert index_keys.begin_epoch(slow) == (2, True)
