"""A sync killed at chance moments, then run again: is the end the same as of one run?

A file of JSON lines and a table of a database, of made-up members, are brought in twice: once
without disturbance, and once by processes that are killed (signal 9) at chance moments, as often
as asked for, until one runs through. Then every record key with its content, and the number of
rows of each sealed table, must be the same.
"""

import argparse
import json
import os
import secrets
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import yaml

from benchmarks.report import report
from cdp.ingest.sync import sync
from cdp.settings import Settings
from cdp.storage import schema
from cdp.workspace import Workspace, create

SECRET = "SOURCE_MEMBERS"  # noqa: S105 - the name of a variable
WAYS = ("file", "feed")
_FIELDS = {"name": "name", "phone": "phone", "city": "city"}
_SOURCES: dict[str, dict[str, Any]] = {
    "file": {"connector": "jsonl", "location": "members.jsonl"},
    "feed": {
        "connector": "sql",
        "table": "members",
        "mode": "incremental",
        "cursor": "changed",
        "credentials": {"dsn": f"env:{SECRET}"},
    },
}
_SEALED = (schema.contact, schema.blind_index, schema.data_key, schema.masked)


@dataclass(frozen=True)
class Killed:
    """What became of one way of reading."""

    same: bool
    kills: int
    records: int
    seconds: float  # of the run without disturbance


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--way", choices=WAYS, help="only this one")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Bring both sources in, undisturbed and killed."""
    ways = (arguments.way,) if arguments.way else WAYS
    metrics: dict[str, float] = {"rows": arguments.rows}
    targets = []
    for way in ways:
        found = killed(way, arguments.rows, arguments.kills)
        metrics |= {
            f"{way}_same": found.same,
            f"{way}_kills": found.kills,
            f"{way}_records": found.records,
            f"{way}_seconds": found.seconds,
        }
        targets += [
            (f"{way}_same", "==", 1.0),
            (f"{way}_kills", ">=", float(arguments.kills)),
            (f"{way}_records", "==", float(arguments.rows)),
        ]
    return report("sources.kills", metrics, targets)


def killed(way: str, rows: int, kills: int) -> Killed:
    """Bring one source in, once undisturbed and once killed, and compare."""
    with tempfile.TemporaryDirectory(prefix="kith-", ignore_cleanup_errors=True) as folder:
        root = Path(folder)
        dsn = write(root, way, rows)
        (whole, _), (broken, environment) = (
            opened(root, name, {SECRET: dsn}) for name in ("whole", "broken")
        )
        began = time.perf_counter()
        sync(whole, "members")
        seconds = time.perf_counter() - began
        done = kill_often(broken, environment, kills, seconds)
        states = [state_of(workspace) for workspace in (whole, broken)]
        for workspace in (whole, broken):
            workspace.engine.dispose()
    return Killed(states[0] == states[1], done, int(states[1]["records"]), seconds)


def kill_often(
    workspace: Workspace, environment: Mapping[str, str], kills: int, seconds: float
) -> int:
    """Kill syncs until one runs through; return how many were killed while they were at work."""
    done = 0
    while True:
        process = subprocess.Popen(
            [sys.executable, "-m", "cdp", "source", "sync", "members"],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        if done < kills:
            before = _rows(workspace)
            while process.poll() is None and _rows(workspace) == before:
                time.sleep(0.05)
            # All kills together fall into about half of the time that the work takes.
            time.sleep(secrets.randbelow(1000) / 1000 * seconds / kills)
            process.send_signal(signal.SIGKILL)
        if process.wait() == 0:
            return done
        if process.returncode != -signal.SIGKILL:
            raise RuntimeError(f"a sync ended with {process.returncode}")
        done += 1


def write(root: Path, way: str, rows: int) -> str:
    """Write the members and the declaration; return the address of the database of members."""
    members = ((f"C{n:08}", f"张{n % 997}", f"139{n:08}", f"城{n % 300}", n) for n in range(rows))
    names = ("id", "name", "phone", "city", "changed")
    path = root / "members.db"
    if way == "file":
        with (root / "members.jsonl").open("w", encoding="utf-8") as file:
            file.writelines(
                json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False) + "\n"
                for row in members
            )
    else:
        connection = sqlite3.connect(path)
        connection.execute("CREATE TABLE members (id TEXT PRIMARY KEY, name, phone, city, changed)")
        connection.execute("CREATE INDEX changes ON members (changed, id)")
        connection.executemany("INSERT INTO members VALUES (?, ?, ?, ?, ?)", members)
        connection.commit()
        connection.close()
    entry = {**_SOURCES[way], "record_id": "id", "fields": _FIELDS}
    declared = {
        "version": 1,
        "organisation": [{"id": "kith", "kind": "brand", "name": "Kith"}],
        "sources": {"members": entry},
    }
    (root / "cdp.yaml").write_text(yaml.safe_dump(declared, allow_unicode=True), "utf-8")
    return f"sqlite:///{path}"


def opened(root: Path, name: str, more: Mapping[str, str]) -> tuple[Workspace, dict[str, str]]:
    """Make a workspace; all have one key ring, so that what they store can be compared."""
    home, first = root / name, root / "whole" / "keyring.json"
    if first.exists():
        home.mkdir(mode=0o700)
        shutil.copy2(first, home / "keyring.json")
    paths = {"CDP_HOME": str(home), "CDP_CONFIG": str(root / "cdp.yaml")}
    environment = {**os.environ, **paths, **more}
    return create(Settings.from_environment(environment)), environment


def state_of(workspace: Workspace) -> dict[str, Any]:
    """What is stored, in a form that is equal where the same is stored."""
    with workspace.engine.connect() as connection:
        found = connection.execute(_STATE).one()._asdict()
        for table in _SEALED:
            counted = sa.select(sa.func.count()).select_from(table)
            found[table.name] = connection.scalar(counted)
    return found


def _rows(workspace: Workspace) -> int:
    """Rows that all runs together have committed."""
    with workspace.engine.connect() as connection:
        return connection.scalar(sa.select(sa.func.sum(schema.sync_run.c.position))) or 0


_STATE = sa.text(
    """
    SELECT count(*) AS records, max(revision) AS revision,
           md5(string_agg(encode(key, 'hex') || encode(content, 'hex'), '' ORDER BY key)) AS same,
           (SELECT count(*) FROM kith.reject) AS rejects
      FROM kith.record
    """
)
