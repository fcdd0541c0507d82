"""Splink's scores beside our own: one model, worked out twice."""

import math

import numpy as np
import pyarrow as pa
import pytest

from identity import features, splink_engine
from identity.blocking import candidates_sql
from identity.comparisons import COMPARISONS, MISSING, level_sql
from identity.model import Model
from tests.unit.identity.tables import DATES, database, prepared

CLOSE = 1e-9  # bits
COLUMNS = sorted({feature for c in COMPARISONS for feature in c.features})


def by_splink(table, model):
    """What the engine says of the pairs of table ``pairs``."""
    return splink_engine.score(database(), table, "pairs", COMPARISONS, model).to_pylist()


def by_ourselves(table, model):
    """Levels by `level_sql`, bits by `log2(m/u)` and the frozen frequencies, in Python."""
    sides = ", ".join(f"{side}.{name} AS {name}_{side}" for side in "lr" for name in COLUMNS)
    levels = ", ".join(f"{level_sql(c)} AS level_{at}" for at, c in enumerate(COMPARISONS))
    rows = database().sql(
        f"SELECT *, {levels} FROM (SELECT p.low, p.high, {sides} FROM pairs p "
        f"JOIN {table} l ON l.id = p.low JOIN {table} r ON r.id = p.high) ORDER BY low, high"
    )
    for row in rows.to_arrow_table().to_pylist():
        numbers = [row[f"level_{at}"] for at in range(len(COMPARISONS))]
        yield row["low"], row["high"], numbers, [
            bits(comparison, number, row, model)
            for comparison, number in zip(COMPARISONS, numbers, strict=True)
        ]  # fmt: skip


def bits(comparison, number, row, model):
    """The bits of one level: Fellegi and Sunter's weight, sharpened by Winkler's frequency."""
    if number == MISSING:
        return 0.0
    place = len(comparison.levels) - 1 - number
    m, u = model.weights[comparison.name][place]
    feature = comparison.levels[place].frequency_of
    keys = [row[f"{feature}_{side}"] for side in "lr"] if feature else []
    shares = model.frequencies.get(feature, {})
    held = [shares.get(key, shares[0]) for key in keys if key is not None]
    return math.log2(m / u) + (math.log2(u / max(held)) if held else 0.0)


def assert_equal(table, model):
    """Same pairs, same levels, and bits and weights to 1e-9; give the levels seen."""
    seen = set()
    ours = list(by_ourselves(table, model))
    theirs = by_splink(table, model)
    assert len(ours) == len(theirs) > 0
    for (low, high, levels, told), row in zip(ours, theirs, strict=True):
        assert (row["low"], row["high"]) == (low, high)
        assert [row[f"level_{at}"] for at in range(len(COMPARISONS))] == levels
        found = [row[f"bits_{at}"] for at in range(len(COMPARISONS))]
        assert found == pytest.approx(told, abs=CLOSE)
        assert row["weight"] == pytest.approx(model.prior_bits + sum(told), abs=CLOSE)
        seen |= {(c.name, number) for c, number in zip(COMPARISONS, levels, strict=True)}
    return seen


def test_candidates_of_a_retailer_score_alike(person, found):
    """Law 4 of scoring: for the pairs that a run compares, engine and formula agree."""
    database().execute(
        f"CREATE OR REPLACE TEMP TABLE pairs AS SELECT * FROM ({candidates_sql(person)}) "
        "ORDER BY hash(low, high) LIMIT 1500"
    )
    assert_equal(person, found.model)


def test_random_pairs_score_alike(person, found):
    """Pairs drawn at random, which differ in nearly everything, agree as well."""
    count = database().table(person).count("*").fetchall()[0][0]
    drawn = np.random.default_rng(5).integers(1, count + 1, (600, 2))
    drawn = np.unique(np.sort(drawn[drawn[:, 0] != drawn[:, 1]], axis=1), axis=0)
    database().register("drawn", pa.table({"low": drawn[:, 0], "high": drawn[:, 1]}))
    database().execute("CREATE OR REPLACE TEMP TABLE pairs AS SELECT * FROM drawn")
    assert_equal(person, found.model)


def crowd(size):
    """Records of few values, so that every level of agreement occurs among them."""
    generator = np.random.default_rng(11)
    names = ("birth", "birth_swapped", "birth_year", "birth_day")
    for _ in range(size):
        row = {
            feature.name: generator.integers(1, 4, 2).tolist()
            if feature.several
            else int(generator.integers(0, 5))
            for feature in features.FEATURES
        }
        dates = DATES[generator.integers(len(DATES))]
        row |= {name: value or 0 for name, value in zip(names, dates, strict=True)}
        row["birth_near"] = generator.integers(1, 9, 1).tolist()
        row["phones"] = generator.integers(1, 30, 1).tolist()
        yield row | {"name_near": generator.integers(1, 40, 1).tolist()}


def test_every_level_scores_alike():
    """With a made-up model over records that agree in every way, nothing differs anywhere."""
    model = Model(
        prior=0.01,
        weights={
            c.name: tuple((0.9 / (at + 1), 0.003 * (at + 2)) for at in range(len(c.levels)))
            for c in COMPARISONS
        },
        frequencies={
            "name": {0: 0.01, 1: 0.2},
            "sound": {0: 0.02, 2: 0.3},
            "surname": {0: 0.05, 1: 0.25, 3: 0.125},
            "city": {0: 0.5, 2: 0.75},
        },
        join_bits=3.0,
        suggest_bits=-3.0,
        most_people=4,
    )
    table = prepared(list(crowd(70)), most_people=3)
    database().execute(
        "CREATE OR REPLACE TEMP TABLE pairs AS SELECT l.id AS low, r.id AS high "
        f"FROM {table} l JOIN {table} r ON l.id < r.id"
    )
    seen = assert_equal(table, model)
    levels = {(c.name, c.level_number(at)) for c in COMPARISONS for at in range(len(c.levels))}
    missed = levels - seen
    assert missed <= {(c.name, 0) for c in COMPARISONS if not c.contradicts}
