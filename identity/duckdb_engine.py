"""DuckDB, in memory: candidates and comparisons of many records at once.

Nothing is read from or written to disk: a feature that does not fit in memory is an
error and never a temporary file.
"""

from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa

from identity.columns import Columns, Ints
from identity.comparisons import COMPARISONS, SHARPENED, frequency_key_sql, level_sql
from identity.scorer import Compared


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of the machine a run may take."""

    memory_mb: int = 2048
    threads: int = 2


def open_memory(limits: Limits) -> duckdb.DuckDBPyConnection:
    """A DuckDB that lives in memory and never spills a feature to disk."""
    return duckdb.connect(
        ":memory:",
        config={
            "memory_limit": f"{limits.memory_mb}MB",
            "threads": limits.threads,
            "temp_directory": "",
            "preserve_insertion_order": False,
        },
    )


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
