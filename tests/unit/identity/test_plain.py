"""Few records are read one by one; the invariant of `identity/plain.py`."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from identity import blocking, features, few, plain, scorer, sharing
from identity.columns import Columns

small = st.integers(1, 4)
# A counted key says in its last bits how many people may hold it.
cards = st.builds(sharing.counted_key, st.sampled_from([1 << 20, 2 << 20]), st.integers(1, 3))


@st.composite
def records(draw):
    """Packed features of a few records with values that often meet."""
    row = {}
    for feature in features.FEATURES:
        if feature.name == "counted":
            row["counted"] = draw(st.lists(cards, max_size=2))
        elif feature.several:
            row[feature.name] = draw(st.lists(small, max_size=2))
        elif draw(st.booleans()):
            row[feature.name] = draw(small)
    return features.pack(row)


def both(blobs):
    ids = list(range(10, 10 + len(blobs)))
    alone = {one: features.unpack_one(one, blob) for one, blob in zip(ids, blobs, strict=True)}
    return features.unpack_columns(ids, blobs), alone


def rows(columns: Columns):
    """Columns as records one by one."""
    return {
        one: {name: int(keys[at]) for name, keys in columns.singles.items()}
        | {
            name: tuple(held.keys[held.starts[at] : held.starts[at + 1]].tolist())
            for name, held in columns.lists.items()
        }
        for at, one in enumerate(columns.ids.tolist())
    }


@settings(max_examples=100, deadline=None)
@given(st.lists(records(), min_size=1, max_size=6), st.integers(1, 3))
def test_records_one_by_one_say_what_columns_say(blobs, most_people):
    """Invariant 1: features, numbers, how many people use them, and what follows from it."""
    columns, alone = both(blobs)
    assert rows(columns) == alone
    row, keys = sharing.numbers(columns)
    held = sorted(zip(columns.ids[row].tolist(), keys.tolist(), strict=True))
    assert held == sorted((one, key) for one in alone for key in plain.numbers(alone[one]))
    use = sharing.count_use(columns)
    people = dict(zip(use.phones.tolist(), use.people.tolist(), strict=True))
    assert plain.count_use(alone.values()) == people

    judged = sharing.judged(columns, use, most_people)
    told = {
        one: plain.judged(record, lambda key: people.get(key, 1), most_people)
        for one, record in alone.items()
    }
    for one, record in rows(judged).items():
        assert record == {name: told[one][name] for name in record}
    found = blocking.keys_of(judged)
    keyed = zip(
        judged.ids[found.row].tolist(), found.rule.tolist(), found.key.tolist(), strict=True
    )
    assert sorted(keyed) == sorted((one, *key) for one in told for key in plain.keys_of(told[one]))

    left, right = (side.astype(np.int64) for side in np.triu_indices(len(blobs), 1))
    compared = scorer.compare_few(told, judged.ids[left], judged.ids[right])
    levels, frequent = few.compared(judged, left, right)
    assert compared.levels.tolist() == levels.tolist()
    assert compared.keys.tolist() == frequent.tolist()
