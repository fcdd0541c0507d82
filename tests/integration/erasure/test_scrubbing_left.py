"""What a scrub has not done yet, what keeps it from it, and that it says so."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from cdp.erasure import scrubbing
from cdp.erasure.status import status
from cdp.errors import Refused
from cdp.storage import schema
from cdp.storage.locks import only_one
from cdp.workspace import Workspace
from tests.integration.erasure.household import BELLA_NAME, CARD_NAME, WHY, eraser, shred
from tests.integration.erasure.test_scrubbing import Killed
from tests.integration.erasure.test_traces import column

pytestmark = pytest.mark.integration
SLOT = "kith_scrubbing_test"


@pytest.fixture
def tidy(shop: Workspace) -> None:
    """A server that deletes its old log files, as the embedded one does."""
    with shop.engine.connect() as connection:
        if connection.scalar(sa.text("SHOW wal_recycle")) == "on":
            pytest.skip("this server keeps old log files: test_commands.py asks what is said then")


@pytest.mark.usefixtures("tidy")
def test_pending_is_since_the_oldest_that_is_not_overwritten_everywhere(
    shop: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scrubbing 1: a table that is done does not make the others forget what waits in them."""
    shred(shop, CARD_NAME)
    [first] = column(shop, schema.shred.c.at)
    genuine, seen = scrubbing._Scrub._vacuum, []

    def vacuum(self: scrubbing._Scrub, relation: str) -> None:
        if len(seen) == 2:
            raise Killed
        seen.append(relation)
        genuine(self, relation)

    with monkeypatch.context() as killed:
        killed.setattr(scrubbing._Scrub, "_vacuum", vacuum)
        with pytest.raises(Killed):
            scrubbing.run(shop)
    assert status(shop).pending_since == first
    shred(shop, BELLA_NAME)
    assert status(shop).pending_since == first < column(shop, schema.shred.c.at)[-1]
    scrubbing.run(shop)
    assert (status(shop).not_scrubbed, status(shop).pending_since) == ((), None)


@pytest.mark.usefixtures("tidy")
def test_letting_somebody_in_again_leaves_nothing_to_overwrite(shop: Workspace) -> None:
    """Scrubbing 1: the line of the ledger that says so destroyed nothing."""
    shred(shop, CARD_NAME)
    scrubbing.run(shop)
    assert eraser(shop).readmit(CARD_NAME, WHY) == 2
    assert status(shop).not_scrubbed == ()
    assert scrubbing.run(shop).rewritten == ()


def test_who_has_begun_and_reads_nothing_yet_is_waited_for(
    shop: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scrubbing 1: a transaction with a number and no snapshot keeps deleted rows too."""
    monkeypatch.setattr(scrubbing, "PATIENCE", 1.0)
    with shop.engine.connect() as other:
        other.execute(sa.text("SELECT pg_current_xact_id()"))
        shred(shop, CARD_NAME)
        with pytest.raises(Refused, match="still_being_read"):
            scrubbing.run(shop)
    assert scrubbing.run(shop).rewritten


def test_two_at_once_are_refused(shop: Workspace) -> None:
    """Scrubbing 2: the other goes on with what is left."""
    shred(shop, CARD_NAME)
    with only_one(shop.engine, "scrub", "wait"), pytest.raises(Refused, match="already_running"):
        scrubbing.run(shop)
    assert status(shop).not_scrubbed == scrubbing.RELATIONS


@contextmanager
def recycling(workspace: Workspace) -> Iterator[None]:
    """The server keeps old log files under new names."""
    name = workspace.engine.url.database
    workspace.engine.dispose()
    with workspace.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as one:
        one.execute(sa.text(f'ALTER DATABASE "{name}" SET wal_recycle = on'))
    workspace.engine.dispose()
    yield
    with workspace.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as one:
        one.execute(sa.text(f'ALTER DATABASE "{name}" RESET wal_recycle'))
    workspace.engine.dispose()


@contextmanager
def lagging(workspace: Workspace) -> Iterator[None]:
    """Somebody who copies the log is far behind."""
    make = sa.text("SELECT pg_create_physical_replication_slot(:name, true)")
    with workspace.engine.begin() as one:
        one.execute(make, {"name": SLOT})
    try:
        yield
    finally:
        with workspace.engine.begin() as one:
            one.execute(sa.text("SELECT pg_drop_replication_slot(:name)"), {"name": SLOT})


@pytest.mark.usefixtures("tidy")
@pytest.mark.parametrize(
    ("kept", "words"), [(recycling, "wal_recycle is on"), (lagging, "old log files")]
)
def test_a_log_that_the_server_keeps_stays_pending(
    shop: Workspace, kept: object, words: str
) -> None:
    """Scrubbing 3: the tables are done, the log is not, and why is said; then it is."""
    assert callable(kept)
    shred(shop, CARD_NAME)
    with kept(shop):
        done = scrubbing.run(shop)
        assert words in done.kept
        assert status(shop).not_scrubbed == (scrubbing.WAL,)
    assert scrubbing.run(shop).kept == ""
    assert status(shop).not_scrubbed == ()
