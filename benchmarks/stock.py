"""Splink as its documentation shows it, on the plain text of made-up people."""

import time
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from splink import DuckDBAPI, Linker, SettingsCreator, block_on
from splink import comparison_library as compare

from benchmarks import people


def settings() -> SettingsCreator:
    """Comparisons and blocking for the columns of ``people.text``."""
    return SettingsCreator(
        link_type="dedupe_only",
        comparisons=[
            compare.LevenshteinAtThresholds("name", [1]),
            compare.LevenshteinAtThresholds("phone", [1, 2]),
            compare.LevenshteinAtThresholds("dob", [1]),
            compare.ExactMatch("unionid"),
            compare.ExactMatch("card"),
            compare.ExactMatch("city"),
            compare.ExactMatch("gender"),
        ],
        blocking_rules_to_generate_predictions=[
            block_on("phone"),
            block_on("unionid"),
            block_on("card"),
            block_on("name", "dob"),
        ],
    )


def one_by_one(crowd: people.Crowd, count: int) -> float:
    """Median milliseconds to compare one record with all others by ``predict_between``."""
    connection = duckdb.connect(":memory:")
    try:
        held = people.text(crowd)
        connection.register("held", held)
        connection.execute("CREATE TABLE person AS SELECT * FROM held")
        api = DuckDBAPI(connection)
        linker = Linker(api.register("person"), settings(), log_level=None)
        linker.training.estimate_u_using_random_sampling(max_pairs=1e5)
        generator = np.random.default_rng(1)
        seconds = []
        for place in generator.integers(0, len(crowd), count).tolist():
            record = {**held.slice(place, 1).to_pylist()[0], "unique_id": -1}
            started = time.perf_counter()
            found = linker.inference.predict_between(api.register([record]), api.register("person"))
            found.as_record_list()
            seconds.append(time.perf_counter() - started)
        return 1000 * float(np.median(seconds))
    finally:
        connection.close()


def clusters(records: pa.Table, threshold: float = 0.95) -> list[int]:
    """Train, predict and cluster as the documentation does; the cluster of each record.

    Args:
        records: the columns of ``settings``, and ``unique_id``: 1, 2, 3 and so on.
        threshold: match probability from which two records are joined.
    """
    connection = duckdb.connect(":memory:")
    try:
        connection.register("held", records)
        connection.execute("CREATE TABLE person AS SELECT * FROM held")
        api = DuckDBAPI(connection)
        linker = Linker(api.register("person"), settings(), log_level=None)
        certain: list[Any] = [block_on("unionid"), block_on("name", "dob")]
        linker.training.estimate_probability_two_random_records_match(certain, recall=0.6)
        linker.training.estimate_u_using_random_sampling(max_pairs=1e6)
        for rule in (block_on("phone"), block_on("name", "dob")):
            linker.training.estimate_parameters_using_expectation_maximisation(rule)
        predicted = linker.inference.predict(threshold_match_probability=threshold)
        found = linker.clustering.cluster_pairwise_predictions_at_threshold(
            predicted, threshold_match_probability=threshold
        )
        rows = found.as_record_list()
    finally:
        connection.close()
    anchor = {row["unique_id"]: row["cluster_id"] for row in rows}
    return [int(anchor[one]) for one in records["unique_id"].to_pylist()]
