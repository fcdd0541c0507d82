"""What judged pairs teach an epoch."""

from dataclasses import replace

import numpy as np
import pytest

from identity import batch, labels, training
from identity.comparisons import COMPARISONS, MISSING
from identity.evaluate import evaluate
from identity.labels import WEIGHT, levels_of, with_labels
from identity.model import UNTRAINED
from tests.unit.identity.tables import LIMITS, delivered

ALIKE, JUDGED, PEOPLE = 260, 40, 400


@pytest.fixture(scope="module")
def moved():
    """Two records of each person, and who they are.

    The first people share a phone, and their birthday was copied with it: that is what EM
    sees. The others gave it anew, and every clerk typed something else.
    """
    generator = np.random.default_rng(3)
    rows = []
    for person in range(PEOPLE):
        name, given, phone, slip = generator.integers(10**6, 2**60, 4).tolist()
        surname, postcode = generator.integers(1, 60, 2).tolist()
        same = {
            "name": name, "sound": name, "name_near": [name], "given": given,
            "surname": surname, "postcode": postcode,
        }  # fmt: skip
        if person < ALIKE:
            same |= {"phones": [phone], "phones_near": [slip]}
        born = generator.integers(1, 360, (2, 2)).tolist()
        for year, day in born if person >= ALIKE else born[:1] * 2:
            rows.append({**same, "birth": 1000 * year + day, "birth_year": year, "birth_day": day})
    person = {number + 1: number // 2 for number in range(len(rows))}
    return batch.gather(delivered(rows), UNTRAINED.most_people, LIMITS), person


def learn(gathered, levels=None):
    return training.train(
        gathered.judged, UNTRAINED, gathered.compared, LIMITS, lambda _: None, levels
    )


def judged_levels(gathered):
    """Of pairs that somebody judged: records of one person that share no phone."""
    low = 2 * np.arange(ALIKE, ALIKE + JUDGED) + 1
    return levels_of(gathered.judged, low, low + 1, 1)


def f1_of_others(gathered, person, model):
    """Measured on people whom nobody judged, where three bits join."""
    found = batch.judge(gathered, replace(model, join_bits=3.0), LIMITS)
    others = {r: p for r, p in person.items() if not ALIKE <= p < ALIKE + JUDGED}
    anchors = dict(zip(found.records.tolist(), found.anchors.tolist(), strict=True))
    return evaluate(anchors, others).f1


def test_labels_help_where_the_machine_is_misled(moved):
    """Pairs that share a phone teach that birthdays never differ; judged pairs correct that."""
    gathered, person = moved
    before = learn(gathered)
    after = learn(gathered, judged_levels(gathered))
    assert before.weights["birth date"][-1][0] < 0.3 < after.weights["birth date"][-1][0]
    assert f1_of_others(gathered, person, before) < 0.85
    assert f1_of_others(gathered, person, after) > 0.95
    assert (after.join_bits, after.suggest_bits) == (before.join_bits, before.suggest_bits)


def test_the_same_labels_give_the_same_epoch_to_the_last_bit(moved):
    """In whatever order the pairs were judged."""
    gathered, _ = moved
    levels = judged_levels(gathered)
    once = learn(gathered, levels).to_text()
    assert learn(gathered, levels[::-1]).to_text() == once


def estimates():
    return {
        c.name: tuple((1 / len(c.levels), 0.1) for _ in c.levels) for c in COMPARISONS
    }  # fmt: skip


def test_no_labels_change_nothing():
    """Neither do pairs that cannot be compared by anything."""
    nothing = np.full((9, len(COMPARISONS)), MISSING, np.int8)
    assert with_labels(estimates(), None) == estimates()
    assert with_labels(estimates(), nothing[:0]) == estimates()
    assert with_labels(estimates(), nothing) == estimates()


def test_m_is_the_mean_of_what_was_counted_and_what_was_estimated():
    """The estimate counts as ``WEIGHT`` pairs; u stays; a missing value counts for nothing."""
    size = len(COMPARISONS[0].levels)
    levels = np.full((30, len(COMPARISONS)), MISSING, np.int8)
    levels[:10, 0] = size - 1  # the best
    levels[10:15, 0] = 0  # differs
    found = with_labels(estimates(), levels)[COMPARISONS[0].name]
    assert found[0] == pytest.approx(((10 + WEIGHT / size) / (15 + WEIGHT), 0.1))
    assert found[-1] == pytest.approx(((5 + WEIGHT / size) / (15 + WEIGHT), 0.1))
    assert sum(m for m, _ in found) == pytest.approx(1)


def test_no_level_becomes_impossible():
    """However many pairs never show it, people and clerks do surprise."""
    levels = np.zeros((100_000, len(COMPARISONS)), np.int8)
    for weights in with_labels(estimates(), levels).values():
        assert min(m for m, _ in weights) >= 0.9 * labels.LEAST
