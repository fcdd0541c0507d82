"""From compared pairs to bits: Splink's own scores are the reference."""

import dataclasses
import itertools

import numpy as np
import pyarrow as pa
import pytest

from identity import features, scorer
from identity.columns import Columns
from identity.comparisons import COMPARISONS
from identity.model import Model
from identity.scorer import Scorer, compare, compare_all
from identity.sharing import count_use, judged
from tests.unit.identity.by_sql import candidates_sql, compare_pairs
from tests.unit.identity.splink_scores import splink_scores
from tests.unit.identity.tables import DATES, database, delivered

CLOSE = 1e-9  # bits
MADE_UP = Model(
    prior=0.01,
    weights={
        c.name: tuple((0.9 / (at + 1), 0.003 * (at + 2)) for at in range(len(c.levels)))
        for c in COMPARISONS
    },
    frequencies={
        level.frequency_of: {0: 0.01, 1: 0.2, 3: 0.125}
        for c in COMPARISONS
        for level in c.levels
        if level.frequency_of
    },
    join_bits=3.0,
    suggest_bits=-3.0,
    most_people=3,
)


def assert_as_splink(columns, low, high, model):
    """Same levels, and bits and weights to 1e-9; give the levels seen."""
    database().register("everybody", columns.table())
    database().register("given", pa.table({"low": low, "high": high}))
    database().execute("CREATE OR REPLACE TEMP TABLE reference AS SELECT * FROM everybody")
    database().execute("CREATE OR REPLACE TEMP TABLE pairs AS SELECT * FROM given")
    theirs = splink_scores(database(), "reference", "pairs", model)
    places = np.searchsorted(columns.ids, low), np.searchsorted(columns.ids, high)
    ours = Scorer(model).weigh(compare(columns, *places))
    assert theirs["low"].to_numpy().tolist() == ours.low.tolist()
    assert theirs["high"].to_numpy().tolist() == ours.high.tolist()
    for at in range(len(COMPARISONS)):
        assert theirs[f"level_{at}"].to_numpy().tolist() == ours.levels[:, at].tolist()
        assert np.abs(theirs[f"bits_{at}"].to_numpy() - ours.bits[:, at]).max() < CLOSE
    assert np.abs(theirs["weight"].to_numpy() - ours.weight).max() < CLOSE
    return {(c.name, n) for at, c in enumerate(COMPARISONS) for n in set(ours.levels[:, at])}


def candidates(table, at_most):
    """Pairs that a run compares, and as many that agree in a surname, a year or a city."""
    less = " OR ".join(f"l.{name} = r.{name}" for name in ("surname", "birth_year", "city"))
    found = (
        database()
        .execute(
            f"WITH candidates AS ({candidates_sql(table)}), others AS (SELECT l.id, r.id "
            f"FROM {table} l JOIN {table} r ON l.id < r.id AND ({less}) "
            f"ORDER BY hash(l.id, r.id) LIMIT {at_most}) "
            "SELECT * FROM candidates UNION SELECT * FROM others ORDER BY low, high"
        )
        .fetchnumpy()
    )
    return found["low"], found["high"]


def test_candidates_of_a_retailer_weigh_what_splink_says(person, judged, found):
    """Law 4 of scoring: levels, bits and weights of 1500 pairs in question equal Splink's."""
    low, high = candidates(person, 1500)
    assert len(low) > 1500
    assert_as_splink(judged, low, high, found.model)


def test_random_pairs_weigh_what_splink_says(judged, found):
    """Pairs drawn at random, which differ in nearly everything, agree as well."""
    drawn = np.random.default_rng(5).integers(0, len(judged), (700, 2))
    drawn = np.unique(np.sort(drawn[drawn[:, 0] != drawn[:, 1]], axis=1), axis=0)
    assert len(drawn) >= 600
    assert_as_splink(judged, *judged.ids[drawn].T.copy(), found.model)


def crowd(size):
    """Records of few values, so that every level of agreement occurs among them."""
    generator = np.random.default_rng(11)
    names = ("birth", "birth_swapped", "birth_year", "birth_day")
    for _ in range(size):
        row = {
            feature.name: generator.integers(1, 12, generator.integers(0, 3)).tolist()
            if feature.several
            else int(generator.integers(0, 5))
            for feature in features.FEATURES
        }
        dates = DATES[generator.integers(len(DATES))]
        row |= {name: value or 0 for name, value in zip(names, dates, strict=True)}
        row["birth_near"] = generator.integers(1, 9, 1).tolist()
        row["phones"] = generator.integers(1, 30, 1).tolist()
        yield row | {"name_near": generator.integers(1, 40, 1).tolist()}


