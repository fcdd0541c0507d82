"""Data keys and rejected rows brought under a newer key; `cdp/keys/rotating.py`'s invariants."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from cdp.errors import Refused, Stop
from cdp.ingest.stored_cells import open_stored
from cdp.ingest.sync import sync
from cdp.keys import older_rows, rotating, usage
from cdp.keys.carrying_out import carry_out
from cdp.keys.older_rows import DataKeys
from cdp.keys.rotating import RotationReport
from cdp.resolution.run import resolve
from cdp.storage import schema
from cdp.storage.bulk import copy_in
from cdp.storage.key_schema import SealedUnderRetiredKey
from cdp.storage.locks import only_one
from cdp.vault.errors import KeyMissing, OtherWorkspace
from cdp.vault.keyring import KeyRing
from cdp.vault.rejects import RejectPlace
from cdp.workspace import Workspace
from tests.integration.keys.rotated import (
    new_version,
    who_is_who,
)

pytestmark = pytest.mark.integration
FIELDS = ("name", "phone", "email", "national_id", "bank_card")


def quiet(*_: object) -> None:
    """Say nothing."""


def carried(town: Workspace, purpose: str = "contact", batch: int = 40) -> RotationReport:
    return carry_out(town, purpose, quiet, batch=batch)


def versions(town: Workspace, tier: str = "contact") -> dict[int, int]:
    """How many data keys are under each version."""
    with town.engine.connect() as connection:
        return usage.in_use(connection).get(tier, {})


def everything(town: Workspace) -> dict[int, Any]:
    """Every cell of every record, opened; and none that does not open."""
    with town.engine.connect() as connection:
        ids = list(connection.scalars(sa.select(schema.record.c.id)))
        opened, broken = open_stored(connection, town, ids, FIELDS)
    assert not broken
    return opened


def cells(town: Workspace) -> list[Any]:
    """The sealed bytes of both tiers and of the features."""
    with town.engine.connect() as connection:
        return [
            list(map(tuple, connection.execute(sa.select(table).order_by("record_id"))))
            for table in (schema.contact, schema.sensitive)
        ] + [list(map(tuple, connection.execute(sa.select(schema.record).order_by("id"))))]


@pytest.mark.parametrize("tier", ["contact", "sensitive"])
def test_every_key_is_wrapped_anew_and_no_cell_is_touched(town: Workspace, tier: str) -> None:
    """Invariant 6: all data keys are under the new version; the cells are the same bytes."""
    before, sealed, (held,) = everything(town), cells(town), versions(town, tier).values()
    new_version(town, tier)
    report = carried(town, tier)
    assert (report.complete, report.rows, report.version) == (True, held, 2)
    assert versions(town, tier) == {2: held}
    assert cells(town) == sealed
    assert everything(town) == before
    assert carried(town, tier).rows == 0


def test_reads_and_writes_go_on(town: Workspace) -> None:
    """Invariants 1 and 4: others read and store all the while, and everything opens."""
    ring = KeyRing.open(town.settings.key_ring)  # another process, with the ring of before
    other = replace(town, keyring=ring)
    before, done, faults, reads = everything(town), threading.Event(), [], []

    def until_done(work: Callable[[], Any]) -> threading.Thread:
        def go() -> None:
            try:
                while not done.is_set():
                    reads.append(work())
            except Exception as fault:  # noqa: BLE001 - whatever it is, the test shows it
                faults.append(fault)

        thread = threading.Thread(target=go)
        thread.start()
        return thread

    def store() -> None:
        with town.engine.begin() as connection:
            connection.execute(sa.text("UPDATE kith.sync_run SET declaration = 'another reading'"))
            connection.execute(sa.text("UPDATE kith.record SET content = '\\x00'"))
        sync(other, "miniprogram")

    threads = [until_done(lambda: everything(other)), until_done(store)]
    for version in (2, 3):
        assert new_version(town, "contact") == version
        report = carried(town, batch=20)
        assert report.refused_count == 0
    done.set()
    for thread in threads:
        thread.join()
    assert not faults
    assert len(reads) > 2
    assert everything(other) == before
    assert carried(town).complete
    assert set(versions(town)) == {3}


def test_rows_that_somebody_holds_are_left_for_the_next_pass(
    town: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariant 3: it does not wait; what is held to the end is counted, and done later."""
    monkeypatch.setattr(rotating, "PAUSE", 0.01)
    new_version(town, "contact")
    with town.engine.begin() as connection:
        connection.execute(sa.text("SELECT FROM kith_keys.data_key WHERE record_id = 3 FOR UPDATE"))
        report = carried(town)
    assert (report.left, report.complete) == (1, False)
    assert carried(town).rows == 1


