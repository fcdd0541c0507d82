"""Pairs compared on a Spark cluster, for more records than one machine compares in time.

Finding and comparing pairs is most of the work and needs integers alone; it goes to the
cluster. Learning, weighing and deciding stay here.

Invariants:
    1. What leaves is integers, each keyed afresh for this one run: nothing of it can be held
       against another run, nor against what the workspace keeps. Records are numbered anew,
       in random order.
    2. What comes back is the same pairs with the same levels, in the same order, as
       `identity.candidates` and `identity.scorer` give here: so the people are the same.
    3. An answer that cannot be right is refused, and a sample of it is compared again here.
    4. The folder of the exchange is readable by its owner alone, and it is gone when the run
       ends, however it ends.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from identity.all_pairs import AllPairs
from identity.columns import Columns, Ints, Lists
from identity.comparisons import COMPARISONS, MISSING
from identity.duckdb_engine import Limits
from identity.errors import SparkAnswerError, SparkFailedError, SparkLostError, SparkMissingError
from identity.memory import Room
from identity.pairs import Levels
from identity.scorer import compare_all
from identity.spark_engine import PATIENCE, WORDS, Ending
from identity.spark_sql import LEVELS, READ_LISTS, READ_SINGLES

RECORDS_A_FILE = 50_000  # files are what executors share out
CHECKED = 10_000  # pairs compared again here
KNOCK = 5.0  # seconds a master may take to open its door
TIDYING = 10.0  # seconds that processes just ended may go on writing
STANDALONE = "spark://"
MASTER_PORT = 7077  # Spark's own default
LOCAL_MASTERS = ("local", "local-cluster")
LOOPBACK = ("127.0.0.1", "localhost", "::1")
Rekey = Callable[[Ints], Ints]


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where Spark runs.

    Attributes:
        master: as Spark writes it: ``local[2]``, ``local-cluster[2,1,1024]``,
            ``spark://host:7077``.
        exchange: a folder that this machine and every executor see under the same path;
            None is this machine's folder for temporary files.
        withheld: variables of the environment that Spark's processes do not get.
        patience: seconds without a single executor before the run gives up.
    """

    master: str
    exchange: Path | None = None
    withheld: tuple[str, ...] = ()
    patience: float = PATIENCE

    @property
    def doors(self) -> list[tuple[str, int]]:
        """Host and port of each master of a standalone cluster; none for another kind."""
        if not self.master.startswith(STANDALONE):
            return []
        named = [urlsplit(f"//{one}") for one in self.master.removeprefix(STANDALONE).split(",")]
        return [(one.hostname or "", one.port or MASTER_PORT) for one in named]

    @property
    def here(self) -> bool:
        """Whether all of it runs on this machine."""
        if self.master.split("[")[0] in LOCAL_MASTERS:
            return True
        return bool(self.doors) and all(host in LOOPBACK for host, _ in self.doors)


@dataclass(frozen=True, slots=True)
class OnSpark:
    """Finds and compares candidate pairs on a cluster; see ``identity.batch.Engine``.

    Attributes:
        cluster: where.
        rekey: gives every integer another one of 63 bits, above 0, the same for equal ones,
            under a key that nothing else knows. It is made anew for each run.
        limits: memory of the process that drives Spark, and threads for what is done here.
    """

    cluster: Cluster
    rekey: Rekey
    limits: Limits

    def compared(self, judged: Columns, room: Room | None = None) -> AllPairs:
        """Compare all candidate pairs.

        Args:
            judged: features as ``identity.sharing.judged`` gives them, ``ids`` ascending.
            room: for the pairs that come back.

        Raises:
            NotEnoughMemoryError: they do not fit in the room.
            SparkMissingError: pyspark is not installed.
            SparkLostError: the cluster does not answer, or no longer.
            SparkFailedError: Spark did not start, or could not compare.
            SparkAnswerError: what came back cannot be right.
        """
        if find_spec("pyspark") is None:
            raise SparkMissingError
        _knock(self.cluster)
        with _folder(self.cluster.exchange) as folder:
            place = export(judged, self.rekey, folder / "features")
            _run(self.cluster, folder, len(judged), self.limits.memory_mb)
            left, right, levels = answer(folder / "compared", place)
        _check(judged, (left, right), levels, self.limits.threads)
        # The values whose frequency counts follow from the levels, and never left.
        at_once = (room or Room(self.limits, 0)).pairs_at_once(len(left))
        places = left.astype(np.int32), right.astype(np.int32)
        return AllPairs(judged, *places, levels, at_once, self.limits.threads)


# ── out ─────────────────────────────────────────────────────────────────────


def export(judged: Columns, rekey: Rekey, folder: Path) -> Ints:
    """Write the features that are compared, all integers keyed afresh, as Parquet.

    Returns:
        The place in ``judged`` of each record that was written, by its new number.
    """
    place: Ints = np.argsort(rekey(np.arange(len(judged))))
    wanted = Columns(
        judged.ids,
        {name: judged.singles[name] for name in READ_SINGLES},
        {name: judged.lists[name] for name in READ_LISTS},
    ).take(place)
    fresh = Columns(
        np.arange(len(place)),
        {name: _fresh(keys, rekey) for name, keys in wanted.singles.items()},
        {name: _fresh_lists(lists, rekey) for name, lists in wanted.lists.items()},
    ).table()
    folder.mkdir(mode=0o700)
    for start in range(0, max(1, len(place)), RECORDS_A_FILE):
        part = fresh.slice(start, RECORDS_A_FILE)
        pq.write_table(part, folder / f"{start // RECORDS_A_FILE:06d}.parquet")
    return place


