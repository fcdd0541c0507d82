"""One record in, one person out, with a million records held; beside Splink's way to do it.

Each arrival is one call of ``cdp.resolution.online``: read, sealed, stored, looked up, compared,
decided, people and outbox changed, committed. Splink compares one record with the records in
its memory (``predict_between`` on plain text) and stores nothing.
"""

import argparse
import json
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import psutil

from benchmarks import people, stock
from benchmarks.held import APPS, held, rows
from benchmarks.report import report
from cdp.resolution.online import Arrivals
from cdp.workspace import Workspace

NEW_PEOPLE = 0.3  # of the arrivals; the others are another record of somebody held
TOGETHER = 20  # records in one transaction where the rate is measured
WARM = 50  # arrivals before the clock starts


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--arrivals", type=int, default=1000)
    parser.add_argument("--splink", type=int, default=15, help="records that Splink compares")
    parser.add_argument("--seed", type=int, default=1)


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Fill a workspace, then let records arrive one by one and twenty by twenty."""
    count = arguments.arrivals
    with held(arguments.records, arguments.seed) as filled:
        arriving = arrivals(arguments.records, 2 * count + WARM, arguments.seed)
        service = Arrivals(filled.workspace, APPS[0])
        for _ in range(WARM):
            service.resolve([next(arriving)])
        seconds = []
        for _ in range(count):
            text = next(arriving)
            started = time.perf_counter()
            service.resolve([text])
            seconds.append(time.perf_counter() - started)
        rate = _rate(filled.workspace, service, [next(arriving) for _ in range(count)])
        fill_seconds = filled.seconds
    crowd = people.draw(arguments.records, arguments.seed)
    metrics = {
        "records": arguments.records,
        "fill_seconds": fill_seconds,
        "p50_ms": 1000 * float(np.percentile(seconds, 50)),
        "p99_ms": 1000 * float(np.percentile(seconds, 99)),
        "records_per_s_core": rate,
        "splink_p50_ms": stock.one_by_one(crowd, arguments.splink),
    }
    targets = [("p50_ms", "<=", 8.0), ("p99_ms", "<=", 30.0), ("records_per_s_core", ">=", 150.0)]
    return report("identity.online", metrics, targets)


def arrivals(records: int, count: int, seed: int) -> Iterator[str]:
    """JSON objects: records of people who are held, and of people who are not."""
    known = people.draw(records, seed)
    strangers = people.draw(count, seed + 1)
    generator = np.random.default_rng(seed + 2)
    chosen = generator.integers(0, records, count)
    new = generator.random(count) < NEW_PEOPLE
    old_rows = rows(known, chosen, "n")
    new_rows = rows(strangers, np.arange(count), "s")
    for number, (old, fresh, stranger) in enumerate(zip(old_rows, new_rows, new, strict=True)):
        row = dict(fresh) if stranger else dict(old)
        row["openid"] = f"n{seed}x{number:012}"
        if stranger:  # numbers of values begin at 1 in every draw: keep the two apart
            row = {name: text for name, text in row.items() if name not in {"unionid", "card"}}
            if "phone" in row:
                row["phone"] = f"15{row['phone'][2:]}"
        yield json.dumps(row, ensure_ascii=False)


def _rate(workspace: Workspace, service: Arrivals, texts: list[str]) -> float:
    """Records for each second of processor time, the database's included."""
    before = _cpu(workspace)
    for start in range(0, len(texts), TOGETHER):
        service.resolve(texts[start : start + TOGETHER])
    return len(texts) / (_cpu(workspace) - before)


def _cpu(workspace: Workspace) -> float:
    """Processor seconds of this process and of the database server."""
    pid_file = workspace.settings.database_folder / "postmaster.pid"
    server = psutil.Process(int(pid_file.read_text().split()[0]))
    watched = [psutil.Process(), server, *server.children(recursive=True)]
    return sum(sum(one.cpu_times()[:2]) for one in watched)
