"""Learning an epoch from unlabelled records."""

import math

import numpy as np
import pyarrow as pa
import pytest

from identity import batch
from identity.comparisons import COMPARISONS
from identity.errors import TooFewRecordsError
from identity.model import UNTRAINED, Model
from identity.training import MOST_BITS, _with_m
from tests.unit.identity.tables import LIMITS, delivered

ROUNDED = 1e-4  # bits: an epoch's numbers have six digits


def learn(rows):
    """Resolve and learn from rows of features: anchors, and the epoch."""
    resolution, model = batch.resolve(delivered(rows), None, UNTRAINED, LIMITS)
    return resolution.anchors.tolist(), model


def test_the_same_records_give_the_same_epoch_to_the_last_bit(small, found):
    """Law 1 of identity: training is deterministic, draws and all."""
    again = batch.resolve(small.table, None, UNTRAINED, LIMITS)[1]
    assert again.to_text() == found.model.to_text()


def test_an_epoch_does_not_depend_on_how_records_came(small, found):
    """Rows in another order under other, still growing ids teach the same."""
    ids = pa.array(small.table["id"].to_numpy() * 3 + 1000)
    moved = small.table.set_column(0, "id", ids).take(np.arange(len(ids))[::-1])
    resolution, model = batch.resolve(moved, None, UNTRAINED, LIMITS)
    assert model.to_text() == found.model.to_text()
    before = found.resolution
    assert (resolution.anchors == before.anchors * 3 + 1000).all()
    assert (resolution.records == before.records * 3 + 1000).all()


def assert_sound(model):
    """Every number of an epoch is one that a weight can be made of."""
    assert 0 < model.prior < 1
    assert set(model.weights) == {comparison.name for comparison in COMPARISONS}
    for comparison in COMPARISONS:
        weights = model.weights[comparison.name]
        assert len(weights) == len(comparison.levels)
        for m, u in weights:
            assert 0 < m <= 1
            assert 0 < u < math.inf
            assert abs(math.log2(m / u)) <= MOST_BITS + ROUNDED, comparison.name
        assert sum(m for m, _ in weights) == pytest.approx(1, abs=1e-4)
    wanted = {level.frequency_of for c in COMPARISONS for level in c.levels} - {None}
    assert set(model.frequencies) == wanted
    for shares in model.frequencies.values():
        assert all(0 < share <= 1 for share in shares.values())
        assert 0 in shares
    assert Model.from_json(model.to_json()) == model


def test_no_level_says_more_than_the_bound(found):
    """U is never zero, the prior is a probability, and no comparison settles a pair for ever."""
    assert_sound(found.model)


def test_evidence_points_the_right_way(found):
    """The best level of every comparison speaks for a match, and "differs" against one."""
    for comparison in COMPARISONS:
        best = len(comparison.levels) - 1
        if comparison.name in {"name", "phone", "birth date", "unionid", "account"}:
            assert found.model.bits(comparison.name, best) > 0, comparison.name
        if comparison.name in {"name", "birth date"}:
            assert found.model.bits(comparison.name, 0) < 0, comparison.name


ONE = {
    "name": 5, "sound": 5, "surname": 1, "given": 3, "birth": 3, "birth_year": 1,
    "birth_day": 2, "unionid": 4, "phones": [9], "phones_near": [90], "name_near": [5],
}  # fmt: skip
OTHER = {
    "name": 6, "sound": 6, "surname": 2, "given": 4, "birth": 7, "birth_year": 8,
    "birth_day": 9, "unionid": 5, "phones": [8], "phones_near": [80], "name_near": [6],
}  # fmt: skip


@pytest.mark.parametrize("rows", [[], [ONE]], ids=["none", "one"])
def test_too_few_records_are_refused(rows):
    """With nothing to compare there is nothing to learn, and the error says what to do."""
    with pytest.raises(TooFewRecordsError, match="sync a source"):
        learn(rows)


@pytest.mark.parametrize(
    ("rows", "anchors"),
    [
        ([ONE, ONE], [1, 1]),
        ([{}, {}], [1, 2]),
        ([ONE, OTHER, {}], [1, 2, 3]),
    ],
    ids=["twice", "empty", "nothing in common"],
)
def test_a_handful_of_records_is_enough(rows, anchors):
    """The first file may be tiny, all of one person, or without a single pair."""
    found, model = learn(rows)
    assert found == anchors
    assert_sound(model)


def test_a_neutral_level_weighs_nothing(found):
    """A number under another name says family; it comes with the address, and adds no bits."""
    for comparison in COMPARISONS:
        for level, (m, u) in zip(
            comparison.levels, found.model.weights[comparison.name], strict=True
        ):
            assert m == u or not level.neutral, level.label


def test_a_rule_counts_as_much_as_it_saw():
    """The m of a level is the mean over training rules, weighed by the matches that told it."""
    start = {"name": tuple((0.5, 0.1) for _ in range(2))}
    learnt = {"name": [(np.array([0.9, 0.1]), 99.0), (np.array([0.0, 1.0]), 1.0)]}
    (good, _), (bad, _) = _with_m(start, learnt)["name"]
    assert (good, bad) == (pytest.approx(0.891), pytest.approx(0.109))
