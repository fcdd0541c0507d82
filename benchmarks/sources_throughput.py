"""How many records a second one core brings in, from each kind of source.

``csv_records_per_s_core`` and its like are of a whole sync: read, mapped, normalised, keyed,
sealed and committed, in records for each processor second of our process and of the database
server together. ``csv_reading_records_per_s_core`` and its like are of reading and mapping alone,
up to records that ingest would take. Beside them, in the same run, the same file is read by the
engine for such files and nothing more: CSV and Parquet by pyarrow into columns, on one core;
a spreadsheet, which pyarrow does not read, by calamine into rows.

The file has the made-up members of ``ingest.records``: ten identity fields, an attribute and an
opt-out. Writing it is outside the clock. Each part runs in a process of its own.

``sql_records_per_s_core`` is of the same members in a table, read page by page; beside it, the
same table fetched by its driver and nothing more. ``segment_events_per_s`` is that of
``sources.events``. ``peak_growth`` is the memory of a sync of files ten times as long, against
that of the short ones, as in ``ingest.records``; ``--longest`` says how long.
"""

import argparse
import csv
import multiprocessing
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import openpyxl
import psutil
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import yaml
from python_calamine import CalamineWorkbook

from benchmarks import ingest_records, people, sources_events
from benchmarks.report import Target, report
from cdp.ingest.sync import sync
from cdp.settings import Settings
from cdp.workspace import Workspace, create
from connectors.base import Source
from connectors.record import Record
from connectors.registry import open_source

KINDS = {"csv": "csv", "excel": "xlsx", "parquet": "parquet"}  # as measured, as declared
_HEADING = ("id", "level", "refuses")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--records", type=int, default=50_000)
    parser.add_argument("--events", type=int, default=60_000)
    parser.add_argument("--longest", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)


def files(root: Path, arguments: argparse.Namespace) -> dict[str, float]:
    """Files of this machine: CSV, a spreadsheet, Parquet."""
    write(root, arguments.records, arguments.seed)
    metrics = {"records": float(arguments.records)}
    metrics |= {
        "pyarrow_csv_records_per_s_core": _rate(arguments.records, lambda: _pyarrow_csv(root)),
        "pyarrow_parquet_records_per_s_core": _rate(
            arguments.records, lambda: pq.read_table(root / "members.parquet", use_threads=False)
        ),
        "calamine_excel_records_per_s_core": _rate(arguments.records, lambda: _calamine(root)),
    }
    workspace = _workspace(root)
    declared = workspace.declaration
    for kind in KINDS:
        source = open_source(declared.sources[kind], root)
        assert isinstance(source, Source)  # noqa: S101 - a file, and no feed
        metrics[f"{kind}_reading_records_per_s_core"] = _rate(
            arguments.records, partial(_drained, source, arguments.records)
        )
        metrics[f"{kind}_records_per_s_core"] = arguments.records / synced(workspace, kind)
    workspace.engine.dispose()
    return metrics


def table(root: Path, arguments: argparse.Namespace) -> dict[str, float]:
    """A table of somebody else's database: SQLite, which takes no time of a server."""
    write_table(root, arguments.records, arguments.seed)
    workspace = _workspace(root)
    metrics = {
        "sqlite_records_per_s_core": _rate(arguments.records, lambda: _fetched(root)),
        "sql_records_per_s_core": arguments.records / synced(workspace, "sql"),
    }
    workspace.engine.dispose()
    return metrics


def events(root: Path, arguments: argparse.Namespace) -> dict[str, float]:
    """What Segment's SDKs send, acknowledged after it is committed."""
    del root  # it makes its own
    found = sources_events.measure(arguments.events)
    return {
        "segment_events": found["events"],
        "segment_events_per_s": found["segment_events_per_s"],
        "segment_processor_ms_per_1000": found["processor_ms_per_1000"],
    }


