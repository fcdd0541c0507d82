"""Integers under a key that lives as long as one run: for what must leave the house.

1. Equal integers give equal ones within a run, so that they can still be compared.
2. Two runs give unrelated integers, and neither can be held against what is stored.
3. The key is never written down: when the run ends, nobody can undo it.
"""

from typing import NoReturn

import numpy as np
import numpy.typing as npt

from cdp.vault import primitives
from cdp.vault.primitives import Randomness, system_randomness
from cdp.vault.secret import Secret


class FreshKeys:
    """Turn integers into others of 63 bits, above 0, under a random key of its own.

    The result is cut from a permuted block of 128 bits. That two of a million integers become
    one has a chance below one in ten million; it is the same for features themselves.
    """

    __slots__ = ("_secret",)

    def __init__(self, randomness: Randomness = system_randomness) -> None:
        self._secret = Secret(randomness(primitives.KEY_BYTES))

    def keys(self, integers: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return each integer's form of this run. Shape (integers,)."""
        blocks = np.zeros((len(integers), 2), "<i8")
        blocks[:, 0] = integers
        permuted = np.frombuffer(primitives.permuted(self._secret, blocks.tobytes()), "<u8")
        fresh: npt.NDArray[np.int64] = (permuted[::2] >> np.uint64(1)).astype(np.int64)
        return np.maximum(fresh, 1)

    def __repr__(self) -> str:
        return "<fresh keys>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("fresh keys cannot be pickled; they end with the run")
