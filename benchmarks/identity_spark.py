"""One full run whose pairs are compared by two Spark executors, beside the same run here.

Both sides resolve the same made-up records and learn their own epoch; ``equal`` is 1 where
epoch, people and edges are the same to the last bit. Needs pyspark and Java.
"""

import argparse
import time
from typing import Any

import numpy as np

from benchmarks import people
from benchmarks.report import report
from cdp.vault.fresh import FreshKeys
from identity import batch
from identity.duckdb_engine import Limits
from identity.model import UNTRAINED, Model
from identity.remote import Cluster, OnSpark

MASTER = "local-cluster[2,1,1024]"  # two executors, one core and 1 GB each
MEMORY_MB = 2048
THREADS = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--master", default=MASTER)
    parser.add_argument("--seed", type=int, default=1)


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Resolve twice and report."""
    table = people.keyed(people.draw(arguments.records, arguments.seed))
    limits = Limits(MEMORY_MB, THREADS)
    here, seconds = _resolved(table, batch.Here(limits), limits)
    engine = OnSpark(Cluster(arguments.master), FreshKeys().keys, limits)
    there, spark_seconds = _resolved(table, engine, limits)
    metrics = {
        "equal": float(_equal(here, there)),
        "records": float(arguments.records),
        "people": float(len(np.unique(here[0].anchors))),
        "pairs": float(here[0].compared),
        "local_seconds": seconds,
        "spark_seconds": spark_seconds,
    }
    return report("identity.spark", metrics, [("equal", "==", 1.0)])


Resolved = tuple[batch.Resolution, Model]


def _resolved(table: Any, engine: batch.Engine, limits: Limits) -> tuple[Resolved, float]:
    began = time.perf_counter()
    gathered = batch.gather(table, UNTRAINED.most_people, limits, engine=engine)
    found = batch.conclude(gathered, None, UNTRAINED, limits)
    return found, time.perf_counter() - began


def _equal(one: Resolved, other: Resolved) -> bool:
    (here, epoch), (there, their_epoch) = one, other
    return (
        epoch == their_epoch
        and np.array_equal(here.anchors, there.anchors)
        and np.array_equal(here.edges.low, there.edges.low)
        and np.array_equal(here.edges.high, there.edges.high)
        and np.array_equal(here.edges.bits, there.edges.bits)
        and np.array_equal(here.direct, there.direct)
    )
