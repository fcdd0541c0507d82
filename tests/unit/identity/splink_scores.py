"""Splink's own scores of given pairs: the reference that `identity.scorer` is held against."""

import pyarrow as pa
from splink import DuckDBAPI, Linker

from identity.comparisons import COMPARISONS
from identity.conditions import Dialect


def splink_scores(connection, table, pairs, model):
    """Score the pairs of table ``pairs`` (``low``, ``high``) with Splink's own predict.

    Returns:
        ``low``, ``high``, ``weight`` (bits, prior included), and per comparison ``level_<i>``
        and ``bits_<i>`` (frequency adjustment included), ordered by ``low``, ``high``.
    """
    linker = _linker(connection, table, model)
    blocked = connection.sql(
        f"SELECT '0' AS match_key, low AS join_key_l, high AS join_key_r FROM {pairs}"
    )
    api = linker._db_api
    linker.table_management.register_blocked_pairs_for_predict(api.register(blocked))
    scored = linker.inference.predict(warning_mode="never").physical_name
    columns = ["id_l AS low", "id_r AS high", "match_weight AS weight"]
    for place, comparison in enumerate(COMPARISONS):
        name = _column(comparison)
        columns.append(f'"gamma_{name}"::TINYINT AS level_{place}')
        sharpened = f' + "mw_tf_adj_{name}"' if comparison.sharpened else ""
        columns.append(f'"mw_{name}"{sharpened} AS bits_{place}')
    return connection.sql(
        f"SELECT {', '.join(columns)} FROM {scored} ORDER BY low, high"
    ).to_arrow_table()


def _linker(connection, table, model):
    api = DuckDBAPI(connection)
    settings = {
        "link_type": "dedupe_only",
        "unique_id_column_name": "id",
        "probability_two_random_records_match": model.prior,
        "comparisons": [_comparison(one, model.weights[one.name]) for one in COMPARISONS],
        "blocking_rules_to_generate_predictions": [],
        # Splink gives the level numbers only together with the compared columns.
        "retain_matching_columns": True,
        "retain_intermediate_calculation_columns": True,
        "linker_uid": "reference",
    }
    linker = Linker(api.register(table), settings, log_level=None, validate_settings=False)
    for feature, frequencies in model.frequencies.items():
        rows = _frequency_table(connection, table, feature, frequencies)
        linker.table_management.register_term_frequency_lookup(api.register(rows), feature)
    return linker


def _column(comparison):
    """The comparison's name as Splink may write it into a column name."""
    return "".join(letter if letter.isalnum() else "_" for letter in comparison.name)


def _comparison(comparison, weights):
    levels = [
        {
            "sql_condition": comparison.missing.sql(Dialect.DUCKDB),
            "label_for_charts": "missing",
            "is_null_level": True,
        }
    ]
    for level, (m, u) in zip(comparison.levels, weights, strict=True):
        described = {
            "sql_condition": level.condition.sql(Dialect.DUCKDB) if level.condition else "ELSE",
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


def _frequency_table(connection, table, feature, frequencies):
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
