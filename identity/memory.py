"""How much memory a full run needs, known before it takes it.

Nothing of identity may touch a disk, so what does not fit cannot be swapped out: it is
refused, with what it needs. The limit is that of ``Limits.memory_mb`` and counts what a run
adds to the process: the records as they were handed over, their features as columns, the
candidate pairs, and what is worked on. More room makes larger slices and never another
answer.

Bytes per record and per pair are measured, see ``tests/unit/identity/test_memory.py``.
"""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from identity.all_pairs import BYTES
from identity.columns import Columns
from identity.duckdb_engine import Limits
from identity.errors import NotEnoughMemoryError
from identity.scorer import AT_ONCE
from identity.strangers import BYTES as STRANGERS

MB = 1_000_000
BASE = 16 * MB  # threads, and what libraries load on the way
OF_A_RECORD = 300  # bytes: order, components, who is one person
OF_A_KEY = 160  # bytes of a blocking key while its rule is worked at
OF_A_CANDIDATE = 8 + 8 + BYTES + 24  # bytes: as one number, weight and level numbers, and in work
OF_A_WORKED_PAIR = 700  # bytes of a pair while it is compared
OF_A_KEPT_PAIR = 3 * 180  # bytes of a pair that clustering is given, three times at most
LEARNING = 120 * MB  # random pairs and the pairs of a training rule
EM = 60 * MB  # the least that DuckDB estimates m in
FEWEST_AT_ONCE = 2_000  # pairs, or keys; fewer are too slow
MOST_KEYS = 2_000_000  # at once: more would only be more memory


@dataclass(frozen=True, slots=True)
class Room:
    """What is left of the limit for what a run works on.

    Attributes:
        limits: of the run.
        held: bytes that the records take as long as the run lasts.
    """

    limits: Limits
    held: int

    @classmethod
    def beside(cls, table: pa.Table, columns: Columns, limits: Limits) -> "Room":
        """The room beside these records, once as they came and once as columns."""
        # A list of a table and of its columns is the same memory, and judging copies phones.
        return cls(limits, table.nbytes + owned(columns) + OF_A_RECORD * len(columns))

    @property
    def left(self) -> int:
        """Bytes."""
        return self.limits.memory_mb * MB - BASE - self.held

    def keys_at_once(self) -> int:
        """Blocking keys that each thread may work at.

        Raises:
            NotEnoughMemoryError: the records themselves leave too little.
        """
        return self._at_once(0, OF_A_KEY, MOST_KEYS)

    def pairs_at_once(self, pairs: int) -> int:
        """Pairs that each thread may compare, with so many candidates held.

        Raises:
            NotEnoughMemoryError: the candidates leave too little.
        """
        return self._at_once(pairs * OF_A_CANDIDATE, OF_A_WORKED_PAIR, AT_ONCE)

    def require(self, pairs: int, kept: int) -> None:
        """Refuse to go on where the pairs that clustering needs do not fit.

        Raises:
            NotEnoughMemoryError: see there.
        """
        self._refuse(pairs * BYTES + kept * OF_A_KEPT_PAIR)

    def for_learning(self, pairs: int) -> Limits:
        """The limits of EM: what learning leaves, with so many candidates held.

        Raises:
            NotEnoughMemoryError: it leaves too little.
        """
        needed = pairs * (OF_A_CANDIDATE + STRANGERS) + LEARNING
        self._refuse(needed + EM)
        return replace(self.limits, memory_mb=(self.left - needed) // MB)

    def _at_once(self, needed: int, each: int, most: int) -> int:
        threads = self.limits.threads
        self._refuse(needed + threads * FEWEST_AT_ONCE * each)
        return min(most, (self.left - needed) // (threads * each))

    def _refuse(self, needed: int) -> None:
        if needed > self.left:
            whole = self.limits.memory_mb * MB - self.left + needed
            raise NotEnoughMemoryError(self.limits.memory_mb, -(-whole // MB))


def side_by_side(left: Limits) -> tuple[int, Limits]:
    """How many training rules may be learnt at once, and the limits of each.

    Args:
        left: what learning leaves, as ``Room.for_learning`` gives it: room for one rule.
    """
    memory = left.memory_mb * MB
    rules = max(1, min(left.threads, (memory + LEARNING) // (EM + LEARNING)))
    each = (memory - (rules - 1) * LEARNING) // rules
    return rules, Limits(each // MB, left.threads // rules)


def owned(columns: Columns) -> int:
    """The bytes of arrays that belong to the columns alone, each counted once."""
    arrays = [*columns.singles.values()]
    for lists in columns.lists.values():
        arrays += [lists.starts, lists.keys]
    mine = {id(array): array for array in arrays if array.flags.owndata}
    return int(np.sum([array.nbytes for array in mine.values()]))
