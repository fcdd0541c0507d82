"""Files to stored, encrypted, indexed and featured: what a field costs, and what memory it takes.

Two files of made-up members of a Chinese retailer are taken in side by side: the till's CSV
and a mini-program's JSON lines. Writing the files is outside the clock. A field is one identity
field of one record that is sealed. Processor seconds are those of all our processes and
of the database server together. Memory is the sum over our processes, looked at all the time;
its growth is that of a file ten times as long.
"""

import argparse
import csv
import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import sqlalchemy as sa
import yaml

from benchmarks import held, people
from benchmarks.report import report
from cdp.ingest.side_by_side import sync_all
from cdp.settings import Settings
from cdp.storage import schema
from cdp.workspace import create

SHORTER = 10  # times shorter: the file that memory is compared with
LOOK = 0.05  # seconds between two looks at the memory
MEGABYTE = 1e6
SOURCES = ("till", "app")
STORED = (
    schema.record,
    schema.contact,
    schema.sensitive,
    schema.blind_index,
    schema.data_key,
)
_TILL_FIELDS = {
    "loyalty_card": {"column": "card", "scope": "shop"},
    **{
        name: name
        for name in (
            "name", "phone", "gender", "birth_date", "email", "national_id", "city", "district",
            "address",
        )
    },
}  # fmt: skip
_APP_FIELDS = {
    "openid": {"column": "openid", "scope": "mini"},
    "unionid": {"column": "unionid", "scope": "account"},
    **{name: name for name in ("nickname", "phone", "gender", "birth_date", "city", "region")},
}
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)  # GB 11643-1999
_CHECKS = "10X98765432"
_REGIONS = ("浙江省", "广东省", "江苏省", "四川省", "湖北省", "山东省")
_STREETS = ("建国路", "人民路", "中山路", "解放路", "和平街", "文化路", "新华街", "长江路")


