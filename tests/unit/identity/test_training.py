"""Learning an epoch from unlabelled records."""

import math

import numpy as np
import pyarrow as pa
import pytest

from identity import batch
from identity.comparisons import COMPARISONS
from identity.errors import TooFewRecordsError
from identity.model import UNTRAINED, Model
from identity.strangers import Told
from identity.training import MOST_BITS, _known, _settled, _with_m
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


@pytest.mark.parametrize("seed", [1, 2])
def test_shuffled_rows_teach_the_same_to_the_last_bit(small, found, seed):
    """All sums are taken in the order of ids: how rows are stored changes no digit."""
    order = np.random.default_rng(seed).permutation(len(small.table))
    assert batch.resolve(small.table.take(order), None, UNTRAINED, LIMITS)[1] == found.model


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


NAME = next(comparison for comparison in COMPARISONS if comparison.name == "name")
NOBODY = np.zeros(len(NAME.levels))


def bits_of(settled):
    return [math.log2(m / u) for m, u in settled]


def settle(bits, seen):
    """Bits of the levels of the name after settling, when ``bits`` were learnt."""
    weights = {c.name: tuple((0.1, 0.1) for _ in c.levels) for c in COMPARISONS}
    known = {c.name: np.ones(len(c.levels), bool) for c in COMPARISONS}
    weights["name"] = tuple((0.1, 0.1 / 2**one) for one in bits)
    known["name"] = np.array(seen, bool)
    return bits_of(_settled(weights, known)["name"])


def test_a_level_that_nobody_saw_weighs_nothing_within_its_neighbours():
    """Floor over floor would make ten bits out of nothing."""
    size = len(NAME.levels)
    bits = [12.0] * size
    assert settle(bits, [False] * size) == [0.0] * size
    bits = [9.0, 99.0, 4.0, 99.0, -3.0, 99.0, -6.0, *[99.0] * (size - 8), -8.0]
    seen = [True, False, True, False, True, False, True, *[False] * (size - 8), True]
    found = settle(bits, seen)
    assert found[:7] == pytest.approx([9.0, 4.0, 4.0, 0.0, -3.0, -3.0, -6.0])
    assert found[7:] == pytest.approx([-6.0] * (size - 8) + [-8.0])


def test_the_best_and_the_worst_level_have_one_neighbour():
    """An unseen best level says no less than the next; an unseen "differs" no more."""
    size = len(NAME.levels)
    seen = [False, *[True] * (size - 2), False]
    found = settle([99.0, *[5.0] * (size - 2), 99.0], seen)
    assert (found[0], found[-1]) == (pytest.approx(5.0), pytest.approx(0.0))
    found = settle([99.0, *[-5.0] * (size - 2), 99.0], seen)
    assert (found[0], found[-1]) == (pytest.approx(0.0), pytest.approx(-5.0))


def test_a_level_is_known_by_strangers_by_matches_by_people_or_by_its_share():
    """Half an expected pair on either side is enough; so is one that somebody judged."""
    one = NOBODY.copy()
    one[3] = 0.5
    assert np.flatnonzero(_known(Told(one, NOBODY), None, "name", {})).tolist() == [3]
    assert np.flatnonzero(_known(Told(NOBODY, one), None, "name", {})).tolist() == [3]
    frequent = _known(Told(NOBODY, NOBODY), None, "name", {"name": (0.1,)})
    assert np.flatnonzero(frequent).tolist() == [0]
    judged = np.full((1, len(COMPARISONS)), -1, np.int8)
    judged[0, 0] = NAME.level_number(5)
    assert np.flatnonzero(_known(Told(NOBODY, NOBODY), judged, "name", {})).tolist() == [5]


def test_what_no_record_tells_weighs_nothing(found):
    """The small world has no birth places: agreeing on one later says nothing yet."""
    rows = zip(BIRTH_PLACE.levels, found.model.weights["birth place"], strict=True)
    assert [round(math.log2(m / u), 4) for _, (m, u) in rows] == [0.0, 0.0]


BIRTH_PLACE = next(comparison for comparison in COMPARISONS if comparison.name == "birth place")
