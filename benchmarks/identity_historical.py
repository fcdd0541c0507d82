"""50,578 records of 5,156 historical people, beside Splink on the same rows in plain text.

The data (`--data FILE.parquet`) was gathered from Wikidata, damaged on purpose, and published
with Splink. Column `cluster` is the truth; only the evaluation reads it. Ours sees
keyed features, and learns its epoch without labels. A match and a miss count alike in F1, so
records join at even odds (`join_bits` 0), not at the odds of 4 to 1 that a retailer begins with.

Splink's model follows the one its documentation builds for this data set: names by
Jaro-Winkler, dates by their parts, postcodes by their hierarchy, frequencies of values. Its
threshold is the best of several, chosen by the truth, so that it is not our choice.
"""

import argparse
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import splink.comparison_library as cl
from splink import DuckDBAPI, Linker, SettingsCreator, block_on

from benchmarks.registers import Register, measured, people
from benchmarks.report import report

EVEN_ODDS = 0.0  # bits
FIELDS = {
    "name": "full_name",
    "birth_date": {"column": "dob", "formats": ["%Y-%m-%d"]},
    "birth_place": "birth_place",
    "postcode": "postcode_fake",
    "gender": "gender",
    "occupation": "occupation",
}
OLDEST = 1000  # years: these people are long dead
THRESHOLDS = (0.5, 0.8, 0.9, 0.95, 0.99, 0.999)  # match probability
NAME_LIKENESS = [0.92, 0.88, 0.7]  # Jaro-Winkler
SEED = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--data", type=Path, required=True, help="historical_figures_50k.parquet")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Resolve the rows both ways and report."""
    rows = sorted(pq.read_table(arguments.data).to_pylist(), key=lambda row: row["unique_id"])
    truth = [row["cluster"] for row in rows]
    ours = measured(people(Register(rows, "unique_id", FIELDS, OLDEST), EVEN_ODDS), truth)
    theirs = max((measured(one, truth) for one in _splink(arguments.data)), key=lambda one: one.f1)
    metrics = {
        "f1": ours.f1,
        "bcubed_f1": ours.bcubed_f1,
        "precision": ours.precision,
        "recall": ours.recall,
        "splink_text_f1": theirs.f1,
        "splink_text_bcubed_f1": theirs.bcubed_f1,
        "splink_text_precision": theirs.precision,
        "splink_text_recall": theirs.recall,
    }
    return report("identity.historical50k", metrics, [("f1", ">=", 0.88)])


def _splink(data: Path) -> list[list[str]]:
    """The cluster of each row, rows by their ids, at each threshold."""
    connection = duckdb.connect(config={"threads": 2})
    connection.from_parquet(str(data)).create("register")
    # The truth stays outside; the tutorial's blocking reads beginnings of names.
    connection.execute("ALTER TABLE register DROP COLUMN cluster")
    table = DuckDBAPI(connection).register("register")
    linker = Linker(table, _settings(), log_level="ERROR")
    _train(linker)
    predicted = linker.inference.predict(threshold_match_probability=THRESHOLDS[0])
    found = []
    for threshold in THRESHOLDS:
        clustered = linker.clustering.cluster_pairwise_predictions_at_threshold(
            predicted, threshold
        )
        rows = connection.sql(
            f"SELECT cluster_id FROM {clustered.physical_name} ORDER BY unique_id"
        ).fetchall()
        found.append([cluster for (cluster,) in rows])
    return found


def _settings() -> SettingsCreator:
    return SettingsCreator(
        link_type="dedupe_only",
        comparisons=[
            cl.ForenameSurnameComparison(
                "first_name",
                "surname",
                forename_surname_concat_col_name="first_and_surname",
                jaro_winkler_thresholds=NAME_LIKENESS,
            ),
            cl.DateOfBirthComparison("dob", input_is_string=True),
            cl.PostcodeComparison("postcode_fake"),
            cl.ExactMatch("birth_place").configure(term_frequency_adjustments=True),
            cl.ExactMatch("occupation").configure(term_frequency_adjustments=True),
        ],
        blocking_rules_to_generate_predictions=[
            block_on("substr(first_name, 1, 3)", "substr(surname, 1, 4)"),
            block_on("surname", "dob"),
            block_on("first_name", "dob"),
            block_on("postcode_fake", "first_name"),
            block_on("postcode_fake", "surname"),
            block_on("dob", "birth_place"),
            block_on("substr(postcode_fake, 1, 3)", "dob"),
            block_on("substr(postcode_fake, 1, 3)", "first_name"),
            block_on("substr(postcode_fake, 1, 3)", "surname"),
            block_on("substr(first_name, 1, 2)", "substr(surname, 1, 2)", "substr(dob, 1, 4)"),
        ],
    )


def _train(linker: Linker) -> None:
    exact: list[Any] = [
        block_on("first_name", "surname", "dob"),
        block_on("substr(first_name, 1, 2)", "surname", "substr(postcode_fake, 1, 2)"),
        block_on("dob", "postcode_fake"),
    ]
    linker.training.estimate_probability_two_random_records_match(exact, recall=0.6)
    linker.training.estimate_u_using_random_sampling(max_pairs=5e6, seed=SEED)
    for rule in (block_on("first_name", "surname"), block_on("dob")):
        linker.training.estimate_parameters_using_expectation_maximisation(rule)
