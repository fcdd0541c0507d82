"""Integers for one run; invariants of `cdp/vault/fresh.py`."""

import pickle

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from cdp.vault import primitives
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
    with pytest.raises(TypeError, match=r"^fresh keys cannot be pickled; they end with the run$"):
        pickle.dumps(keys)
    assert (keys.keys(SOME) == FreshKeys(bytes).keys(SOME)).all()


def test_an_integer_becomes_the_upper_63_bits_of_its_block():
    """AES-256 of the integer and eight zero bytes, least significant first; half of it, halved."""
    key = bytes(range(32))
    for integer in (1, 2**40 + 7, 2**63 - 1):
        running = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305
        block = running.update(integer.to_bytes(8, "little") + bytes(8))
        fresh = FreshKeys(lambda _: key).keys(np.array([integer], np.int64))
        assert fresh.tolist() == [int.from_bytes(block[:8], "little") >> 1]
        assert fresh.dtype == np.int64


def test_no_integer_becomes_none(monkeypatch):
    """Above 0: a block that would give 0 gives 1, and 1 stays 1."""
    blocks = (0).to_bytes(16, "little") + (2).to_bytes(16, "little") + (4).to_bytes(16, "little")
    monkeypatch.setattr(primitives, "permuted", lambda *_: blocks)
    assert FreshKeys().keys(np.array([7, 8, 9], np.int64)).tolist() == [1, 1, 2]
