"""Tables of made-up features. Numbers stand for values: nothing here was ever a person."""

from functools import cache

import duckdb
from hypothesis import strategies as st

from identity import batch, features, sharing
from identity.comparisons import COMPARISONS

LIMITS = batch.Limits(memory_mb=512, threads=1)
BY_NAME = {comparison.name: comparison for comparison in COMPARISONS}
# What `prepare` makes of phones, and the columns that are lists after it.
LISTS = {"phones_own", "phones_shared", "phones_near"} | set(features.MULTIPLE) - {"phones"}

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


def prepared(rows, most_people=4, table="person"):
    """Make ``table`` of the rows, as a run does."""
    database().register("delivered", delivered(rows))
    sharing.prepare(database(), "delivered", table, most_people)
    return table


def _small(several):
    number = st.integers(1, 3)
    return st.lists(number, max_size=2, unique=True) if several else st.none() | number


@st.composite
def sides(draw):
    """One side of a pair, as `prepare` makes it, from values that often meet."""
    row = {name: draw(_small(several=False)) for name in features.SINGLE}
    row |= {name: sorted(draw(_small(several=True))) for name in sorted(LISTS)}
    names = ("birth", "birth_swapped", "birth_year", "birth_day")
    row |= dict(zip(names, draw(st.sampled_from(DATES)), strict=True))
    # A number is of one person or of several, the same for everybody who has it.
    row["phones_shared"] = [number + 10 for number in row["phones_shared"]]
    return row
