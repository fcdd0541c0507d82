"""Packing keyed features; invariants of `identity/features.py`."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity import features
from identity.errors import FeatureVersionError

keys = st.integers(1, 2**63 - 1)
records = st.fixed_dictionaries(
    {},
    optional={
        feature.name: st.lists(keys, max_size=6) if feature.several else keys
        for feature in features.FEATURES
    },
)


def unpacked(blobs):
    return features.unpack(list(range(1, len(blobs) + 1)), blobs)


@settings(max_examples=80, deadline=None)
@given(st.lists(records, max_size=6))
def test_unpacking_gives_back_what_was_packed(rows):
    """Invariant 3: packing is exact, but that lists come back sorted and each key once."""
    table = unpacked([features.pack(row) for row in rows]).to_pylist()
    for number, (row, back) in enumerate(zip(rows, table, strict=True), 1):
        assert back.pop("id") == number
        for name, value in back.items():
            given = row.get(name)
            assert value == (sorted(set(given or ())) if isinstance(value, list) else given), name


@settings(max_examples=30, deadline=None)
@given(st.lists(records, min_size=2, max_size=6))
def test_a_record_packs_alike_in_any_company(rows):
    """What is unpacked of a record does not depend on the records beside it."""
    blobs = [features.pack(row) for row in rows]
    alone = [unpacked([blob]).drop(["id"]).to_pylist()[0] for blob in blobs]
    assert unpacked(blobs).drop(["id"]).to_pylist() == alone


def test_every_column_is_an_integer_or_a_list_of_integers():
    """Invariant 1: no column of a feature table can hold text."""
    schema = unpacked([features.pack({"name": 1})]).schema
    assert schema.names == ["id", *features.SINGLE, *features.MULTIPLE]
    for column in schema:
        assert column.type in {pa.int64(), pa.list_(pa.int64())}, column.name
        assert (column.type == pa.list_(pa.int64())) == (column.name in features.MULTIPLE)


def test_no_records_give_an_empty_table_of_the_same_columns():
    """Before the first record there is a table to resolve, with nothing in it."""
    empty, one = unpacked([]), unpacked([features.pack({})])
    assert empty.num_rows == 0
    assert empty.schema == one.schema
    assert pa.concat_tables([empty, one]).num_rows == 1


def test_a_record_without_features_packs_to_nothing_told():
    """Missing is null, and a list without keys is empty."""
    (row,) = unpacked([features.pack({})]).to_pylist()
    assert {row[name] for name in features.SINGLE} == {None}
    assert all(row[name] == [] for name in features.MULTIPLE)


def test_a_list_beyond_the_limit_is_cut_the_same_way_every_time():
    """Of too many keys the smallest stay, whatever the order they came in."""
    many = list(range(1, features.MAX_KEYS + 50))
    blob = features.pack({"phones": many, "accounts": [7]})
    assert features.pack({"phones": many[::-1], "accounts": [7, 7]}) == blob
    (row,) = unpacked([blob]).to_pylist()
    assert row["phones"] == many[: features.MAX_KEYS]
    assert row["accounts"] == [7]


FULL = features.pack({"name": 5, "phones": [1, 2], "accounts": [3]})
SOUND = features.pack({"name": 6})


@pytest.mark.parametrize(
    "broken",
    [
        bytes([features.VERSION + 1]) + FULL[1:],
        bytes([0]) + FULL[1:],
        FULL[:-1],
        FULL[:-8],
        FULL[:40],
        FULL[:1],
        b"",
        FULL + b"\0",
        FULL + bytes(8),
        FULL + FULL,
        FULL[:1] + bytes([9]) + FULL[2:],
    ],
    ids=[
        "newer", "older", "byte cut", "key cut", "short", "version only", "empty",
        "byte more", "key more", "twice", "count changed",
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", [0, 1, 2])
def test_what_is_of_another_version_or_damaged_is_refused_by_name(broken, place):
    """Invariant 2: nothing is guessed, and the error names the record and the next step."""
    blobs = [SOUND, SOUND]
    blobs.insert(place, broken)
    with pytest.raises(FeatureVersionError, match="record 7") as caught:
        features.unpack([7 if at == place else 100 + at for at in range(3)], blobs)
    assert caught.value.record_id == 7
    assert "sync" in str(caught.value)
    with pytest.raises(FeatureVersionError, match="record 7"):
        features.unpack_one(7, broken)


@settings(max_examples=60, deadline=None)
@given(records, st.data())
def test_no_blob_of_another_length_is_taken(row, data):
    """Invariant 2: cut or lengthened anywhere, a record is refused."""
    blob = features.pack(row)
    size = data.draw(st.integers(0, len(blob) + 20).filter(lambda size: size != len(blob)))
    changed = (blob + bytes(20))[:size]
    with pytest.raises(FeatureVersionError, match="record 1"):
        unpacked([changed])
    with pytest.raises(FeatureVersionError, match="record 1"):
        features.unpack_one(1, changed)


def test_feature_names_are_columns_of_their_own():
    """A name declared twice would hide one of the two."""
    names = [feature.name for feature in features.FEATURES]
    assert len(set(names)) == len(names)
    assert all(name.isidentifier() and feature.about for name, feature in zip(
        names, features.FEATURES, strict=True
    ))  # fmt: skip
