"""Spark behind one door: a process of its own that compares pairs on a cluster.

It is started by `identity.remote` and is given a folder of integers that were keyed
afresh for this one run. It never meets a feature as the workspace keys it, nor anything
else of the workspace. It ends with a code that says what went wrong, and leaves one line of words.

The folder, seen by this process and by every executor:

* ``features/``: the records, Parquet;
* ``pairs/`` and ``compared/``: what Spark writes;
* ``scratch/``: what Spark spills on this machine;
* ``words``: why it failed.
"""

import os
import shutil
import sys
import threading
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from typing import Any, NoReturn

from identity.spark_sql import candidates_sql, compared_sql

POLL = 1.0  # seconds between two looks at the cluster
PATIENCE = 60.0  # seconds without a single executor before the run gives up
WORDS = "words"
LONGEST = 300  # characters of Spark's own words that are handed on
RECORDS_A_TASK = 20_000
MOST_TASKS = 2_000


class Ending(IntEnum):
    """How the process ended."""

    COMPARED = 0
    NOT_STARTED = 3
    LOST = 4
    FAILED = 5


def main(folder: str, master: str, records: str, memory_mb: str, patience: str) -> None:
    """Compare what lies in ``folder`` on the cluster ``master``, then end the process."""
    home = Path(folder)
    parent = os.getppid()
    try:
        session = _started(home, master, int(records), int(memory_mb))
    except Exception as error:  # noqa: BLE001 - whatever it is, the other side must hear of it
        _end(home, Ending.NOT_STARTED, error)
    problems: list[BaseException] = []
    work = threading.Thread(target=_caught, args=(_compare, session, home, problems), daemon=True)
    work.start()
    alone = 0.0
    while work.is_alive():
        work.join(POLL)
        if os.getppid() != parent:  # nobody is left to tidy up
            shutil.rmtree(home, ignore_errors=True)
            os._exit(Ending.LOST)
        alone = 0.0 if _executors(session, master) else alone + POLL
        if alone > float(patience):
            _end(home, Ending.LOST, RuntimeError(f"no executor for {alone:.0f} seconds"))
    if problems:
        lost = not _executors(session, master)
        _end(home, Ending.LOST if lost else Ending.FAILED, problems[0])
    session.stop()


def _started(home: Path, master: str, records: int, memory_mb: int) -> Any:
    from pyspark.sql import SparkSession  # noqa: PLC0415 - an optional package

    settings = {
        "spark.driver.memory": f"{memory_mb}m",
        "spark.local.dir": str(home / "scratch"),
        "spark.log.level": "ERROR",
        "spark.sql.shuffle.partitions": str(min(MOST_TASKS, 4 + records // RECORDS_A_TASK)),
        "spark.sql.warehouse.dir": str(home / "scratch"),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
    # The name is shown on the cluster's pages, and says no more than it must.
    builder = SparkSession.builder.master(master).appName("kith")
    for name, value in settings.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def _compare(session: Any, home: Path) -> None:
    session.read.parquet(str(home / "features")).createOrReplaceTempView("person")
    # Written down in between: Spark then knows how many there are, and shares them out evenly.
    session.sql(candidates_sql("person")).write.parquet(str(home / "pairs"))
    session.read.parquet(str(home / "pairs")).createOrReplaceTempView("pair")
    session.sql(compared_sql("person", "pair")).write.parquet(str(home / "compared"))


def _caught(
    work: Callable[[Any, Path], None], session: Any, home: Path, problems: list[BaseException]
) -> None:
    try:
        work(session, home)
    except BaseException as error:  # noqa: BLE001 - handed to the thread that reports it
        problems.append(error)


def _executors(session: Any, master: str) -> int:
    """How many executors the cluster has given us; in local mode the driver is the one."""
    try:
        held = int(session.sparkContext._jsc.sc().getExecutorMemoryStatus().size())  # noqa: SLF001
    except Exception:  # noqa: BLE001 - a stopped context answers nothing
        return 0
    return held if master.startswith("local[") or master == "local" else held - 1


def _end(home: Path, ending: Ending, error: BaseException) -> NoReturn:
    """Say why and go, without waiting for a cluster that may never answer."""
    words = str(error).strip().splitlines() or [type(error).__name__]
    (home / WORDS).write_text(words[0][:LONGEST], encoding="utf-8")
    os._exit(ending)


if __name__ == "__main__":
    main(*sys.argv[1:])