@pytest.fixture(scope="module")
def crowded():
    """A crowd, judged."""
    columns = Columns.of(delivered(list(crowd(200))))
    return judged_columns(columns)


def judged_columns(columns):
    return judged(columns, count_use(columns), MADE_UP.most_people)


def everybody(columns):
    """Every pair of places."""
    one, other = np.triu_indices(len(columns), 1)
    return one.astype(np.int64), other.astype(np.int64)


def test_every_level_weighs_what_splink_says(crowded):
    """With a made-up model over records that agree in every way, nothing differs anywhere."""
    low, high = (crowded.ids[places] for places in everybody(crowded))
    seen = assert_as_splink(crowded, low, high, MADE_UP)
    levels = {(c.name, c.level_number(at)) for c in COMPARISONS for at in range(len(c.levels))}
    assert levels - seen <= {("account", 0)}


def test_a_pair_weighs_the_same_alone_and_among_others(crowded):
    """Comparing and weighing one pair gives, to the last bit, what it gets among thousands."""
    left, right = everybody(crowded)
    ours = Scorer(MADE_UP)
    among = ours.weigh(compare(crowded, left, right))
    for at in range(0, len(left), 797):
        alone = ours.weigh(compare(crowded, left[at : at + 1], right[at : at + 1]))
        assert alone.weight.tobytes() == among.weight[at : at + 1].tobytes()
        assert alone.bits.tobytes() == among.bits[at : at + 1].tobytes()
        assert alone.levels.tolist() == among.levels[at : at + 1].tolist()


def test_few_and_many_pairs_are_weighed_alike(crowded, monkeypatch):
    """The two ways of weighing agree to the last bit."""
    one, other = np.triu_indices(len(crowded), 1)
    all_pairs = compare(crowded, one, other)
    weighs = Scorer(MADE_UP).weigh
    for start in range(0, len(one), scorer.few.MOST):
        part = all_pairs.take(np.arange(start, min(start + scorer.few.MOST, len(one))))
        few = weighs(part)
        with monkeypatch.context() as patched:
            patched.setattr(scorer.few, "MOST", 0)
            many = weighs(part)
        assert few.weight.tolist() == many.weight.tolist()
        assert few.bits.tolist() == many.bits.tolist()


def test_few_and_many_pairs_are_compared_alike(crowded):
    """However many pairs are compared at once, each gets the same integers."""
    left, right = everybody(crowded)
    whole = compare(crowded, left, right)
    for start, size in itertools.product((0, 50, 7000), (0, 1, 2, 20, 300)):
        here = slice(start, start + size)
        part = compare(crowded, left[here], right[here])
        assert (part.levels == whole.levels[here]).all()
        assert (part.keys == whole.keys[here]).all()


@pytest.mark.parametrize("threads", [1, 3])
def test_pairs_compared_in_parts_stay_in_their_order(crowded, monkeypatch, threads):
    """Comparing some at a time, in several threads, gives what comparing all at once gives."""
    monkeypatch.setattr(scorer, "AT_ONCE", 1000)
    left, right = everybody(crowded)
    whole, parts = compare(crowded, left, right), compare_all(crowded, left, right, threads)
    for one, other in zip(dataclasses.astuple(whole), dataclasses.astuple(parts), strict=True):
        assert (one == other).all()
    assert len(compare_all(crowded, left[:0], right[:0], threads)) == 0


def test_duckdb_and_numpy_compare_alike(person, judged):
    """The integers of a pair do not depend on the engine: levels and frequency keys are equal."""
    low, high = candidates(person, 3000)
    by_sql = compare_pairs(database(), person, low, high)
    places = np.searchsorted(judged.ids, low), np.searchsorted(judged.ids, high)
    by_numpy = compare(judged, *places)
    for one, other in zip(
        (by_sql.low, by_sql.high, by_sql.levels, by_sql.keys),
        (by_numpy.low, by_numpy.high, by_numpy.levels, by_numpy.keys),
        strict=True,
    ):
        assert (one == other).all()
        assert one.dtype == other.dtype


def test_rarer_values_weigh_more(crowded):
    """A value's own share takes the place of u; one never seen has the floor's."""
    left, right = everybody(crowded)
    pairs = Scorer(MADE_UP).weigh(compare(crowded, left, right))
    keys = compare(crowded, left, right).keys[:, 0]
    equal = pairs.levels[:, 0] == len(COMPARISONS[0].levels) - 1
    common = pairs.bits[equal & (keys == 1), 0]
    rare = pairs.bits[equal & (keys == 4), 0]
    assert common == pytest.approx(np.log2(0.9 / 0.2))
    assert rare == pytest.approx(np.log2(0.9 / 0.01))
    assert len(common)
    assert len(rare)
