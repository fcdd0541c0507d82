"""Bring several sources up to date at once, one process each, as many as asked for.

Reading and sealing is work for the processor, and one process uses one core. Sources are
independent: each has its own lock, position and transaction, so a source that fails or
is slow holds no other one back.
"""

import atexit
import gc
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait

import sqlalchemy as sa

from cdp import crash
from cdp.credentials import lookup_of
from cdp.errors import KithError
from cdp.ingest.collecting import COLLECT_AFTER
from cdp.ingest.feed_sync import NO_DEPARTURES, Departures
from cdp.ingest.reports import SyncReport
from cdp.ingest.sync import sync
from cdp.settings import Settings
from cdp.storage.schema import sync_run
from cdp.workspace import Clock, Workspace, open_workspace
from connectors.base import Source
from connectors.errors import ConnectorError
from connectors.registry import open_source

Progress = Callable[[int, int | None], None]  # rows committed, rows expected
POLL = 0.3  # seconds between two looks at how far the sources are
PATIENCE = 0.1  # seconds between two looks at whether the parent lives


def sync_all(
    workspace: Workspace,
    names: Sequence[str],
    progress: Progress,
    departures: Departures = NO_DEPARTURES,
) -> tuple[list[SyncReport], list[KithError | ConnectorError]]:
    """Sync the named sources, ``settings.threads`` at a time.

    ``departures`` destroys what a feed says was deleted; it is handed to other processes.

    Returns:
        The reports of those that went well and the errors of the others, each in the
        order of ``names``.
    """
    processes = min(workspace.settings.threads, len(names))
    if processes < 2:
        return _one_by_one(workspace, names, progress, departures)
    # Spawned, not forked: a fork would share database connections.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, end_with, (os.getpid(),)) as pool:
        running = [
            pool.submit(_sync_one, workspace.settings, workspace.now, name, departures)
            for name in names
        ]
        _watch(workspace, names, running, progress)
    return _collected(running)


def _one_by_one(
    workspace: Workspace, names: Sequence[str], progress: Progress, departures: Departures
) -> tuple[list[SyncReport], list[KithError | ConnectorError]]:
    reports: list[SyncReport] = []
    failed: list[KithError | ConnectorError] = []
    for name in names:
        try:
            reports.append(sync(workspace, name, progress, departures))
        except (KithError, ConnectorError) as error:
            failed.append(error)
    return reports, failed


def end_with(parent: int) -> None:
    """End this process soon after its parent, however that ended.

    A worker that outlived a killed command would hold the source's lock against the next.
    What it had not committed is rolled back. What it would print of a crash shows no values.
    """
    crash.take_over(_tell)
    _collect_seldom()

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(PATIENCE)
        os._exit(1)

    threading.Thread(target=look, name="parent watch", daemon=True).start()


def _collect_seldom() -> None:
    """Leave what is loaded by now out of garbage collection, and collect less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, *gc.get_threshold()[1:])
    atexit.register(gc.unfreeze)  # else libraries complain of what they left behind


def _tell(found: crash.Crash) -> None:
    sys.stderr.write(f"{crash.as_json(found)}\n")


def _sync_one(settings: Settings, now: Clock, name: str, departures: Departures) -> SyncReport:
    """In a process of its own: everything is opened anew."""
    workspace = open_workspace(settings, now)
    try:
        return sync(workspace, name, departures=departures)
    finally:
        workspace.engine.dispose()


def _watch(
    workspace: Workspace,
    names: Sequence[str],
    running: Sequence[Future[SyncReport]],
    progress: Progress,
) -> None:
    """Report what is committed until all are done."""
    with workspace.engine.connect() as connection:
        before = connection.scalar(sa.select(sa.func.max(sync_run.c.id))) or 0
    expected = _expected(workspace, names)
    while wait(running, POLL).not_done:
        with workspace.engine.connect() as connection:
            done = connection.scalar(
                sa.select(sa.func.sum(sync_run.c.read)).where(sync_run.c.id > before)
            )
        progress(int(done or 0), expected)


def _expected(workspace: Workspace, names: Sequence[str]) -> int | None:
    declared = workspace.declaration
    secrets = lookup_of(workspace)
    sources = [open_source(declared.sources[name], declared.folder, secrets) for name in names]
    counts = [one.count() if isinstance(one, Source) else None for one in sources]
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _collected(
    running: Sequence[Future[SyncReport]],
) -> tuple[list[SyncReport], list[KithError | ConnectorError]]:
    reports: list[SyncReport] = []
    failed: list[KithError | ConnectorError] = []
    for one in running:
        error = one.exception()
        if error is None:
            reports.append(one.result())
        elif isinstance(error, KithError | ConnectorError):
            failed.append(error)
        else:
            raise error
    return reports, failed
