"""Pairs compared by a real Spark: the same people as here, and nothing left behind."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from typer import BadParameter

from benchmarks import people
from cdp.cli.identity import EngineName, spark_engine
from cdp.demo.world import write_world
from cdp.ingest.sync import sync
from cdp.resolution.run import resolve
from cdp.settings import Settings
from cdp.vault.fresh import FreshKeys
from identity import batch, features
from identity.columns import Columns, Lists
from identity.comparisons import COMPARISONS
from identity.conditions import LISTS
from identity.duckdb_engine import Limits
from identity.errors import SparkFailedError, SparkLostError
from identity.model import UNTRAINED
from identity.remote import Cluster, OnSpark
from tests.journeys import tills

LIMITS = Limits(memory_mb=1024, threads=1)
LACKING = [
    *([] if find_spec("pyspark") else ["the extra kith[spark] is not installed"]),
    *([] if shutil.which("java") else ["there is no Java"]),
]

pytestmark = [
    pytest.mark.integration,
    pytest.mark.long,
    # Where a change is judged, nothing may be left out in silence.
    pytest.mark.skipif(
        bool(LACKING) and not os.environ.get("CI"), reason=f"no Spark here: {', '.join(LACKING)}"
    ),
]


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Java compiles once and simply: for a minute of work, thorough compiling doubles it."""
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")


def on(cluster: Cluster) -> OnSpark:
    """Spark there, with keys of this run."""
    return OnSpark(cluster, FreshKeys().keys, LIMITS)


def crowded(records: int) -> Columns:
    """Records of few values, so that every feature often meets; as `judged` gives them."""
    generator, keys = np.random.default_rng(5), FreshKeys(bytes)

    def some(kinds: int, count: int) -> np.ndarray:
        values = keys.keys(generator.integers(1, kinds + 1, count))
        return np.where(generator.random(count) < 0.6, values, 0)

    def several() -> Lists:
        drawn = np.sort(np.stack([some(12, records), some(12, records)], axis=1), axis=1)
        kept = (drawn != 0) & (np.diff(drawn, axis=1, prepend=0) != 0)
        starts = np.concatenate(([0], np.cumsum(kept.sum(axis=1))))
        return Lists(starts, drawn[kept])

    names = (*features.SINGLE, "birth_least", "email_own")
    singles = {name: some(6, records) for name in names}
    return Columns(np.arange(records), singles, {name: several() for name in sorted(LISTS)})


def test_two_executors_find_the_same_people(tmp_path: Path) -> None:
    """With two executor processes, epoch, people and edges are those of a run here, exactly."""
    table = people.keyed(people.draw(2000, seed=7))
    gathered = batch.gather(
        table,
        UNTRAINED.most_people,
        LIMITS,
        engine=on(Cluster("local-cluster[2,1,1024]", tmp_path)),
    )
    there, learnt = batch.conclude(gathered, None, UNTRAINED, LIMITS)
    here, epoch = batch.resolve(table, None, UNTRAINED, LIMITS)
    assert learnt == epoch
    assert there.anchors.tolist() == here.anchors.tolist()
    assert len(set(here.anchors.tolist())) < len(here.anchors)
    for part in ("low", "high", "bits"):
        assert (getattr(there.edges, part) == getattr(here.edges, part)).all()
    assert there.direct.tolist() == here.direct.tolist()
    assert list(tmp_path.iterdir()) == []


def test_spark_and_numpy_compare_alike(tmp_path: Path) -> None:
    """Every level of every comparison that Spark gives is the one that numpy gives."""
    columns = crowded(400)
    here = batch.Here(LIMITS).compared(columns)
    there = on(Cluster("local[1]", tmp_path)).compared(columns)
    for at, comparison in enumerate(COMPARISONS):
        assert len(set(here.levels[:, at].tolist())) > 1, comparison.name
    assert (there.low == here.low).all()
    assert (there.high == here.high).all()
    assert (there.levels == here.levels).all()


def test_a_workspace_resolved_on_spark_changes_nothing(tmp_path: Path, database_url: str) -> None:
    """Deciding everybody anew on Spark leaves every profile as a run here made it."""
    folder = tmp_path / "shop"
    folder.mkdir()
    write_world(folder, people=40, seed=7)
    workspace = tills.open_shop(folder, database_url)
    for name in workspace.declaration.sources:
        sync(workspace, name)
    here = resolve(workspace)
    asked = spark_engine(workspace, EngineName.SPARK, "local[1]", tmp_path)
    there = resolve(workspace, full=True, engine=asked)
    workspace.engine.dispose()
    assert there.nothing_new
    assert not there.trained
    assert (there.epoch, there.profiles, there.edges) == (here.epoch, here.profiles, here.edges)
    assert list(tmp_path.iterdir()) == [folder]


def test_options_of_spark_go_with_spark(tmp_path: Path) -> None:
    """An engine is made where Spark is named; its options without it are a misuse."""
    settings = Settings.from_environment({"CDP_THREADS": "3"})
    workspace: Any = SimpleNamespace(settings=settings)
    assert spark_engine(workspace, EngineName.DUCKDB, None, None) is None
    made = spark_engine(workspace, EngineName.SPARK, None, tmp_path)
    assert made
    assert made.cluster.master == "local[3]"
    assert made.cluster.exchange == tmp_path
    assert "CDP_DATABASE_URL" in made.cluster.withheld
    with pytest.raises(BadParameter, match="--engine spark"):
        spark_engine(workspace, EngineName.DUCKDB, "local[2]", None)


def test_a_spark_that_cannot_start_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    """A master that Spark cannot read ends the run with Spark's own words, and no file."""
    with pytest.raises(SparkFailedError, match="Spark did not start"):
        on(Cluster("no-such-kind", tmp_path)).compared(crowded(20))
    assert list(tmp_path.iterdir()) == []


@contextmanager
def master(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A standalone master without a single worker, and its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    spark = find_spec("pyspark")
    assert spark
    assert spark.origin
    process = subprocess.Popen(
        [Path(spark.origin).parent / "bin" / "spark-class", "org.apache.spark.deploy.master.Master",
         "--host", "127.0.0.1", "--port", str(port), "--webui-port", "0"],
        env=os.environ | {"SPARK_LOCAL_IP": "127.0.0.1", "SPARK_LOCAL_HOSTNAME": "localhost"},
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        until = time.monotonic() + 120
        while time.monotonic() < until:
            with socket.socket() as door:
                if door.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.5)
        yield process, f"spark://127.0.0.1:{port}"
    finally:
        with suppress(ProcessLookupError):  # the test may have ended it
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_a_cluster_that_dies_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    """A cluster without executors, or with its master killed, is an error that says what to do."""
    exchange = tmp_path / "exchange"
    exchange.mkdir()
    with master(tmp_path) as (process, address):
        with pytest.raises(SparkLostError, match=r"no executor for .* seconds"):
            on(Cluster(address, exchange, patience=2.0)).compared(crowded(20))
        assert list(exchange.iterdir()) == []
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        with pytest.raises(SparkLostError, match="look whether its master and its workers run"):
            on(Cluster(address, exchange)).compared(crowded(20))
        assert list(exchange.iterdir()) == []
