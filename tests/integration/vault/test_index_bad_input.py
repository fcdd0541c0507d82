"""Rotations that are killed, run out of disk, lack a key, or meet what does not open."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy as sa

from cdp.errors import Refused, Stop
from cdp.ingest import index_keys, index_state, reindex
from cdp.storage import schema
from cdp.storage.locks import only_one
from cdp.vault.errors import KeyMissing, OtherWorkspace, VersionInUse
from cdp.vault.keyring import KeyRing
from tests.integration.vault.indexed import PAIR, SECRET, Indexed, holders, other, people, quiet

pytestmark = pytest.mark.integration

NATIONAL_ID = "11010519491231002X"


KILLED = """
import os, signal, sys
import sqlalchemy as sa
from pathlib import Path
from typing import Self
from uuid import UUID
import datetime as dt
from cdp.ingest import reindex
from cdp.settings import Settings
from cdp.vault.keyring import KeyRing
from cdp.workspace import Workspace

home = Path(sys.argv[1])
settings = Settings(home, home / "cdp.yaml", None, 2000, 512, 1)
engine = sa.create_engine(sys.argv[2], hide_parameters=True)
ring = KeyRing.open(settings.key_ring)
now = dt.datetime(2026, 5, 4, tzinfo=dt.UTC)
workspace = Workspace(settings, engine, ring, lambda: now)
real = reindex._Job._make

def half(self, connection, asked):
    rows = real(self, connection, asked)
    if self._records >= 4:
        os.kill(os.getpid(), signal.SIGKILL)  # in the middle of a transaction
    return rows

reindex._Job._make = half
reindex.reindex(workspace, lambda *_: None, batch=2)
"""


def test_a_killed_rotation_goes_on(shop: Indexed, database_url: str) -> None:
    """Invariant 1: a process killed in a transaction leaves whole batches and no lock."""
    people(shop, 9)
    shop.built()
    shop.new_key()
    home = str(shop.workspace.settings.home)
    address = str(sa.engine.make_url(database_url).render_as_string(hide_password=False))
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, home, address],
        check=False,
        capture_output=True,
        timeout=120,
        cwd=Path(__file__).parents[3],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    assert len({row[0] for row in shop.rows() if row[2] == 2}) == 4
    for _ in range(50):  # the server may take a moment to see that its client is gone
        try:
            report = reindex.reindex(shop.workspace, quiet)
            break
        except Refused:
            threading.Event().wait(0.1)
    assert report.records == 5


def test_a_full_disk_in_the_middle_says_what_to_do(shop: Indexed) -> None:
    """Invariant 1: the batches before it stay, the error names the next step, and it goes on."""
    people(shop, 6)
    shop.built()
    shop.new_key()
    with shop.engine.begin() as connection:
        connection.execute(
            sa.text(
                """
                CREATE FUNCTION kith_vault.full() RETURNS trigger LANGUAGE plpgsql AS $$
                BEGIN
                    IF (SELECT count(DISTINCT record_id) FROM kith_vault.blind_index
                         WHERE epoch = 2) >= 4 THEN
                        RAISE EXCEPTION 'no room' USING ERRCODE = 'disk_full';
                    END IF;
                    RETURN NULL;
                END $$;
                CREATE TRIGGER full_disk BEFORE INSERT ON kith_vault.blind_index
                    FOR EACH STATEMENT EXECUTE FUNCTION kith_vault.full();
                """
            )
        )
    with pytest.raises(
        Stop, match="disk is full; next: make room, then run the same command again"
    ):
        reindex.reindex(shop.workspace, quiet, batch=2)
    assert len({row[0] for row in shop.rows() if row[2] == 2}) == 4
    with shop.engine.begin() as connection:
        connection.execute(sa.text("DROP TRIGGER full_disk ON kith_vault.blind_index"))
    assert reindex.reindex(shop.workspace, quiet).records == 2


def test_without_the_sensitive_key_the_rest_is_done(shop: Indexed) -> None:
    """Invariant 4: what is left is counted by field, and a process with the key finishes it."""
    shop.declare(surname_phone=PAIR, secret=SECRET)
    fields = {"birth_date": "1990-02-17", "national_id": NATIONAL_ID}
    shop.member("欧阳金丝", "+8613912341234", fields=fields)
    shop.built()
    shop.new_key()
    less = other(shop, shop.workspace.keyring.without("sensitive"))
    report = reindex.reindex(less, quiet)
    assert not report.complete
    assert report.left == {"national_id": 1, "birth_year+national_id_tail_4:128": 1}
    assert {row[1] for row in shop.rows() if row[2] == 2} == {"phone", "phone_tail_4+surname:12"}
    with pytest.raises(VersionInUse, match="sensitive"):
        index_state.retire(shop.workspace, 1, quiet)
    assert reindex.reindex(shop.workspace, quiet).complete
    index_state.retire(shop.workspace, 1, quiet)


def test_a_record_that_does_not_open_is_named_and_keeps_its_rows(shop: Indexed) -> None:
    """Invariant 5: one broken cell stops neither the job nor the look-up of that record."""
    phones = people(shop, 3)
    broken = min(row[0] for row in shop.rows())
    with shop.engine.begin() as connection:
        key = schema.data_key
        connection.execute(
            sa.update(key).where(key.c.record_id == broken).values(wrapped=b"\0" * 95)
        )
    shop.new_key()
    report = reindex.reindex(shop.workspace, quiet)
    assert (report.records, report.broken_count, list(report.broken)) == (2, 1, [broken])
    assert not report.complete
    with pytest.raises(VersionInUse):
        index_state.retire(shop.workspace, 1, quiet)
    assert [len(holders(shop, phone)) for phone in phones] == [1, 1, 1]


def test_wrong_rings_are_refused_before_anything_is_done(shop: Indexed, tmp_path: Path) -> None:
    """A ring of another workspace, and one that lacks a version, give typed errors."""
    people(shop, 2)
    stranger = KeyRing.create(tmp_path / "other.json", uuid4())
    for work in (
        lambda w: reindex.reindex(w, quiet),
        lambda w: reindex.build(w, quiet),
        lambda w: index_state.retire(w, 7, quiet),
        lambda w: index_state.measured_spread(w, ["surname", "phone_tail_4"], quiet),
        index_keys.begin_epoch,
    ):
        with pytest.raises(OtherWorkspace, match="next: put the key ring"):
            work(other(shop, stranger))
    with shop.engine.begin() as connection:
        connection.execute(sa.update(schema.data_key).values(key_version=9))
    shop.new_key()
    with pytest.raises(KeyMissing, match="next: restore the newest copy"):
        reindex.reindex(shop.workspace, quiet)


def test_an_old_copy_of_the_ring_begins_no_epoch(shop: Indexed) -> None:
    """A ring that lacks an epoch of the database must not make a second key of its number."""
    people(shop, 1)
    with shop.engine.begin() as connection:
        connection.execute(sa.update(schema.blind_index).values(epoch=5))
    assert index_keys.begin_epoch(shop.workspace) == (1, False)
    with pytest.raises(KeyMissing, match="old copy"):
        shop.new_key()


def test_two_jobs_never_run_at_once(shop: Indexed) -> None:
    """The second is told to wait."""
    with only_one(shop.engine, reindex.LOCK, "wait"), pytest.raises(Refused, match="already"):
        reindex.reindex(shop.workspace, quiet)
