"""Splink on DuckDB: m probabilities by expectation maximisation.

The only module that imports splink. It is given the level numbers of compared pairs, so that
a pair is compared once, by our own engine, whatever EM does with it. Splink compares records
of a table; here a pair is two rows that carry the pair's level numbers.
Splink's scores are the reference of ours, in the tests.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from splink import DuckDBAPI, Linker

from identity.comparisons import COMPARISONS, MISSING, Comparison
from identity.duckdb_engine import Limits, open_memory
from identity.model import Model, Weights

# Splink reports progress and advice through logging; ours is in the product's own words.
logging.getLogger("splink").setLevel(logging.ERROR)  # noqa: TID251 - not a logger of ours

ITERATIONS = (12, 8, 3)  # of EM, at most; the later ones only if the first underflows
CONVERGED = 1e-4  # the largest change of a probability that ends EM
NOTHING_LEARNT = 1e-4  # m of a level that no true pair showed


@dataclass(frozen=True, slots=True)
class Learnt:
    """What EM found.

    Attributes:
        share: of the given pairs that match.
        m: for each comparison one m per level, best level first.
    """

    share: float
    m: dict[str, tuple[float, ...]]


def learn_m(
    levels: npt.NDArray[np.int8],
    comparisons: Sequence[Comparison],
    model: Model,
    limits: Limits,
) -> Learnt:
    """Estimate m by EM over the given pairs, u held.

    Args:
        levels: level numbers of pairs that have something in common, -1 for missing.
            Shape (pairs, len(COMPARISONS)).
        comparisons: what to estimate; none that reads what the pairs have in common.
        model: gives u, and where m and the share of matches start.
        limits: memory and threads.
    """
    with open_memory(limits) as connection:
        connection.register("given_pairs", _two_rows_a_pair(levels))
        connection.execute("CREATE TABLE pair AS SELECT * FROM given_pairs")
        session = _trained(connection, comparisons, model)
        learnt = session.core_model_settings
        estimates = {
            estimated.output_column_name: tuple(
                _known(level.m_probability)
                for level in estimated.comparison_levels
                if not level.is_null_level
            )
            for estimated in learnt.comparisons
        }
    m = {one.name: estimates[_column(one)] for one in comparisons}
    return Learnt(learnt.probability_two_random_records_match, m)


def _two_rows_a_pair(levels: npt.NDArray[np.int8]) -> pa.Table:
    row = np.arange(2 * len(levels))
    columns = {"id": row, "pair": row // 2}
    for place, comparison in enumerate(COMPARISONS):
        columns[_column(comparison)] = np.repeat(levels[:, place], 2)
    return pa.table(columns)


def _trained(
    connection: duckdb.DuckDBPyConnection, comparisons: Sequence[Comparison], model: Model
) -> Any:
    """Run EM; returns Splink's session.

    Where some level never happens among matches, its m falls towards zero until Splink
    refuses the number. Fewer iterations then give the same answer, only less extreme,
    and what is smaller than a thousandth is raised to a floor later anyway.
    """
    for iterations in ITERATIONS:
        linker = _linker(connection, comparisons, model, iterations)
        try:
            return linker.training.estimate_parameters_using_expectation_maximisation(
                "l.pair = r.pair",
                estimate_without_term_frequencies=True,
                fix_u_probabilities=True,
                max_pairs=None,
                record_sample_proportion=1.0,
            )
        except ValueError:
            if iterations == ITERATIONS[-1]:
                raise
    raise AssertionError  # pragma: no cover - the loop returns or raises


def _linker(
    connection: duckdb.DuckDBPyConnection,
    comparisons: Sequence[Comparison],
    model: Model,
    iterations: int,
) -> Linker:
    api = DuckDBAPI(connection)
    settings = {
        "link_type": "dedupe_only",
        "unique_id_column_name": "id",
        "probability_two_random_records_match": model.prior,
        "comparisons": [_comparison(one, model.weights[one.name]) for one in comparisons],
        "blocking_rules_to_generate_predictions": [],
        "retain_matching_columns": False,
        "em_convergence": CONVERGED,
        "max_iterations": iterations,
        "linker_uid": "kith",
    }
    return Linker(api.register("pair"), settings, log_level=None, validate_settings=False)


def _comparison(comparison: Comparison, weights: Weights) -> dict[str, Any]:
    column = f"{_column(comparison)}_l"
    levels: list[dict[str, Any]] = [
        {
            "sql_condition": f"{column} = {MISSING}",
            "label_for_charts": "missing",
            "is_null_level": True,
        }
    ]
    for place, (level, (m, u)) in enumerate(zip(comparison.levels, weights, strict=True)):
        condition = f"{column} = {comparison.level_number(place)}"
        levels.append(
            {
                "sql_condition": condition if level.condition else "ELSE",
                "label_for_charts": level.label,
                "m_probability": m,
                "u_probability": u,
            }
        )
    return {"output_column_name": _column(comparison), "comparison_levels": levels}


def _column(comparison: Comparison) -> str:
    """The comparison's name as a column: ASCII letters, digits and underscores."""
    return "level_" + "".join(letter if letter.isalnum() else "_" for letter in comparison.name)


def _known(probability: object) -> float:
    return probability if isinstance(probability, float) else NOTHING_LEARNT
