"""Features and epochs under another key: the same but for the keys."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity import features
from identity.columns import Ints
from identity.errors import FeatureVersionError, ModelVersionError
from identity.features import MULTIPLE, SINGLE, pack, rekeyed, unpack
from identity.model import Model
from identity.sharing import LIMIT, counted_key
from tests.unit.identity.test_model import made_up

KEYS = st.integers(1, 2**63 - 1)
RECORDS = st.lists(
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(SINGLE, KEYS)
        | {name: st.lists(KEYS, max_size=5) for name in MULTIPLE},
    ),
    max_size=5,
)
ODD = 0x5DEECE66D


def change(keys: Ints) -> Ints:
    """One to one over 63 bits: an odd factor, and some bits turned."""
    mixed = (keys.astype(np.uint64) * np.uint64(ODD)) & np.uint64(2**63 - 1)
    return (mixed ^ np.uint64(0x123456789)).astype(np.int64)


def one(key: int) -> int:
    return int(change(np.array([key], np.int64))[0])


@given(records=RECORDS)
def test_only_keys_change(records: list[dict[str, int | list[int]]]) -> None:
    """Every key becomes another one, in its feature and record; lists stay ascending."""
    blobs = [pack(record) for record in records]
    ids = list(range(len(blobs)))
    before = unpack(ids, blobs).to_pylist()
    after = unpack(ids, rekeyed(ids, blobs, change)).to_pylist()
    for was, now in zip(before, after, strict=True):
        for name in SINGLE:
            assert now[name] == (None if was[name] is None else one(was[name]) or None)
        for name in MULTIPLE:
            told = [one(key) for key in was[name]]
            if name == "counted":
                told = [
                    counted_key(new, old & LIMIT) for new, old in zip(told, was[name], strict=True)
                ]
            assert now[name] == sorted(told)


@given(records=RECORDS)
def test_packing_again_gives_the_same_bytes(records: list[dict[str, int | list[int]]]) -> None:
    """What is rekeyed is packed as if it had been derived so; nothing changed gives the blob."""
    blobs = [pack(record) for record in records]
    ids = list(range(len(blobs)))
    assert rekeyed(ids, blobs, lambda keys: keys) == blobs


def test_what_cannot_be_read_is_refused() -> None:
    """A blob of another version, or a damaged one, is named by its record."""
    blob = pack({"name": 5})
    for wrong in (b"", blob[:-8], bytes([features.VERSION + 1]) + blob[1:]):
        with pytest.raises(FeatureVersionError, match="record 12"):
            rekeyed([11, 12], [blob, wrong], change)
    assert rekeyed([], [], change) == []


def test_an_epoch_says_which_key_it_is_of() -> None:
    """Frequencies keep their shares under other keys; the first version is not written down."""
    first: Model = made_up()
    assert "feature_key" not in first.to_json()
    second = first.rekeyed(2, lambda keys: [one(key) for key in keys])
    assert second.frequencies == {
        "name": {one(9): 0.25, 0: 0.01, one(2**62): 0.5},
        "city": {0: 0.5},
    }
    assert second.to_json()["feature_key"] == 2
    assert Model.from_json(json.loads(second.to_text())) == second
    assert replace(second, frequencies=first.frequencies, feature_key=1) == first


@pytest.mark.parametrize("wrong", [0, -1, True, "2", None])
def test_a_version_that_is_none_is_refused(wrong: object) -> None:
    """An epoch whose key version cannot be read is damaged."""
    with pytest.raises(ModelVersionError):
        Model.from_json({**made_up().to_json(), "feature_key": wrong})
