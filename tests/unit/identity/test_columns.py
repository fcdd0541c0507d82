"""Features of many records as numpy arrays."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.columns import Columns, Lists, distinct, ordered
from tests.unit.identity.tables import delivered

keys = st.integers(1, 2**63 - 1)
rows = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "name": keys,
            "birth": keys,
            "phones": st.lists(keys, max_size=3, unique=True),
            "accounts": st.lists(keys, max_size=3, unique=True),
        },
    ),
    max_size=6,
)


@settings(max_examples=40, deadline=None)
@given(rows)
def test_a_table_becomes_columns_and_a_table_again(given_rows):
    """Nothing is lost or added on the way to numpy and back: missing stays missing."""
    table = delivered(given_rows, first=7)
    back = Columns.of(table).table()
    assert set(back.column_names) == set(table.column_names)
    assert back.to_pydict() == {name: table[name].to_pylist() for name in back.column_names}


@settings(max_examples=40, deadline=None)
@given(rows, st.data())
def test_taken_records_are_what_they_were(given_rows, data):
    """Taking rows, in any order and also twice, is what it is for a list of rows."""
    table = delivered(given_rows)
    places = st.integers(0, max(0, len(given_rows) - 1))
    wanted = data.draw(st.lists(places, max_size=8 if given_rows else 0))
    taken = Columns.of(table).take(np.array(wanted, np.int64))
    assert taken.table().to_pylist() == [Columns.of(table).table().to_pylist()[w] for w in wanted]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.tuples(keys, st.booleans()), max_size=4), max_size=6))
def test_kept_keys_stay_with_their_record(held):
    """Choosing keys shortens lists and moves none."""
    counts = [len(one) for one in held]
    lists = Lists(
        np.concatenate(([0], np.cumsum(np.array(counts, np.int64)))).astype(np.int64),
        np.array([key for one in held for key, _ in one], np.int64),
    )
    assert lists.counts().tolist() == counts
    assert lists.rows().tolist() == [row for row, count in enumerate(counts) for _ in range(count)]
    kept = lists.kept(np.array([chosen for one in held for _, chosen in one], np.bool_))
    expected = [[key for key, chosen in one if chosen] for one in held]
    starts = kept.starts.tolist()
    assert [kept.keys[a:b].tolist() for a, b in pairwise(starts)] == expected


def test_a_slice_of_a_table_gives_its_own_lists():
    """A slice's lists start in the middle of the table's keys; records keep their own."""
    whole = delivered([{"phones": [1, 2]}, {"phones": [3]}, {"phones": [4, 5]}])
    part = Columns.of(whole.slice(1))
    assert part.lists["phones"].keys.tolist() == [3, 4, 5]
    assert part.lists["phones"].starts.tolist() == [0, 1, 3]


def test_a_missing_list_is_an_empty_one():
    """A null list, as a query may give, is read as empty."""
    phones = pa.array([None, [5]], pa.list_(pa.int64()))
    columns = Columns.of(pa.table({"id": [1, 2], "phones": phones}))
    assert columns.lists["phones"].counts().tolist() == [0, 1]


def test_records_are_put_in_the_order_of_their_ids():
    """Columns that are ascending already are left as they are."""
    columns = Columns.of(delivered([{"name": 4}, {"name": 5, "phones": [6]}]))
    assert columns.ascending() is columns
    turned = columns.take(np.array([1, 0]))
    assert turned.ascending().table().to_pylist() == columns.table().to_pylist()
    assert len(turned) == 2


near_keys = st.lists(
    st.one_of(st.integers(0, 5), keys, st.integers(0, 3).map(lambda low: 2**62 + low)), max_size=40
)


@settings(max_examples=200, deadline=None)
@given(near_keys)
def test_the_fast_order_is_the_stable_one(some):
    """Sorting leading bits together with the place orders keys as a stable sort does."""
    given_keys = np.array(some, np.int64)
    assert ordered(given_keys).tolist() == np.argsort(given_keys, kind="stable").tolist()
    assert distinct(given_keys).tolist() == sorted(set(some))
