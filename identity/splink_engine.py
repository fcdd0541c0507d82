"""Splink on DuckDB: the statistics. The only module that imports splink.

Two services: learn m probabilities by expectation maximisation, and give every
candidate pair its levels and match weights. Both work on a table of keyed features.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import duckdb
import pyarrow as pa
from splink import DuckDBAPI, Linker

from identity.comparisons import Comparison
from identity.model import Model, Weights

# Splink reports progress and advice through logging; ours is in the product's own words.
logging.getLogger("splink").setLevel(logging.ERROR)  # noqa: TID251 - not a logger of ours

ITERATIONS = (12, 8, 3)  # of EM, at most; the later ones only if the first underflows
NOTHING_LEARNT = 1e-4  # m of a level that no true pair showed


def learn_m(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    comparisons: Sequence[Comparison],
    model: Model,
    training_rules: Sequence[str],
) -> dict[str, list[tuple[float, ...]]]:
    """Estimate m for every comparison by EM, once per training rule, u and prior held.

    Args:
        connection: where ``table`` lives.
        table: a table of keyed features, one row per record.
        comparisons: what to estimate.
        model: gives u and the prior.
        training_rules: SQL equalities over ``l.`` and ``r.``; a comparison that reads a
            column of the rule is not estimated under it.

    Returns:
        For each comparison one tuple of m (best level first) per rule it was estimated under.
    """
    learnt: dict[str, list[tuple[float, ...]]] = {comparison.name: [] for comparison in comparisons}
    names = {_column(comparison): comparison.name for comparison in comparisons}
    for rule in training_rules:
        session = _trained(connection, table, comparisons, model, rule)
        for estimated in session.core_model_settings.comparisons:
            levels = [level for level in estimated.comparison_levels if not level.is_null_level]
            learnt[names[estimated.output_column_name]].append(
                tuple(_known(level.m_probability) for level in levels)
            )
    return learnt


def _trained(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    comparisons: Sequence[Comparison],
    model: Model,
    rule: str,
) -> Any:
    """Run EM under one rule; returns Splink's session.

    Where some level never happens among matches, its m falls towards zero until Splink
    refuses the number. Fewer iterations then give the same answer, only less extreme,
    and what is smaller than a thousandth is raised to a floor later anyway.
    """
    for iterations in ITERATIONS:
        linker = _linker(connection, table, comparisons, model, iterations)
        try:
            return linker.training.estimate_parameters_using_expectation_maximisation(
                rule,
                estimate_without_term_frequencies=True,
                fix_u_probabilities=True,
                max_pairs=None,
                record_sample_proportion=1.0,
            )
        except ValueError:
            if iterations == ITERATIONS[-1]:
                raise
    raise AssertionError  # pragma: no cover - the loop returns or raises


def score(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    pairs: str,
    comparisons: Sequence[Comparison],
    model: Model,
) -> pa.Table:
    """Score the pairs of table ``pairs`` (``low``, ``high``) with Splink's own predict.

    Returns:
        ``low``, ``high`` (int64), ``weight`` (bits, prior included), and per comparison
        ``level_<i>`` (int8) and ``bits_<i>`` (float64, frequency adjustment included),
        ordered by ``low``, ``high``.
    """
    linker = _linker(connection, table, comparisons, model)
    blocked = connection.sql(
        f"SELECT '0' AS match_key, low AS join_key_l, high AS join_key_r FROM {pairs}"
    )
    api = linker._db_api  # noqa: SLF001 - Splink offers no other way to reuse the connection
    linker.table_management.register_blocked_pairs_for_predict(api.register(blocked))
    scored = linker.inference.predict(warning_mode="never").physical_name
    columns = ["id_l AS low", "id_r AS high", "match_weight AS weight"]
    for place, comparison in enumerate(comparisons):
        name = _column(comparison)
        columns.append(f'"gamma_{name}"::TINYINT AS level_{place}')
        bits = f'"mw_{name}"'
        if any(level.frequency_of for level in comparison.levels):
            bits += f' + "mw_tf_adj_{name}"'
        columns.append(f"{bits} AS bits_{place}")
    return connection.sql(
        f"SELECT {', '.join(columns)} FROM {scored} ORDER BY low, high"
    ).to_arrow_table()


def _column(comparison: Comparison) -> str:
    """The comparison's name as Splink may write it into a column name."""
    return "".join(letter if letter.isalnum() else "_" for letter in comparison.name)


def _linker(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    comparisons: Sequence[Comparison],
    model: Model,
    iterations: int = 0,
) -> Linker:
    """A linker over ``table``; for training if ``iterations`` are given, else for scoring."""
    api = DuckDBAPI(connection)
    settings = {
        "link_type": "dedupe_only",
        "unique_id_column_name": "id",
        "probability_two_random_records_match": model.prior,
        "comparisons": [
            _comparison(comparison, model.weights[comparison.name]) for comparison in comparisons
        ],
        "blocking_rules_to_generate_predictions": [],
        # Splink gives the level numbers only together with the compared columns.
        "retain_matching_columns": not iterations,
        "retain_intermediate_calculation_columns": True,
        "em_convergence": 1e-4,
        "max_iterations": max(1, iterations),
        "linker_uid": "kith",
    }
    linker = Linker(api.register(table), settings, log_level=None, validate_settings=False)
    if not iterations:
        for feature, frequencies in model.frequencies.items():
            rows = _frequency_table(connection, table, feature, frequencies)
            linker.table_management.register_term_frequency_lookup(api.register(rows), feature)
    return linker


def _comparison(comparison: Comparison, weights: Weights) -> dict[str, Any]:
    levels: list[dict[str, Any]] = [
        {"sql_condition": comparison.missing, "label_for_charts": "missing", "is_null_level": True}
    ]
    for level, (m, u) in zip(comparison.levels, weights, strict=True):
        described: dict[str, Any] = {
            "sql_condition": level.condition or "ELSE",
            "label_for_charts": level.label,
            "m_probability": m,
            "u_probability": u,
        }
        if level.frequency_of:
            described |= {
                "tf_adjustment_column": level.frequency_of,
                "tf_adjustment_weight": 1.0,
                "disable_tf_exact_match_detection": True,
            }
        levels.append(described)
    return {"output_column_name": _column(comparison), "comparison_levels": levels}


def _frequency_table(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    feature: str,
    frequencies: Mapping[int, float],
) -> duckdb.DuckDBPyRelation:
    """Every value of ``feature`` in ``table`` with its frozen frequency, or the floor (key 0)."""
    known = pa.table(
        {
            "key": pa.array(frequencies.keys(), pa.int64()),
            "frequency": pa.array(frequencies.values(), pa.float64()),
        }
    )
    connection.register("known_frequencies", known)
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE frequency_{feature} AS "
        f"SELECT v.{feature}, coalesce(k.frequency, {frequencies[0]!r}) AS tf_{feature} "
        f"FROM (SELECT DISTINCT {feature} FROM {table} WHERE {feature} IS NOT NULL) v "
        f"LEFT JOIN known_frequencies k ON k.key = v.{feature}"
    )
    return connection.table(f"frequency_{feature}")


def _known(probability: object) -> float:
    return probability if isinstance(probability, float) else NOTHING_LEARNT
