"""Events by Segment's HTTP API: how many a second one worker stores, acknowledged after commit.

A server of one process on loopback and an embedded PostgreSQL that waits for its disk. Two
senders, each with a batch of a hundred messages of about 500 bytes on its way, as the SDKs have.
Beside it, the processor time of server and database for a thousand events.
"""

import argparse
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import sqlalchemy as sa
import yaml

from benchmarks.report import report
from cdp.settings import Settings
from cdp.storage.schema import event
from cdp.workspace import Workspace, create

KEY = "benchmark-write-key"
SENDERS = 2
BATCH = 100
WARM = 10  # batches of each sender before the clock starts
DECLARATION: Mapping[str, Any] = {
    "version": 1,
    "organisation": [{"id": "kith", "kind": "brand", "name": "Kith Retail"}],
    "sources": {
        "web": {
            "connector": "segment",
            "trust": "identities",
            "credentials": {"write_key": "file:web.key"},
            "fields": {"phone": "traits.phone"},
            "consent": {"basis": "consent", "purposes": ["analysis"]},
            "events": {
                "Product Viewed": {
                    "properties": {
                        "sku": {"column": "properties.sku", "type": "category"},
                        "price": {"column": "properties.price", "type": "decimal"},
                        "quantity": {"column": "properties.quantity", "type": "integer"},
                    }
                }
            },
        }
    },
    "destinations": {},
    "principals": [{"id": "headquarters", "role": "headquarters", "node": "kith"}],
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--events", type=int, default=60_000)


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Send events and say how many a second were acknowledged."""
    metrics = measure(arguments.events)
    return report("sources.events", metrics, [("segment_events_per_s", ">=", 3000.0)])


def measure(events: int) -> dict[str, float]:
    """Return what was measured, by name."""
    with tempfile.TemporaryDirectory(prefix="kith-bench-", ignore_cleanup_errors=True) as folder:
        workspace = _workspace(Path(folder))
        with _serving(Path(folder)) as (port, server):
            each = max(1, events // BATCH // SENDERS)
            _send_all(port, WARM, "warm")
            before = _processor(server, workspace)
            started = time.perf_counter()
            _send_all(port, each, "clock")
            seconds = time.perf_counter() - started
            used = _processor(server, workspace) - before
        sent = each * BATCH * SENDERS
        with workspace.engine.connect() as connection:
            stored = connection.scalar(sa.select(sa.func.count()).select_from(event)) or 0
        workspace.engine.dispose()
    if stored != sent + WARM * BATCH * SENDERS:
        raise AssertionError(f"{stored} events are stored")
    return {
        "events": float(sent),
        "segment_events_per_s": sent / seconds,
        "processor_ms_per_1000": 1000 * 1000 * used / sent,
    }


def _workspace(folder: Path) -> Workspace:
    text = yaml.safe_dump(dict(DECLARATION), allow_unicode=True)
    (folder / "cdp.yaml").write_text(text, encoding="utf-8")
    (folder / "web.key").write_text(KEY, encoding="utf-8")
    (folder / "web.key").chmod(0o600)
    return create(Settings(folder / "home", folder / "cdp.yaml", None, 2000, 512, 1))


@contextmanager
def _serving(folder: Path) -> Iterator[tuple[int, psutil.Process]]:
    """Serve in a process of its own; its logs are thrown away."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    known = {"CDP_HOME": str(folder / "home"), "CDP_CONFIG": str(folder / "cdp.yaml")}
    process = subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-m", "api", "--port", str(port)],
        env={**os.environ, **known},
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(port, process)
        yield port, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(30)


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    for _ in range(600):
        if process.poll() is not None:
            raise RuntimeError("the server did not start")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError("the server did not answer")


def _send_all(port: int, batches: int, label: str) -> None:
    with ThreadPoolExecutor(SENDERS) as pool:
        bodies = [
            [_body(f"{label}-{sender}-{number}") for number in range(batches)]
            for sender in range(SENDERS)
        ]
        list(pool.map(lambda own: _send(port, own), bodies))


def _send(port: int, bodies: list[bytes]) -> None:
    """Send one body after the other; anything but an acknowledgement ends the run."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for body in bodies:
        connection.request("POST", "/v1/batch", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
        if answer.status != http.HTTPStatus.OK:
            raise RuntimeError(f"{answer.status} {content[:200]!r}")
    connection.close()


def _body(label: str) -> bytes:
    messages = [
        {
            "type": "track",
            "event": "Product Viewed",
            "userId": f"user-{number % 37}",
            "anonymousId": None,
            "messageId": f"{label}-{number}",
            "timestamp": "2026-05-04T08:00:00.000Z",
            "properties": {"sku": f"SKU{number:05}", "price": 129.9, "quantity": 1},
            "context": {"library": {"name": "analytics-python", "version": "2.4.0"}},
            "integrations": {},
            "padding": "x" * 180,
        }
        for number in range(BATCH)
    ]
    sent = {"batch": messages, "sentAt": "2026-05-04T08:00:01Z", "writeKey": KEY}
    return json.dumps(sent).encode()


def _processor(server: psutil.Process, workspace: Workspace) -> float:
    """Seconds of processor time that the server and its database's processes have used."""
    folder = workspace.settings.database_folder
    first = int((folder / "postmaster.pid").read_text().splitlines()[0])
    processes = [server, *psutil.Process(first).children(recursive=True)]
    total = 0.0
    for one in processes:
        times = one.cpu_times()
        total += times.user + times.system
    return total
