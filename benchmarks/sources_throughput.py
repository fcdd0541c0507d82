"""How many records a second one core brings in, from each kind of source.

``csv_records_per_s_core`` and its like are of a whole sync: read, mapped, normalised, keyed,
sealed and committed, in records for each processor second of our process and of the database
server together. ``csv_reading_records_per_s_core`` and its like are of reading and mapping alone,
up to records that ingest would take. Beside them, in the same run, the same file is read by the
engine for such files and nothing more: CSV and Parquet by pyarrow into columns, on one core;
a spreadsheet, which pyarrow does not read, by calamine into rows.

The file has the made-up members of ``ingest.records``: ten identity fields, an attribute and an
opt-out. Writing it is outside the clock. Each part runs in a process of its own.
"""

import argparse
import csv
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import openpyxl
import psutil
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import yaml
from python_calamine import CalamineWorkbook

from benchmarks import ingest_records, people
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
            arguments.records, lambda source=source: _drained(source, arguments.records)
        )
        metrics[f"{kind}_records_per_s_core"] = arguments.records / synced(workspace, kind)
    workspace.engine.dispose()
    return metrics


Part = Callable[[Path, argparse.Namespace], dict[str, float]]
PARTS: tuple[Part, ...] = (files,)
"""What is measured: each gets an empty folder, and gives metrics of names of its own."""
TARGETS: tuple[Target, ...] = (("csv_records_per_s_core", ">=", 3000.0),)


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
    crowd = people.draw(records, seed)
    till = ingest_records.declared()["sources"]["till"]
    heading = [*_HEADING, *ingest_records.columns(till["fields"])]
    rows = [
        [
            f"T{at:09}",
            str(at % 5),
            "1" if at % 20 == 0 else "0",
            *ingest_records.till_row(crowd, at),
        ]
        for at in range(records)
    ]
    with (root / "members.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([heading, *rows])
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("members")
    for row in (heading, *rows):
        sheet.append(row)
    book.save(root / "members.xlsx")
    columns = [[row[at] or None for row in rows] for at in range(len(heading))]
    pq.write_table(pa.table(dict(zip(heading, columns, strict=True))), root / "members.parquet")
    shape = {key: value for key, value in till.items() if key != "encoding"}
    sources = {
        kind: {**shape, "connector": connector, "location": f"members.{connector}"}
        for kind, connector in KINDS.items()
    }
    declared = {**ingest_records.declared(), "sources": sources}
    (root / "cdp.yaml").write_text(yaml.safe_dump(declared, allow_unicode=True), "utf-8")
