"""A million data keys wrapped anew under a newer key, while another process reads.

A workspace is filled with sealed records, a new version of the contact key is put in force,
and the job of ``cdp key rotate contact`` runs. All the while another process picks records
at random and opens them with a ring that it read before the rotation: each must open.
"""

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import sqlalchemy as sa

from benchmarks.report import report
from cdp.errors import KithError
from cdp.keys.older_rows import DataKeys
from cdp.keys.rotating import bring_under
from cdp.settings import Settings
from cdp.storage import schema
from cdp.storage.bulk import copy_in
from cdp.vault import plaintext, ring_edits
from cdp.vault.envelope import WrappedKey
from cdp.vault.primitives import system_randomness
from cdp.vault.ring_editing import RingEditor
from cdp.workspace import Workspace, create, open_workspace

AT_ONCE = 10_000  # records of one COPY
TIER = "contact"
MILLION = 1_000_000
ALONE = 3.0  # seconds of reading before anything is rotated
FIELDS = {
    "name": plaintext.encode([("张三", None)]),
    "phone": plaintext.encode([("+8613900000000", None)]),
}
ONE = sa.text(
    "SELECT c.record_id, c.revision, c.fields, c.cells, k.key_version, k.wrapped "
    "FROM kith_vault.contact c JOIN kith_keys.data_key k "
    "ON k.record_id = c.record_id AND k.tier = 'contact' WHERE c.record_id = :id"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--keys", type=int, default=MILLION)


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Fill, rotate, wrap anew; another process reads from before the rotation to the end."""
    keys = arguments.keys
    with tempfile.TemporaryDirectory(prefix="kith-", ignore_cleanup_errors=True) as folder:
        environment = {**os.environ, "CDP_HOME": folder, "CDP_CONFIG": f"{folder}/cdp.yaml"}
        workspace = create(Settings.from_environment(environment))
        fill(workspace, keys)
        before = while_read(environment, keys, lambda: time.sleep(ALONE))
        during = while_read(environment, keys, lambda: rotate(workspace))
        with workspace.engine.connect() as connection:
            left = DataKeys(workspace, TIER).left(connection)
        workspace.engine.dispose()
    seconds = during["seconds"]
    metrics = {
        "keys": keys,
        "seconds": seconds,
        "seconds_1m": seconds * MILLION / keys,
        "keys_per_s": keys / seconds,
        "cpu_us_a_key": 1e6 * during["cpu_seconds"] / keys,
        "left": left,
        "reads": during["reads"],
        "reads_under_the_new_key": during["newer"],
        "reads_per_s": during["reads"] / seconds,
        "reads_per_s_before": before["reads"] / before["seconds"],
        "unreadable": during["unreadable"],
    }
    targets = [
        ("seconds_1m", "<=", 120.0),
        ("left", "==", 0.0),
        ("unreadable", "==", 0.0),
        ("reads_under_the_new_key", ">=", 1.0),
    ]
    return report("vault.rotation", metrics, targets)


def fill(workspace: Workspace, keys: int) -> None:
    """Store sealed records with ids from 1 on, a data key each."""
    now = workspace.now().isoformat()
    for start in range(1, keys + 1, AT_ONCE):
        ids = range(start, min(start + AT_ONCE, keys + 1))
        sealed = [workspace.vault.seal_record(one, 1, FIELDS, {}, b"") for one in ids]
        with workspace.engine.begin() as connection:
            copy_in(
                connection,
                schema.record,
                (
                    (one, "made", one.to_bytes(16, "big"), b"", 1, None, "none", [], [], "{}", 1,
                     held.features, 1, now, now, False)
                    for one, held in zip(ids, sealed, strict=True)
                ),
            )  # fmt: skip
            copy_in(
                connection,
                schema.contact,
                (
                    (one, 1, list(held.contact_fields), list(held.contact_cells))
                    for one, held in zip(ids, sealed, strict=True)
                ),
            )
            copy_in(
                connection,
                schema.data_key,
                ((one, TIER, *held.contact_key) for one, held in zip(ids, sealed, strict=True)),
            )
    with workspace.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("VACUUM ANALYZE"))


def rotate(workspace: Workspace) -> None:
    """Put a new version in force, and wrap every data key under it."""
    editor = RingEditor(workspace.settings.key_ring, workspace.id, workspace.providers)
    now = workspace.now()
    document = editor.edit(
        lambda ring: ring_edits.add_version(ring, TIER, {}, system_randomness, now)
    )
    workspace.keyring.secret(TIER, document.keys[TIER].current)  # so that it is seen at once
    bring_under(workspace, DataKeys(workspace, TIER), lambda *_: None)


def while_read(
    environment: Mapping[str, str], keys: int, work: Callable[[], None]
) -> dict[str, float]:
    """Do ``work`` while another process reads; say how long it took and what was read."""
    context = multiprocessing.get_context("spawn")
    mine, other = context.Pipe()
    reader = context.Process(target=read, args=(dict(environment), keys, other))
    reader.start()
    mine.recv()  # it reads
    started, used = time.perf_counter(), time.process_time()
    work()
    seconds, cpu = time.perf_counter() - started, time.process_time() - used
    mine.send(None)
    told: dict[str, float] = json.loads(mine.recv())
    reader.join()
    return {"seconds": seconds, "cpu_seconds": cpu, **told}


def read(environment: dict[str, str], keys: int, told: Any) -> None:
    """Open records picked at random until told to stop."""
    workspace = open_workspace(Settings.from_environment(environment))
    drawn = np.random.default_rng(1)
    reads = newer = unreadable = 0
    told.send(None)
    while not told.poll():
        number = int(drawn.integers(1, keys + 1))
        with workspace.engine.connect() as connection:
            row = connection.execute(ONE, {"id": number}).one()
        sealed = {n: bytes(cell) for n, cell in zip(row.fields, row.cells, strict=True)}
        wrapped = WrappedKey(row.key_version, bytes(row.wrapped))
        newer += row.key_version > 1
        try:
            workspace.vault.open_cells(TIER, number, row.revision, wrapped, sealed)
        except KithError:
            unreadable += 1
        reads += 1
    workspace.engine.dispose()
    told.send(json.dumps({"reads": reads, "newer": newer, "unreadable": unreadable}))
