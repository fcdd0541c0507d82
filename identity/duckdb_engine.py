"""DuckDB, in memory: where Splink learns.

Nothing is read from or written to disk: a feature that does not fit in memory is an
error and never a temporary file.
"""

from dataclasses import dataclass

import duckdb


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
