"""One more percent: resolving what came, beside resolving everybody, with the same result.

The workspace is copied before the records are resolved. One copy repairs what they touch,
the other one decides everybody anew under the same epoch; then both are compared: who is
together, under which id, on what evidence, and what was told about it.
"""

import argparse
import time
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from benchmarks.held import APPS, held
from benchmarks.identity_online import arrivals
from benchmarks.report import report
from cdp.ingest.intake import Intake
from cdp.resolution.run import resolve
from cdp.storage.engine import open_engine
from cdp.workspace import Workspace

SHARE = 0.01
BATCH = 1000  # records stored in one transaction
COPY = "kith_copy"
SAME = {
    "partition and ids": "SELECT record_id, profile_id FROM kith.membership",
    "profiles": "SELECT id, size, golden, purposes FROM kith.profile",
    "events": "SELECT kind, profile_id, other_id FROM kith.profile_event",
    "redirects": "SELECT old_id, new_id FROM kith.redirect",
    "evidence": "SELECT low_id, high_id, weight, levels, weights, direct FROM kith.edge",
    "blocking keys": "SELECT record_id, keys, rules FROM kith.record_block",
    "shared numbers": "SELECT key, people FROM kith.shared_number",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure both ways on two copies of one workspace."""
    with held(arguments.records, arguments.seed) as filled:
        workspace = filled.workspace
        added = _store(workspace, arguments)
        other = _copied(workspace)
        started = time.perf_counter()
        few = resolve(workspace)
        incremental = time.perf_counter() - started
        started = time.perf_counter()
        resolve(other, full=True)
        full = time.perf_counter() - started
        equal = all(_digest(workspace, query) == _digest(other, query) for query in SAME.values())
        other.engine.dispose()
    metrics = {
        "records": arguments.records,
        "added": added,
        "judged": few.judged,
        "incremental_seconds": incremental,
        "full_seconds": full,
        "cost_share": incremental / full,
        "equal": float(equal),
    }
    return report("identity.incremental", metrics, [("cost_share", "<=", 0.03), ("equal", "==", 1)])


def _store(workspace: Workspace, arguments: argparse.Namespace) -> int:
    """Take records in without resolving them."""
    texts = list(arrivals(arguments.records, int(SHARE * arguments.records), arguments.seed))
    intake = Intake(workspace, APPS[0])
    for start in range(0, len(texts), BATCH):
        records, _ = intake.read(texts[start : start + BATCH])
        with workspace.engine.begin() as connection:
            intake.store(connection, records, workspace.now(), waiting=True)
    return len(texts)


def _copied(workspace: Workspace) -> Workspace:
    """The same workspace on a copy of its database."""
    url = workspace.engine.url
    workspace.engine.dispose()  # nobody may use a database while it is copied
    other = sa.create_engine(url.set(database="template1"), isolation_level="AUTOCOMMIT")
    with other.connect() as connection:
        connection.execute(sa.text(f'CREATE DATABASE {COPY} TEMPLATE "{url.database}"'))
    other.dispose()
    address = url.set(database=COPY).render_as_string(hide_password=False)
    engine = open_engine(address, workspace.settings.database_folder)
    return replace(workspace, engine=engine)


def _digest(workspace: Workspace, query: str) -> tuple[int, str]:
    """How many rows there are, and the sum of their digests, whatever their order."""
    asked = sa.text(
        "SELECT count(*), coalesce(sum(hashtextextended(CAST(x AS text), 0)), 0)::text "
        f"FROM ({query}) AS x"
    )
    with workspace.engine.connect() as connection:
        count, digest = connection.execute(asked).one()
    return count, digest