def _fresh(keys: Ints, rekey: Rekey) -> Ints:
    return np.where(keys == 0, 0, rekey(keys))


def _fresh_lists(lists: Lists, rekey: Rekey) -> Lists:
    keys = rekey(lists.keys)
    # Ascending anew: the old order would still show which key was the smaller one.
    return Lists(lists.starts, keys[np.lexsort((keys, lists.rows()))])


# ── there ───────────────────────────────────────────────────────────────────


def _knock(cluster: Cluster) -> None:
    """Refuse a master that is not there; Spark itself would try for a minute."""
    for door in cluster.doors:
        with suppress(OSError), socket.create_connection(door, KNOCK):
            return
    if cluster.doors:
        raise SparkLostError(cluster.master, "nobody answers there")


def _run(cluster: Cluster, folder: Path, records: int, memory_mb: int) -> None:
    """Run Spark in a process of its own, so that all of it ends with the run."""
    environment = []
    if cluster.here:
        environment = ["SPARK_LOCAL_IP=127.0.0.1", "SPARK_LOCAL_HOSTNAME=localhost"]
    if cluster.master.startswith("local-cluster"):
        environment.append(f"SPARK_HOME={_spark_home(folder / 'home')}")
    withheld = [word for name in cluster.withheld for word in ("-u", name)]
    arguments = [str(folder), cluster.master, str(records), str(memory_mb), str(cluster.patience)]
    command = [sys.executable, "-m", "identity.spark_engine", *arguments]
    process = subprocess.Popen(  # noqa: S603 - our own module, and no shell
        ["env", *withheld, *environment, *command],  # noqa: S607 - POSIX has it
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        process.wait()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # Java may outlive the one who started it
        process.wait()
    told = folder / WORDS
    words = (
        told.read_text(encoding="utf-8") if told.exists() else f"ended with {process.returncode}"
    )
    if process.returncode == Ending.LOST:
        raise SparkLostError(cluster.master, words)
    if process.returncode == Ending.NOT_STARTED:
        raise SparkFailedError(cluster.master, f"Spark did not start: {words}")
    if process.returncode:
        raise SparkFailedError(cluster.master, words)


def _spark_home(folder: Path) -> Path:
    """Spark with a folder of our own around it: a local cluster writes its logs into its home."""
    found = find_spec("pyspark")
    folder.mkdir()
    for part in ("bin", "jars"):
        (folder / part).symlink_to(Path(str(found and found.origin)).parent / part)
    return folder


@contextmanager
def _folder(exchange: Path | None) -> Iterator[Path]:
    """A folder of our own, mode 0700, gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="kith-spark-", dir=exchange))
    try:
        yield folder
    finally:
        until = time.monotonic() + TIDYING
        while folder.exists():
            shutil.rmtree(folder, ignore_errors=time.monotonic() < until)


# ── back ────────────────────────────────────────────────────────────────────


def answer(folder: Path, place: Ints) -> tuple[Ints, Ints, Levels]:
    """Read what Spark found: places left, right (left < right), and levels, in order.

    Args:
        folder: Parquet files with ``low``, ``high`` and the levels.
        place: as ``export`` gave it.

    Raises:
        SparkAnswerError: a pair of no records, a pair twice, or a level that is not there.
    """
    table = pq.read_table(folder)
    if sorted(table.column_names) != sorted(("low", "high", *LEVELS)) or not all(
        pa.types.is_integer(column.type) and not column.null_count for column in table.columns
    ):
        raise SparkAnswerError("its columns are not the ones asked for")
    low, high = (table[name].to_numpy().astype(np.int64) for name in ("low", "high"))
    if not ((low >= 0) & (low < high) & (high < len(place))).all():
        raise SparkAnswerError("a pair is not one of two records")
    levels = np.empty((len(low), len(LEVELS)), np.int8)
    for column, (name, comparison) in enumerate(zip(LEVELS, COMPARISONS, strict=True)):
        numbers = table[name].to_numpy()
        if not ((numbers >= MISSING) & (numbers < len(comparison.levels))).all():
            raise SparkAnswerError("a level is none of the comparison's")
        levels[:, column] = numbers
    one, other = place[low], place[high]
    left, right = np.minimum(one, other), np.maximum(one, other)
    order = np.argsort(left * len(place) + right)
    left, right = left[order], right[order]
    if ((left[1:] == left[:-1]) & (right[1:] == right[:-1])).any():
        raise SparkAnswerError("a pair is there twice")
    return left, right, levels[order]


def _check(judged: Columns, pairs: tuple[Ints, Ints], levels: Levels, threads: int) -> None:
    """Compare some pairs again. The cluster cannot know which: it knows other numbers."""
    rows = np.arange(0, len(levels), max(1, len(levels) // CHECKED))
    again = compare_all(judged, pairs[0][rows], pairs[1][rows], threads)
    if (again.levels != levels[rows]).any():
        raise SparkAnswerError("levels differ from those of this machine")
