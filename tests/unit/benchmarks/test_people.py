"""The made-up records that benchmarks measure with."""

import numpy as np
import pytest

from benchmarks import people
from benchmarks.identity_batch import growth
from identity import features


@pytest.fixture(scope="module")
def crowd():
    """A few thousand records."""
    return people.draw(4000, seed=3)


def test_equal_seeds_draw_equal_records(crowd):
    """What is measured twice is the same, and another seed is another crowd."""
    assert people.text(people.draw(4000, seed=3)) == people.text(crowd)
    assert people.text(people.draw(4000, seed=4)) != people.text(crowd)


def test_features_are_those_that_ingest_would_pack(crowd):
    """Packed and unpacked, the features are the same table: every column, key and order."""
    columns = people.keyed_columns(crowd)
    unpacked = features.unpack(columns.ids.tolist(), people.packed(columns))
    made = people.keyed(crowd)
    assert set(made.column_names) == set(unpacked.column_names)
    for name in unpacked.column_names:
        assert made[name].to_pylist() == unpacked[name].to_pylist()


def test_keys_and_text_tell_the_same_records_apart(crowd):
    """Both sides of a comparison see the same people: equal text is an equal key."""
    text, keyed = people.text(crowd).to_pydict(), people.keyed_columns(crowd).singles
    for words, feature in (("dob", "birth"), ("unionid", "unionid"), ("city", "city")):
        pairs = {
            (word, key)
            for word, key in zip(text[words], keyed[feature].tolist(), strict=True)
            if word is not None
        }
        assert len({word for word, _ in pairs}) == len({key for _, key in pairs}) == len(pairs)
        assert all((word is None) == (key == 0) for word, key in zip(
            text[words], keyed[feature].tolist(), strict=True
        ))  # fmt: skip


def test_records_are_as_a_retailer_has_them(crowd):
    """About 2.4 records a person, few surnames for many people, and phones that are shared."""
    assert 2.2 < len(crowd) / len(np.unique(crowd.person)) < 2.9
    surnames = np.bincount(crowd.surname[crowd.surname > 0])
    assert np.sort(surnames)[-40:].sum() > 0.4 * surnames.sum()
    told = crowd.phone != 0
    people_of = np.unique(np.stack((crowd.phone[told], crowd.person[told])), axis=1)[0]
    assert (np.unique(people_of, return_counts=True)[1] > 1).any()


def test_growth_is_the_exponent_of_the_power_law():
    """Time that grows with the square has exponent 2; a constant has none."""
    assert growth([10, 100, 1000], [1, 100, 10_000]) == pytest.approx(2)
    assert growth([10, 100], [5, 5]) == pytest.approx(0)
