"""One full run of identity beside a stock Splink script on the same people.

Each side runs in a process of its own: made-up records are drawn, then the clock starts.
Ours: the table of features is in memory; train, find and compare candidates, weigh, decide.
Splink: the plain text is in memory; train, predict and cluster, as its documentation shows.
"""

import argparse
import json
import math
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import people
from benchmarks.report import report

SIZES = (100_000, 300_000, 1_000_000)
MEMORY_MB = 8000
THREADS = 2
LEVENSHTEIN = [1, 2]
CLUSTER_AT = 0.95  # match probability, as in Splink's tutorial
ROOT = Path(__file__).parent.parent


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--seed", type=int, default=1)


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure both sides at every size and report."""
    metrics: dict[str, float] = {}
    sizes = sorted(arguments.sizes)
    for records in sizes:
        word = _word(records)
        for side in SIDES:
            for key, value in _measured(side, records, arguments.seed).items():
                metrics[f"{side}_{key}_{word}"] = value
        for key, of in (("ratio", "seconds"), ("cpu_ratio", "cpu_seconds")):
            ours, theirs = (metrics[f"{side}_{of}_{word}"] for side in ("kith", "splink"))
            metrics[f"{key}_{word}"] = ours / theirs
    largest = _word(sizes[-1])
    metrics[f"peak_mb_{largest}"] = metrics[f"kith_peak_mb_{largest}"]
    targets = [(f"ratio_{largest}", "<=", 1.5)]
    if len(sizes) > 1:
        seconds = [metrics[f"kith_seconds_{_word(records)}"] for records in sizes]
        metrics["growth_exponent"] = growth(sizes, seconds)
        targets.append(("growth_exponent", "<=", 1.1))
    return report("identity.batch", metrics, targets)


def growth(sizes: Sequence[int], seconds: Sequence[float]) -> float:
    """The exponent of the power law that fits best: least squares on the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def _word(records: int) -> str:
    """100k, 1m."""
    return f"{records // 1_000_000}m" if records % 1_000_000 == 0 else f"{records // 1000}k"


def _measured(side: str, records: int, seed: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.identity_batch", side, str(records), str(seed)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)  # noqa: S603
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


class _Watch:
    """Seconds by step, and the most memory since it was made."""

    def __init__(self) -> None:
        # What drawing the records took is no part of either side.
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        self._began = self._step = time.perf_counter()
        self._busy = time.process_time()
        self._name = ""
        self.seconds: dict[str, float] = {}

    def step(self, name: str) -> None:
        """A new step begins."""
        now = time.perf_counter()
        if self._name:
            self.seconds[self._name] = self.seconds.get(self._name, 0.0) + now - self._step
        self._name, self._step = name.replace(" ", "_"), now

    def stop(self) -> dict[str, float]:
        """What was measured."""
        self.step("")
        return {
            "seconds": time.perf_counter() - self._began,
            "cpu_seconds": time.process_time() - self._busy,
            "peak_mb": _peak_mb(),
            **{f"{name}_seconds": seconds for name, seconds in self.seconds.items()},
        }


def _peak_mb() -> float:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _kith(crowd: people.Crowd) -> dict[str, float]:
    from identity import batch  # noqa: PLC0415 - each side loads its own libraries only
    from identity.duckdb_engine import Limits  # noqa: PLC0415
    from identity.model import UNTRAINED  # noqa: PLC0415

    table = people.keyed(crowd)
    watch = _Watch()
    watch.step("opening")
    found, _ = batch.resolve(table, None, UNTRAINED, Limits(MEMORY_MB, THREADS), watch.step)
    measured = watch.stop()
    return measured | {"pairs": found.compared} | _accuracy(crowd, found.anchors)


def _splink(crowd: people.Crowd) -> dict[str, float]:
    import duckdb  # noqa: PLC0415 - each side loads its own libraries only
    import splink.comparison_library as cl  # noqa: PLC0415
    from splink import DuckDBAPI, Linker, SettingsCreator, block_on  # noqa: PLC0415

    table = people.text(crowd)
    watch = _Watch()
    watch.step("training")
    connection = duckdb.connect(config={"threads": THREADS})
    api = DuckDBAPI(connection)
    settings = SettingsCreator(
        link_type="dedupe_only",
        comparisons=[
            cl.LevenshteinAtThresholds("name", 1).configure(term_frequency_adjustments=True),
            cl.LevenshteinAtThresholds("phone", LEVENSHTEIN),
            cl.DateOfBirthComparison("dob", input_is_string=True),
            cl.ExactMatch("unionid"),
            cl.ExactMatch("card"),
            cl.ExactMatch("gender"),
            cl.ExactMatch("city").configure(term_frequency_adjustments=True),
        ],
        blocking_rules_to_generate_predictions=[
            block_on("phone"),
            block_on("unionid"),
            block_on("card"),
            block_on("name", "dob"),
            block_on("name", "city"),
        ],
    )
    linker = Linker(api.register(table), settings)
    exact: list[Any] = [
        "l.phone = r.phone and l.name = r.name",
        block_on("unionid"),
        block_on("card"),
    ]
    linker.training.estimate_probability_two_random_records_match(exact, recall=0.7)
    linker.training.estimate_u_using_random_sampling(max_pairs=1e6, seed=1)
    for rule in (block_on("name", "city"), block_on("phone")):
        linker.training.estimate_parameters_using_expectation_maximisation(rule)
    watch.step("predict")
    predicted = linker.inference.predict(threshold_match_probability=0.5)
    watch.step("cluster")
    clustered = linker.clustering.cluster_pairwise_predictions_at_threshold(predicted, CLUSTER_AT)
    rows = connection.sql(
        f"SELECT cluster_id FROM {clustered.physical_name} ORDER BY unique_id"
    ).fetchnumpy()
    measured = watch.stop()
    return measured | _accuracy(crowd, rows["cluster_id"].astype(np.int64))


def _accuracy(crowd: people.Crowd, group: npt.NDArray[np.int64]) -> dict[str, float]:
    """Pairwise precision, and recall of all true pairs; some records say next to nothing."""
    both = group.astype(np.int64) * (int(crowd.person.max()) + 1) + crowd.person
    right, said, true = (_pairs(one) for one in (both, group, crowd.person))
    return {"precision": right / max(said, 1), "recall": right / max(true, 1)}


def _pairs(group: npt.NDArray[np.int64]) -> int:
    """How many pairs of records are of one group."""
    sizes = np.unique(group, return_counts=True)[1]
    return int((sizes * (sizes - 1) // 2).sum())


SIDES = {"kith": _kith, "splink": _splink}


def main(side: str, records: str, seed: str) -> None:
    """Measure one side and print what was measured, as one line of JSON."""
    measured = SIDES[side](people.draw(int(records), int(seed)))
    print(json.dumps({key: value for key, value in measured.items() if math.isfinite(value)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
