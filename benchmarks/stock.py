"""Splink as its documentation shows it, on the plain text of made-up people."""

import logging
import time

import duckdb
import numpy as np
from splink import DuckDBAPI, Linker, SettingsCreator, block_on
from splink import comparison_library as compare

from benchmarks import people

logging.getLogger("splink").setLevel(logging.ERROR)


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
