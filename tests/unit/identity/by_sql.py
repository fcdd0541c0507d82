"""Candidates and levels by SQL on DuckDB: a second way to every answer, to hold ours against."""

from functools import reduce

import duckdb
import numpy as np
import pyarrow as pa

from identity.blocking import MOST, RULES, Rule
from identity.columns import Columns, Ints
from identity.comparisons import COMPARISONS, SHARPENED, Comparison, level_sql
from identity.scorer import Compared


def candidates_sql(table: str) -> str:
    """DuckDB SQL that yields the candidate pairs of ``table`` as ``low``, ``high`` (low < high)."""
    keyed = " UNION ALL ".join(_keyed(number, rule, table) for number, rule in enumerate(RULES))
    return f"""
        WITH keyed AS ({keyed}),
        useful AS (
            SELECT rule, key FROM keyed GROUP BY ALL HAVING count(*) BETWEEN 2 AND {MOST}
        ),
        kept AS (SELECT k.rule, k.key, k.id FROM keyed k JOIN useful u USING (rule, key))
        SELECT DISTINCT l.id AS low, r.id AS high
        FROM kept l JOIN kept r ON l.rule = r.rule AND l.key = r.key AND l.id < r.id
    """


def _keyed(number: int, rule: Rule, table: str) -> str:
    parts = [*rule.together, *(["k"] if rule.each else [])]
    key = reduce(lambda one, other: f"xor({one}, {other})", parts)
    source = f"(SELECT *, unnest({rule.each}) AS k FROM {table})" if rule.each else table
    return (
        f"SELECT DISTINCT {number}::UTINYINT AS rule, {key} AS key, id FROM {source} "
        "WHERE key IS NOT NULL"
    )


def frequency_key_sql(comparison: Comparison, level: str) -> str:
    """SQL for the value whose frequency sharpens the pair's level; null for none.

    Args:
        comparison: one of ``COMPARISONS``.
        level: SQL for its level number.
    """
    cases = [
        f"WHEN {comparison.level_number(place)} "
        f"THEN coalesce({one.frequency_of}_l, {one.frequency_of}_r)"
        for place, one in enumerate(comparison.levels)
        if one.frequency_of
    ]
    return f"CASE {level} {' '.join(cases)} END"


def load(connection: duckdb.DuckDBPyConnection, columns: Columns, table: str) -> None:
    """Make ``table`` of features, one row a record."""
    connection.register("loaded", columns.table())
    connection.execute(f"CREATE OR REPLACE TABLE {table} AS SELECT * FROM loaded ORDER BY id")
    connection.unregister("loaded")


def compare_pairs(
    connection: duckdb.DuckDBPyConnection, table: str, low: Ints, high: Ints
) -> Compared:
    """Compare the pairs given as record ids; see ``compare_table``."""
    connection.register("given_pairs", pa.table({"low": low, "high": high}))
    try:
        return compare_table(connection, table, "given_pairs")
    finally:
        connection.unregister("given_pairs")


def compare_table(connection: duckdb.DuckDBPyConnection, table: str, pairs: str) -> Compared:
    """Compare the pairs of table ``pairs`` (``low``, ``high``), ordered by low and high.

    Args:
        connection: where both tables live.
        table: features as ``load`` makes it of judged columns.
        pairs: pairs of ids of ``table``, each once.
    """
    found = connection.sql(compared_sql(table, pairs)).to_arrow_table()
    low, high = _ints(found, "low"), _ints(found, "high")
    levels = [found[f"level_{place}"].to_numpy() for place in range(len(COMPARISONS))]
    keys = [found[f"key_{place}"].fill_null(0).to_numpy() for place in SHARPENED]
    return Compared(
        low, high, np.stack(levels, axis=1).astype(np.int8), np.stack(keys, axis=1).astype(np.int64)
    )


def compared_sql(table: str, pairs: str) -> str:
    """SQL for the level numbers of pairs: low, high, level_<i>, key_<i>."""
    features = dict.fromkeys(
        feature
        for comparison in COMPARISONS
        for feature in (
            *comparison.features,
            *(level.frequency_of for level in comparison.levels if level.frequency_of),
        )
    )
    sides = ", ".join(f"{side}.{f} AS {f}_{side}" for side in "lr" for f in features)
    levels = ", ".join(f"({level_sql(c)})::TINYINT AS level_{i}" for i, c in enumerate(COMPARISONS))
    keys = ", ".join(
        f"{frequency_key_sql(COMPARISONS[place], f'level_{place}')} AS key_{place}"
        for place in SHARPENED
    )
    numbers = ", ".join(f"level_{i}" for i in range(len(COMPARISONS)))
    return f"""
        WITH sides AS (
            SELECT p.low, p.high, {sides} FROM {pairs} p
            JOIN {table} l ON l.id = p.low JOIN {table} r ON r.id = p.high
        ),
        leveled AS (SELECT *, {levels} FROM sides)
        SELECT low, high, {numbers}, {keys} FROM leveled ORDER BY low, high
    """


def _ints(table: pa.Table, name: str) -> Ints:
    ints: Ints = table[name].to_numpy().astype(np.int64)
    return ints