def test_two_at_once_are_refused(town: Workspace) -> None:
    """Invariant 5: the second job on a key says so; one on another key goes on."""
    new_version(town, "contact")
    new_version(town, "sensitive")
    with only_one(town.engine, "rotate contact", "wait"):
        with pytest.raises(Refused, match="already_running"):
            carried(town)
        assert carried(town, "sensitive").complete


def test_a_full_disk_stops_it_and_it_goes_on(
    town: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariant 2: the server says that its disk is full amid the job; what is done stays."""
    before, held = everything(town), sum(versions(town).values())
    new_version(town, "contact")
    full = """
        CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF (SELECT count(*) FROM kith_keys.data_key WHERE key_version = 2) > 100 THEN
                RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full';
            END IF; RETURN NULL; END $$;
        CREATE TRIGGER full_disk AFTER UPDATE ON kith_keys.data_key
            FOR EACH STATEMENT EXECUTE FUNCTION full_disk();
    """
    with town.engine.begin() as connection:
        connection.execute(sa.text(full))
    with pytest.raises(Stop, match="make room, then run: cdp key rotate contact --resume"):
        carried(town)
    assert versions(town) == {1: held - 80, 2: 80}
    assert everything(town) == before
    with town.engine.begin() as connection:
        connection.execute(sa.text("DROP FUNCTION full_disk CASCADE"))
    assert carried(town).rows == held - 80
    assert everything(town) == before


JOB = """
import sys
from cdp.settings import Settings
from cdp.workspace import open_workspace
from cdp.keys.carrying_out import carry_out
def told(done, expected):
    print(done, flush=True)
carry_out(open_workspace(Settings.from_environment(dict(%r))), "contact", told, batch=10)
"""


def test_killed_at_any_moment_it_goes_on(town: Workspace) -> None:
    """Invariant 2: a killed process leaves every key under one version or the other."""
    before, held = everything(town), sum(versions(town).values())
    new_version(town, "contact")
    environment = {
        "CDP_HOME": str(town.settings.home),
        "CDP_CONFIG": str(town.settings.declaration),
        "CDP_DATABASE_URL": str(town.settings.database_url),
    }
    for _ in range(3):
        job = subprocess.Popen(
            [sys.executable, "-c", JOB % environment], stdout=subprocess.PIPE, env=os.environ.copy()
        )
        assert job.stdout
        for _ in range(3):
            job.stdout.readline()
        job.send_signal(signal.SIGKILL)
        job.communicate()
        assert everything(town) == before
    deadline = time.monotonic() + 10
    while versions(town).get(1) and time.monotonic() < deadline:
        try:
            assert carried(town).complete
        except Refused:  # the killed one's connection is still being noticed
            time.sleep(0.1)
    assert versions(town) == {2: held}
    assert everything(town) == before


def test_a_missing_version_is_named(town: Workspace) -> None:
    """A row under a version that the ring lacks ends the job; the error says which, and what."""
    new_version(town, "contact")
    with town.engine.begin() as connection:
        connection.execute(
            sa.text("UPDATE kith_keys.data_key SET key_version = 0 WHERE record_id = 3")
        )
    with pytest.raises(KeyMissing, match=r"version 0.*restore the newest copy") as raised:
        carried(town)
    assert dict(raised.value.where) == {"key": "contact", "version": 0}


def test_the_ring_of_another_workspace_is_refused(town: Workspace, tmp_path: Any) -> None:
    """Nothing is touched with keys that are not this workspace's."""
    (tmp_path / "other").mkdir()
    stranger = KeyRing.create(tmp_path / "other" / "keyring.json", uuid4())
    before = versions(town)
    with pytest.raises(OtherWorkspace):
        carried(replace(town, keyring=stranger))
    assert versions(town) == before


def test_a_key_that_does_not_open_is_named_and_passed_over(town: Workspace) -> None:
    """A changed wrapped key stays what it is, and the others are wrapped anew."""
    new_version(town, "contact")
    with town.engine.begin() as connection:
        connection.execute(
            sa.text(
                "UPDATE kith_keys.data_key SET wrapped = set_byte(wrapped, 60, 255 - "
                "get_byte(wrapped, 60)) WHERE record_id = 3 AND tier = 'contact'"
            )
        )
    report = carried(town)
    assert dict(report.refused) == {3: "the wrapped key was changed or belongs to another place"}
    assert (report.complete, report.left) == (False, 0)
    assert versions(town)[1] == 1


def test_rejected_rows_are_sealed_anew(town: Workspace) -> None:
    """Every row that was set aside opens under the new key as it did under the old one."""

    def opened() -> list[str]:
        with town.engine.connect() as connection:
            rows = connection.execute(sa.select(schema.reject).order_by(schema.reject.c.id)).all()
        return [
            town.vault.open_reject(
                RejectPlace(row.source, row.fingerprint, row.position, row.field), bytes(row.sealed)
            ).reveal(reason="test")
            for row in rows
        ]

    before, (held,) = opened(), versions(town, "rejects").values()
    assert len(before) == held > 0
    new_version(town, "rejects")
    assert carried(town, "rejects").rows == held
    assert versions(town, "rejects") == {2: held}
    assert opened() == before


@pytest.mark.parametrize("purpose", ["contact", "sensitive", "rejects", "blind-index", "features"])
def test_whatever_is_rotated_nobody_changes(town: Workspace, purpose: str) -> None:
    """Rotate any key, then resolve everybody: nothing changes, nor does what arrives later."""
    before = who_is_who(town)
    new_version(town, purpose)
    if purpose != "blind-index":
        carried(town, purpose)
    again = resolve(town)  # what a person would run next
    assert again.nothing_new
    assert resolve(town, full=True).nothing_new
    assert who_is_who(town) == before


def test_blocking_keys_stay_of_one_version(town: Workspace) -> None:
    """A newer index key changes no blocking key until a full resolve makes all of them anew.

    The ring has it, the database does not know: as when a process was killed between.
    """
    before = who_is_who(town)
    with town.engine.connect() as connection:
        keys = set(connection.scalars(sa.select(schema.block.c.key)))
    new_version(town, "blind-index")
    with town.engine.begin() as connection:
        connection.execute(sa.text("UPDATE kith.record SET dirty = true WHERE id % 20 = 0"))
    assert resolve(town).nothing_new  # a repair of a few
    assert who_is_who(town) == before
    with town.engine.connect() as connection:
        assert set(connection.scalars(sa.select(schema.block.c.key))) == keys
        assert usage.in_use(connection)["blind-index"].keys() == {1}
    resolve(town, full=True)
    assert who_is_who(town) == before
    with town.engine.connect() as connection:
        assert not set(connection.scalars(sa.select(schema.block.c.key))) & keys
        assert connection.scalar(sa.select(schema.workspace.c.block_key)) == 2


def test_a_slow_writer_is_refused_and_loses_nothing(town: Workspace) -> None:
    """Invariant 6 of `cdp.keys.keeping`: the database takes no row under a retired version."""
    new_version(town, "contact")
    carried(town)
    now = town.now()
    usage.refuse_from_now_on(town.engine, "contact", 1, now)
    usage.refuse_from_now_on(town.engine, "contact", 1, now)
    insertion = (
        "INSERT INTO kith_keys.data_key VALUES (3, 'late', 2, ''), (4, 'contact', 1, '') "
        "ON CONFLICT (record_id, tier) DO UPDATE SET key_version = excluded.key_version"
    )
    for statement in (
        insertion,
        "UPDATE kith_keys.data_key SET key_version = 1 WHERE record_id = 4 AND tier = 'contact'",
    ):
        with pytest.raises(SealedUnderRetiredKey), town.engine.begin() as connection:
            connection.execute(sa.text(statement))
    late = ((number, "contact", 1, b"late") for number in range(4, 5))
    with town.engine.connect() as connection:
        connection.execute(sa.text("DELETE FROM kith_keys.data_key WHERE record_id = 4"))
        with pytest.raises(SealedUnderRetiredKey):
            copy_in(connection, schema.data_key, late)
    assert set(versions(town)) == {2}
    everything(town)


def test_progress_is_told(town: Workspace) -> None:
    """Rows done and rows to do, from none to all, never backwards."""
    held = sum(versions(town).values())
    new_version(town, "contact")
    told: list[tuple[int, int]] = []
    carry_out(town, "contact", lambda done, expected: told.append((done, expected)), batch=50)
    assert told[0] == (0, held)
    assert told[-1] == (held, held)
    assert told == sorted(told)
    assert older_rows.REJECTS == "rejects"
    assert DataKeys(town, "contact").version == 2