@dataclass(frozen=True, slots=True)
class Taken:
    """What taking in some files took."""

    records: int
    fields: int
    seconds: float
    own_cpu: float  # processor seconds of our processes
    server_cpu: float  # and of the server's
    peak: float  # bytes of our processes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Take in short files, then long ones, each in a workspace of its own."""
    short = taken(max(2, arguments.records // SHORTER), arguments.seed)
    long = taken(arguments.records, arguments.seed)
    cpu = long.own_cpu + long.server_cpu
    metrics = {
        "records": long.records,
        "fields": long.fields,
        "seconds": long.seconds,
        "records_per_s": long.records / long.seconds,
        "fields_per_s_core": long.fields / cpu,
        "cpu_us_a_record": 1e6 * cpu / long.records,
        "server_share": long.server_cpu / cpu,
        "peak_mb": long.peak / MEGABYTE,
        "peak_growth": long.peak / short.peak,
    }
    targets = [("fields_per_s_core", ">=", 20_000.0), ("peak_growth", "<=", 1.3)]
    return report("ingest.records", metrics, targets)


def taken(records: int, seed: int) -> Taken:
    """Take in ``records`` members in a process of its own; watch its memory from here."""
    with tempfile.TemporaryDirectory(prefix="kith-", ignore_cleanup_errors=True) as folder:
        root = Path(folder)
        write(root, records, seed)
        environment = {
            **os.environ,
            "CDP_HOME": str(root / "home"),
            "CDP_CONFIG": str(root / "cdp.yaml"),
        }
        context = multiprocessing.get_context("spawn")
        mine, other = context.Pipe()
        process = context.Process(target=take, args=(environment, other))
        process.start()
        other.close()
        mine.recv()  # the workspace is there
        peak = watched(psutil.Process(process.pid), mine)
        told = mine.recv()
        process.join()
    return Taken(records, peak=peak, **told)


def take(environment: Mapping[str, str], told: Any) -> None:
    """Make a workspace, then take the files in and say what that took."""
    workspace = create(Settings.from_environment(environment))
    server = psutil.Process(
        int((workspace.settings.database_folder / "postmaster.pid").read_text().split()[0])
    )
    told.send(None)
    started, own, others = time.perf_counter(), os.times(), used(server)
    done, failed = sync_all(workspace, SOURCES, held.quiet)
    if failed:
        raise failed[0]
    if any(one.rejected for one in done):
        raise RuntimeError("rows were rejected")
    seconds, ended = time.perf_counter() - started, os.times()
    spent = {"own_cpu": sum(ended[:4]) - sum(own[:4]), "server_cpu": used(server) - others}
    with workspace.engine.connect() as connection:
        for table in STORED:
            if not connection.scalar(sa.select(sa.exists(sa.select(table)))):
                raise RuntimeError(f"nothing is stored in {table.fullname}")
        sealed = [
            connection.scalar(sa.select(sa.func.sum(_identity_fields(table)))) or 0
            for table in (schema.contact, schema.sensitive)
        ]
    workspace.engine.dispose()
    told.send({"seconds": seconds, "fields": sum(sealed), **spent})


def _identity_fields(table: sa.Table) -> sa.ColumnElement[int]:
    """How many cells of a row are identity fields: the record's own id is none."""
    return sa.func.cardinality(sa.func.array_remove(table.c.fields, "record_id"))


def used(server: psutil.Process) -> float:
    """Processor seconds of the server: its processes of now, and those that have ended."""
    used = sum(server.cpu_times()[:4])
    for one in server.children(recursive=True):
        try:
            used += sum(one.cpu_times()[:2])
        except psutil.NoSuchProcess:
            continue  # ended just now: its parent counts it from the next look on
    return float(used)


def watched(process: psutil.Process, until: Any) -> float:
    """The most bytes that a process and those that it starts hold at one time."""
    most = 0
    while not until.poll(LOOK):
        held_now = 0
        for one in (process, *process.children(recursive=True)):
            try:
                if not one.name().startswith("postgres"):
                    held_now += one.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        most = max(most, held_now)
    return most


# ── made-up members ─────────────────────────────────────────────────────────


def write(root: Path, records: int, seed: int) -> None:
    """Write both files and their declaration."""
    crowd = people.draw(records, seed)
    half = records // 2
    with (root / "till.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["id", "level", "refuses", *columns(_TILL_FIELDS)])
        for at in range(half):
            refuses = "1" if at % 20 == 0 else "0"
            rows.writerow([f"T{at:09}", at % 5, refuses, *till_row(crowd, at)])
    with (root / "app.jsonl").open("w", encoding="utf-8") as file:
        for at in range(half, records):
            told = {name: text for name, text in app_row(crowd, at) if text}
            file.write(json.dumps(told, ensure_ascii=False) + "\n")
    (root / "cdp.yaml").write_text(yaml.safe_dump(declared(), allow_unicode=True), "utf-8")


def till_row(crowd: people.Crowd, at: int) -> tuple[str, ...]:
    """What the till knows of a member, in the order of its columns; empty where nothing."""
    person, birth = int(crowd.person[at]), int(crowd.birth[at])
    return (
        f"88{person:010}",
        held._name(crowd, at),  # noqa: SLF001 - the same made-up names
        _phone(crowd, at),
        " 男女"[crowd.gender[at]].strip(),
        _date(birth, "/"),
        f"member{person}@example.com" if person % 2 == 0 else "",
        _national_id(birth, person) if birth and person % 5 == 0 else "",
        _city(crowd, at),
        f"{_city(crowd, at)[:1]}山区" if crowd.city[at] else "",
        _address(crowd, at) if person % 2 == 0 else "",
    )


def app_row(crowd: people.Crowd, at: int) -> Iterator[tuple[str, str]]:
    """What the mini-program knows of a member; empty where nothing."""
    yield "openid", f"o{at:027}"
    yield "unionid", f"u{crowd.person[at]:027}"
    yield "nickname", f"{held._name(crowd, at)[-1:]}小{at % 97}"  # noqa: SLF001 - as above
    yield "phone", _phone(crowd, at)
    yield "gender", "012"[crowd.gender[at]]
    yield "birth_date", _date(int(crowd.birth[at]), "-")
    yield "city", _city(crowd, at)
    yield "region", _REGIONS[crowd.city[at] % len(_REGIONS)] if crowd.city[at] else ""


def _phone(crowd: people.Crowd, at: int) -> str:
    """A member joins with a phone number; some have joined with another one."""
    number = int(crowd.phone[at]) or int(crowd.person[at]) * 7919
    return f"13{number % 10**9:09}"


def _date(birth: int, mark: str) -> str:
    return f"{birth // 10_000:04}{mark}{birth // 100 % 100:02}{mark}{birth % 100:02}"[
        : 10 * (birth > 0)
    ]


def _city(crowd: people.Crowd, at: int) -> str:
    city = int(crowd.city[at])
    return held._CHARACTERS[city] + held._CHARACTERS[city // 2] + "市" if city else ""  # noqa: SLF001


def _address(crowd: people.Crowd, at: int) -> str:
    person = int(crowd.person[at])
    street = _STREETS[person % len(_STREETS)]
    return f"浙江省杭州市西湖区{street}{person % 800 + 1}号{person % 30 + 1}室"


def _national_id(birth: int, person: int) -> str:
    digits = f"{330106 + person % 8:06}{birth:08}{person % 1000:03}"
    return digits + _CHECKS[int(np.dot([int(one) for one in digits], _WEIGHTS)) % 11]


def columns(fields: Mapping[str, Any]) -> list[str]:
    """The columns of a mapping, in its order."""
    return [spec["column"] if isinstance(spec, dict) else spec for spec in fields.values()]


def declared() -> dict[str, Any]:
    """The declaration of the two sources."""
    consent = {"basis": "consent", "purposes": ["service", "marketing"]}
    opt_out = [{"column": "refuses", "values": ["1"], "purposes": ["marketing"]}]
    shared = {"encoding": "utf-8"}
    return {
        "version": 1,
        "organisation": [{"id": "made", "kind": "brand", "name": "Made"}],
        "sources": {
            "till": {
                **shared,
                "connector": "csv",
                "location": "till.csv",
                "record_id": "id",
                "fields": _TILL_FIELDS,
                "attributes": {"level": {"column": "level", "type": "integer"}},
                "consent": {**consent, "opt_out": opt_out},
            },
            "app": {
                **shared,
                "connector": "jsonl",
                "location": "app.jsonl",
                "record_id": "openid",
                "fields": _APP_FIELDS,
                "consent": consent,
            },
        },
        "principals": [],
    }
