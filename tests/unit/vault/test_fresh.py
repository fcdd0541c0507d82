"""Integers for one run; invariants of `cdp/vault/fresh.py`."""

import pickle

import numpy as np
import pytest

from cdp.vault.fresh import FreshKeys

SOME = np.array([1, 2, 3, 2**62, 2**63 - 1, 2], np.int64)


def test_equal_integers_stay_equal_and_others_stay_apart():
    """Invariant 1: within a run, integers are equal exactly if they were."""
    keys = FreshKeys()
    fresh = keys.keys(SOME)
    assert (fresh > 0).all()
    assert fresh[1] == fresh[5]
    assert len(set(fresh.tolist())) == 5
    assert (keys.keys(SOME) == fresh).all()


def test_two_runs_have_no_integer_in_common():
    """Invariant 2: another run gives others, and none is what went in."""
    one, other = FreshKeys().keys(SOME), FreshKeys().keys(SOME)
    assert not np.isin(one, other).any()
    assert not np.isin(one, SOME).any()


def test_the_key_is_drawn_and_never_shown():
    """Invariant 3: the key comes from the randomness given, and neither prints nor pickles."""
    drawn = []

    def draw(size):
        drawn.append(size)
        return bytes(size)

    keys = FreshKeys(draw)
    assert drawn == [32]
    assert repr(keys) == "<fresh keys>"
    with pytest.raises(TypeError, match="end with the run"):
        pickle.dumps(keys)
    assert (keys.keys(SOME) == FreshKeys(bytes).keys(SOME)).all()
