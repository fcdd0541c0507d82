"""One full run: a table of keyed features in, people out.

Pure but for DuckDB's memory: nothing is read from or written to disk, and the answer
depends on the features and the epoch alone.
"""

from collections.abc import Callable
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa

from identity import clusters, sharing, splink_engine, training
from identity.blocking import candidates_sql
from identity.clusters import Ints, Pairs
from identity.comparisons import COMPARISONS
from identity.model import Model

FLOOR_BITS = 0.0  # even odds: weaker pairs neither make components nor are kept as edges
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Resolution:
    """What a run found.

    Attributes:
        records: every record id, ascending. Shape (records,).
        anchors: the smallest record id of each record's cluster. Shape (records,).
        edges: the scored pairs of at least ``FLOOR_BITS``.
        compared: how many pairs were scored.
    """

    records: Ints
    anchors: Ints
    edges: Pairs
    compared: int


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of the machine a run may take."""

    memory_mb: int = 2048
    threads: int = 2


def _quiet(step: str) -> None:
    del step


def resolve(
    features: pa.Table,
    model: Model | None,
    start: Model,
    limits: Limits,
    progress: Progress = _quiet,
) -> tuple[Resolution, Model]:
    """Resolve all records at once.

    Args:
        features: as ``identity.features.unpack`` gives them.
        model: the epoch to use; None learns a new one.
        start: thresholds and limits of a new epoch.
        limits: memory and threads.
        progress: told the name of each step.

    Returns:
        The people found, and the epoch they were found with.
    """
    connection = open_memory(limits)
    try:
        connection.register("delivered", features)
        chosen = model or start
        progress("shared numbers")
        sharing.prepare(connection, "delivered", "person", chosen.most_people)
        if model is None:
            chosen = training.train(connection, "person", start, progress=progress)
        progress("comparing pairs")
        connection.execute(f"CREATE TEMP TABLE candidate AS {candidates_sql('person')}")
        pairs = _scored(connection, "candidate", chosen)
        return _decide(connection, features, pairs, chosen, progress), chosen
    finally:
        connection.close()


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


def _scored(connection: duckdb.DuckDBPyConnection, table: str, model: Model) -> Pairs:
    scored = splink_engine.score(connection, "person", table, COMPARISONS, model)
    return as_pairs(scored)


def as_pairs(scored: pa.Table) -> Pairs:
    """The columns of ``splink_engine.score`` as arrays."""
    places = range(len(COMPARISONS))
    levels = [scored[f"level_{place}"].to_numpy() for place in places]
    bits = [scored[f"bits_{place}"].to_numpy() for place in places]
    return Pairs(
        scored["low"].to_numpy().astype(np.int64),
        scored["high"].to_numpy().astype(np.int64),
        scored["weight"].to_numpy().astype(np.float64),
        np.stack(levels, axis=1).astype(np.int8),
        np.stack(bits, axis=1).astype(np.float64),
    )


def _decide(
    connection: duckdb.DuckDBPyConnection,
    features: pa.Table,
    pairs: Pairs,
    model: Model,
    progress: Progress,
) -> Resolution:
    progress("components")
    found = clusters.components(pairs.low, pairs.high, pairs.weight, FLOOR_BITS)
    low, high = clusters.missing_pairs(found, pairs.low, pairs.high)
    connection.register("missing", pa.table({"low": low, "high": high}))
    progress("judging components")
    whole = pairs.and_also(_scored(connection, "missing", model)) if len(low) else pairs
    decided = clusters.partition(
        found,
        whole,
        [comparison.several for comparison in COMPARISONS],
        model.prior_bits,
        model.join_bits,
    )
    records = np.sort(features["id"].to_numpy())
    anchors = np.fromiter((decided.get(r, r) for r in records.tolist()), np.int64, len(records))
    edges = whole.take(np.flatnonzero(whole.weight >= FLOOR_BITS))
    return Resolution(records, anchors, edges, len(whole))
