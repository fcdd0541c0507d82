"""Tables of made-up features. Numbers stand for values: nothing here was ever a person."""

from functools import cache

import duckdb
import pyarrow as pa
from hypothesis import strategies as st

from identity import features, sharing
from identity.columns import Columns
from identity.comparisons import COMPARISONS
from identity.conditions import LISTS
from identity.duckdb_engine import Limits
from tests.unit.identity.by_sql import load

LIMITS = Limits(memory_mb=512, threads=1)
BY_NAME = {comparison.name: comparison for comparison in COMPARISONS}
# The columns of two sides that are compared: what `judged` makes of the features.
COLUMNS = (*features.SINGLE, "email_own", *sorted(LISTS))

# Dates as (whole, exchanged, year, day): 2 and 3 are one another's exchange.
DATES = (
    (None, None, None, None),
    (11, None, 51, 71),
    (12, 13, 51, 72),
    (13, 12, 51, 73),
    (14, None, 52, 71),
)


def delivered(rows, first=1):
    """A feature table as `unpack` gives it, of rows of features, ids from ``first`` on."""
    return features.unpack(
        list(range(first, first + len(rows))), [features.pack(row) for row in rows]
    )


@cache
def database():
    """One DuckDB in memory for all tests: tables are made anew, connections cost time."""
    return duckdb.connect(":memory:", config={"threads": 1, "memory_limit": "512MB"})


def judged(rows, most_people=4):
    """The columns that a run compares."""
    columns = Columns.of(delivered(rows))
    return sharing.judged(columns, sharing.count_use(columns), most_people)


def prepared(rows, most_people=4, table="person"):
    """Make ``table`` of what a run compares."""
    load(database(), judged(rows, most_people), table)
    return table


def compared_columns(rows):
    """The columns of rows as `judged` makes them, with ids 0, 1, 2 and so on."""
    held = {name: [row.get(name) for row in rows] for name in COLUMNS}
    columns = {"id": pa.array(range(len(rows)), pa.int64())} | {
        name: pa.array([keys or [] for keys in given], pa.list_(pa.int64()))
        if name in LISTS
        else pa.array(given, pa.int64())
        for name, given in held.items()
    }
    return Columns.of(pa.table(columns))


def told(pairs, expressions):
    """What SQL expressions over a pair say of every pair of rows, in DuckDB."""
    rows = [side for pair in pairs for side in pair]
    database().register("side", compared_columns(rows).table())
    both = ", ".join(f"{side}.{name} AS {name}_{side}" for side in "lr" for name in COLUMNS)
    return (
        database()
        .execute(
            f"SELECT {', '.join(expressions)} FROM (SELECT l.id, {both} FROM side l JOIN side r "
            "ON l.id % 2 = 0 AND r.id = l.id + 1) ORDER BY id"
        )
        .fetchall()
    )


def _small(several):
    number = st.integers(1, 3)
    return st.lists(number, max_size=2, unique=True) if several else st.none() | number


@st.composite
def sides(draw):
    """One side of a pair, as `prepare` makes it, from values that often meet."""
    row = {name: draw(_small(several=False)) for name in (*features.SINGLE, "email_own")}
    row |= {name: sorted(draw(_small(several=True))) for name in sorted(LISTS)}
    names = ("birth", "birth_swapped", "birth_year", "birth_day")
    row |= dict(zip(names, draw(st.sampled_from(DATES)), strict=True))
    # A number is of one person or of several, the same for everybody who has it.
    row["phones_shared"] = [number + 10 for number in row["phones_shared"]]
    return row
