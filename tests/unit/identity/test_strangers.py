"""Chance agreement, with the pairs of one person taken out."""

import numpy as np
import pytest

from identity.all_pairs import compare_pairs
from identity.candidates import candidates
from identity.comparisons import COMPARISONS
from identity.strangers import FREQUENT, SMOOTHING, Strangers
from tests.unit.identity.tables import judged


def person(number, **more):
    """A record with a name of its own, and a birth date so that its copies are compared."""
    features = ("sound", "surname", "given", "birth", "birth_year", "birth_day")
    # As independent as keyed features are: blocking joins them by exclusive or.
    keys = np.random.default_rng(number).integers(1, 1 << 62, len(features)).tolist()
    return {"name": number, **dict(zip(features, keys, strict=True)), **more}


def strangers(rows):
    """The counts of rows, and how many candidate pairs they have."""
    columns = judged(rows)
    left, right = candidates(columns)
    return Strangers(columns, compare_pairs(columns, left, right, 1)), len(left)


def test_records_of_one_person_are_no_chance():
    """Five copies of one record are ten pairs that agree, and none of them by chance."""
    counts, compared = strangers([person(1)] * 5 + [person(2), person(3)])
    assert compared == 10
    before, after = counts.told()["name"], counts.told(np.ones(compared))["name"]
    assert before.strangers[0] == 10
    assert (after.strangers[0], after.matches[0]) == (0, 10)
    assert after.u[0] == pytest.approx(SMOOTHING / (11 + SMOOTHING * len(after.u)))


def test_without_matches_u_is_the_share_of_all_pairs():
    """Where nobody is known to match, u is the closed form over values."""
    counts, _ = strangers([{"gender": 1}] * 3 + [{"gender": 2}] * 2)
    told = counts.told()["gender"]
    assert told.strangers.tolist() == [4, 6]
    assert told.u.tolist() == [4.5 / 11, 6.5 / 11]


def test_a_value_of_one_person_is_rare_however_many_records_hold_it():
    """Five records of one person make a name no more common than a single record does."""
    counts, compared = strangers([person(1)] * 5 + [person(2), person(3), person(4)])
    unknown, known = counts.frequencies()["name"], counts.frequencies(np.ones(compared))["name"]
    assert unknown[1] == pytest.approx(4 / 8)  # any other record's share among eight
    assert known == {0: 1 / 8}  # as rare as the names that one record holds


def test_a_value_of_two_people_keeps_the_share_of_the_other():
    """Of two people with three records each, another's three count, and not one's own."""
    rows = [person(1)] * 3 + [person(1, birth=7, birth_year=8, birth_day=9)] * 3 + [person(2)]
    counts, _ = strangers(rows)
    columns = judged(rows)
    left, right = candidates(columns)
    same = (columns.singles["birth"][left] == columns.singles["birth"][right]).astype(float)
    assert counts.frequencies(same)["name"][1] == pytest.approx(3 / 7, rel=1e-5)


def test_every_level_that_is_sharpened_has_frequencies():
    """The values whose rarity counts are those that some level names."""
    wanted = {level.frequency_of for c in COMPARISONS for level in c.levels} - {None}
    assert set(FREQUENT) == wanted