def growth(root: Path, arguments: argparse.Namespace) -> dict[str, float]:
    """Memory of our processes, of files and of such that are ten times as long."""
    del root  # it makes its own
    longest, seed = arguments.longest, arguments.seed
    short = ingest_records.taken(max(2, longest // ingest_records.SHORTER), seed)
    long = ingest_records.taken(longest, seed)
    return {
        "longest": float(long.records),
        "peak_mb": long.peak / ingest_records.MEGABYTE,
        "peak_growth": long.peak / short.peak,
    }


Part = Callable[[Path, argparse.Namespace], dict[str, float]]
PARTS: tuple[Part, ...] = (files, table, events, growth)
"""What is measured: each gets an empty folder, and gives metrics of names of its own."""
TARGETS: tuple[Target, ...] = (
    ("csv_records_per_s_core", ">=", 3000.0),
    ("segment_events_per_s", ">=", 3000.0),
    ("peak_growth", "<=", 1.3),
)


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure every part, one after the other."""
    metrics: dict[str, float] = {}
    for part in PARTS:
        with tempfile.TemporaryDirectory(prefix="kith-", ignore_cleanup_errors=True) as folder:
            metrics |= _alone(part, Path(folder), arguments)
    return report("sources.throughput", metrics, TARGETS)


def _alone(part: Part, folder: Path, arguments: argparse.Namespace) -> dict[str, float]:
    context = multiprocessing.get_context("spawn")
    mine, other = context.Pipe()
    process = context.Process(target=_told, args=(part, folder, arguments, other))
    process.start()
    other.close()
    try:
        found: dict[str, float] = mine.recv()
    except EOFError:
        raise RuntimeError(f"{part.__name__} ended without an answer") from None
    finally:
        process.join()
    return found


def _told(part: Part, folder: Path, arguments: argparse.Namespace, to: Any) -> None:
    to.send(part(folder, arguments))


def synced(workspace: Workspace, name: str) -> float:
    """Bring a source in; the processor seconds of this process and of the server.

    Raises:
        RuntimeError: a row was rejected.
    """
    server = _server(workspace)
    began = sum(os.times()[:4]) + ingest_records.used(server)
    done = sync(workspace, name)
    spent = sum(os.times()[:4]) + ingest_records.used(server) - began
    if done.rejected or not done.added:
        raise RuntimeError("rows were rejected")
    return spent


def _server(workspace: Workspace) -> psutil.Process:
    running = workspace.settings.database_folder / "postmaster.pid"
    return psutil.Process(int(running.read_text("utf-8").split()[0]))


def _rate(records: int, work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return records / (time.process_time() - began)


def _drained(source: Source, records: int) -> None:
    if sum(isinstance(row, Record) for row in source.read()) != records:
        raise RuntimeError("rows were rejected")


def _pyarrow_csv(root: Path) -> pa.Table:
    alone = pa_csv.ReadOptions(use_threads=False)
    return pa_csv.read_csv(root / "members.csv", read_options=alone)


def _calamine(root: Path) -> int:
    workbook = CalamineWorkbook.from_path(root / "members.xlsx")
    return sum(1 for _ in workbook.get_sheet_by_index(0).iter_rows())


def _workspace(root: Path) -> Workspace:
    environment: Mapping[str, str] = {
        **{name: text for name, text in os.environ.items() if not name.startswith("CDP_")},
        "CDP_HOME": str(root / "home"),
        "CDP_CONFIG": str(root / "cdp.yaml"),
    }
    return create(Settings.from_environment(environment))


def write(root: Path, records: int, seed: int) -> None:
    """Write the same members in each format, and the declaration of their sources."""
    heading, rows = _members(records, seed)
    with (root / "members.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([heading, *rows])
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("members")
    for row in (heading, *rows):
        sheet.append(row)
    book.save(root / "members.xlsx")
    columns = [[row[at] or None for row in rows] for at in range(len(heading))]
    pq.write_table(pa.table(dict(zip(heading, columns, strict=True))), root / "members.parquet")
    sources = {
        kind: {**_shape(), "connector": connector, "location": f"members.{connector}"}
        for kind, connector in KINDS.items()
    }
    _declare(root, sources)


def write_table(root: Path, records: int, seed: int) -> None:
    """Write the same members into a table, and the declaration of its source."""
    heading, rows = _members(records, seed)
    path = root / "members.db"
    connection = sqlite3.connect(path)
    names = ", ".join(f"{name} TEXT" for name in heading[1:])
    connection.execute(f"CREATE TABLE members ({heading[0]} TEXT PRIMARY KEY, {names})")
    places = ", ".join("?" * len(heading))
    connection.executemany(f"INSERT INTO members VALUES ({places})", rows)
    connection.commit()
    connection.close()
    (root / "members.dsn").write_text(f"sqlite:///{path}", "utf-8")
    (root / "members.dsn").chmod(0o600)
    shape = {key: value for key, value in _shape().items() if key != "location"}
    dsn = {"dsn": "file:members.dsn"}
    _declare(root, {"sql": {**shape, "connector": "sql", "table": "members", "credentials": dsn}})


def _fetched(root: Path) -> int:
    connection = sqlite3.connect(root / "members.db")
    found = sum(1 for _ in connection.execute("SELECT * FROM members ORDER BY id"))
    connection.close()
    return found


def _members(records: int, seed: int) -> tuple[list[str], list[list[str]]]:
    crowd = people.draw(records, seed)
    fields = ingest_records.declared()["sources"]["till"]["fields"]
    rows = [
        [
            f"T{at:09}",
            str(at % 5),
            "1" if at % 20 == 0 else "0",
            *ingest_records.till_row(crowd, at),
        ]
        for at in range(records)
    ]
    return [*_HEADING, *ingest_records.columns(fields)], rows


def _shape() -> dict[str, Any]:
    """The till's entry but for where its rows are."""
    till = ingest_records.declared()["sources"]["till"]
    return {key: value for key, value in till.items() if key != "encoding"}


def _declare(root: Path, sources: Mapping[str, Any]) -> None:
    declared = {**ingest_records.declared(), "sources": dict(sources)}
    (root / "cdp.yaml").write_text(yaml.safe_dump(declared, allow_unicode=True), "utf-8")
