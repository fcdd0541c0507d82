"""From blocking keys to pairs of records, for many records at once.

Pairs are places in the columns, so that equal records in equal order give equal pairs. All
sorting is by whole keys: its time grows as n log n, and what is held is a few integers a key.
Of many keys some are worked at after others, divided by what they are: so no block is torn,
and the pairs are the same.
"""

from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

import numpy as np
import numpy.typing as npt

from identity.blocking import MOST, RULES, Rule, keys_under
from identity.columns import Columns, Ints, distinct, ordered

Places = npt.NDArray[np.int32]
AT_ONCE = 1_000_000  # pairs that are made before they are sorted into the others


def candidates(
    columns: Columns, threads: int = 1, keys_at_once: int | None = None
) -> tuple[Places, Places]:
    """Every candidate pair once, in order: the pairs that share a block of at most ``MOST``.

    Args:
        columns: features as ``identity.sharing.judged`` gives them, ``ids`` ascending.
        threads: rules that are worked at side by side.
        keys_at_once: about so many keys of a rule are sorted together; None for all. The
            answer does not depend on it.

    Returns:
        Places left, right; left < right. Shape (pairs,) each.
    """
    work = [
        (rule, part, parts)
        for rule in RULES
        for parts in (_parts(rule, columns, keys_at_once),)
        for part in range(parts)
    ]
    found = _Union()
    with ThreadPoolExecutor(threads) as pool:
        begun: set[Future[Ints]] = set()
        for one in work:
            # No more is begun than can be taken in: what waits takes memory.
            if len(begun) == threads:
                ended, begun = wait(begun, return_when=FIRST_COMPLETED)
                for codes in ended:
                    found.add(codes.result())
                del ended, codes
            begun.add(pool.submit(_met, columns, one))
        for codes in begun:
            found.add(codes.result())
    pairs = found.all()
    left = (pairs // len(columns)).astype(np.int32) if len(pairs) else np.zeros(0, np.int32)
    pairs %= max(1, len(columns))
    return left, pairs.astype(np.int32)


class _Union:
    """Pairs of many rules, each once."""

    def __init__(self) -> None:
        self._known: Ints = np.zeros(0, np.int64)
        self._more: list[Ints] = []
        self._waiting = 0

    def add(self, pairs: Ints) -> None:
        """Take pairs in; they are sorted in once they are as many as those that are known."""
        self._more.append(pairs)
        self._waiting += len(pairs)
        if self._waiting > max(len(self._known), AT_ONCE):
            self.all()

    def all(self) -> Ints:
        """Every pair, ascending."""
        held = [self._known, *self._more]
        self._known, self._more, self._waiting = held[0], [], 0
        if len(held) > 1:
            both = np.concatenate(held)
            held.clear()
            self._known = _each(both)
        return self._known


def _each(keys: Ints) -> Ints:
    """The keys ascending and each once, sorted where they lie."""
    keys.sort()
    fresh: Ints = keys[np.concatenate((keys[:1] == keys[:1], keys[1:] != keys[:-1]))]
    return fresh


def _parts(rule: Rule, columns: Columns, keys_at_once: int | None) -> int:
    """Into how many parts the keys of a rule are divided."""
    if keys_at_once is None:
        return 1
    keys = len(columns.lists[rule.each].keys) if rule.each else len(columns)
    return max(1, -(-keys // keys_at_once))


def _keys(columns: Columns, rule: Rule, part: int, parts: int) -> tuple[Ints, Ints]:
    """The records and their keys under a rule, of the keys that belong to a part."""
    if parts == 1:
        return keys_under(rule, columns)
    found = []
    step = -(-len(columns) // parts)
    for start in range(0, len(columns), step):
        row, key = keys_under(rule, columns.between(start, start + step))
        here = key % parts == part  # equal keys are of one part, so no block is torn
        found.append((row[here] + start, key[here]))
    return np.concatenate([row for row, _ in found]), np.concatenate([key for _, key in found])


def _met(columns: Columns, work: tuple[Rule, int, int]) -> Ints:
    """The pairs of one part of one rule, each as one number: left * records + right."""
    row, key = _keys(columns, *work)
    order = ordered(key)
    key, row = key[order], row[order]
    starts, sizes = blocks(key)
    useful = (sizes > 1) & (sizes <= MOST)
    starts, sizes = starts[useful], sizes[useful]
    found = _Union()
    for some in _slices(sizes):
        found.add(_pairs(row, starts[some], sizes[some], len(columns)))
    return found.all()


def _slices(sizes: Ints) -> Iterator[slice]:
    """Blocks with about ``AT_ONCE`` pairs among them, one slice after another."""
    pairs = np.cumsum(sizes * (sizes - 1) // 2)
    start = 0
    while start < len(sizes):
        before = int(pairs[start - 1]) if start else 0
        end = max(start + 1, int(np.searchsorted(pairs, before + AT_ONCE, side="right")))
        yield slice(start, end)
        start = end


def _pairs(row: Ints, starts: Ints, sizes: Ints, records: int) -> Ints:
    """The pairs of these blocks, each as one number."""
    # Where a record stands in its block, counted from the end: so many pairs begin with it.
    after = np.repeat(starts + sizes, sizes)
    here = np.arange(len(after)) + np.repeat(starts - (np.cumsum(sizes) - sizes), sizes)
    found = [np.zeros(0, np.int64)]
    for step in range(1, int(sizes.max(initial=1))):
        inside = here + step < after
        here, after = here[inside], after[inside]
        one, other = row[here], row[here + step]
        found.append(np.minimum(one, other) * records + np.maximum(one, other))
    return np.concatenate(found)


def blocks(keys: Ints) -> tuple[Ints, Ints]:
    """Where each block of equal, sorted keys starts, and how many keys it has."""
    starts = np.flatnonzero(np.concatenate((keys[:1] == keys[:1], keys[1:] != keys[:-1])))
    return starts, np.diff(starts, append=len(keys))


def sample(row: Ints, key: Ints, most: int, generator: np.random.Generator) -> tuple[Ints, Ints]:
    """Pairs of records with an equal key: all of them, or about ``most`` drawn at random.

    Args:
        row: places of records, ascending. Shape (keys,).
        key: their keys.
        most: pairs.
        generator: draws; equal keys and an equal seed give equal pairs.

    Returns:
        Places left, right; left < right. Shape (pairs,) each.
    """
    order = ordered(key)
    row = row[order]
    starts, sizes = blocks(key[order])
    ends = np.cumsum(sizes * (sizes - 1) // 2)
    total = int(ends[-1]) if len(ends) else 0
    drawn = np.arange(total) if total <= most else distinct(generator.integers(0, total, most))
    block = np.searchsorted(ends, drawn, side="right")
    number = drawn - (ends - sizes * (sizes - 1) // 2)[block]
    # Pairs of a block are numbered (0,1), (0,2), (1,2), (0,3), ...; solve for the larger.
    high = ((1 + np.sqrt(1 + 8 * number.astype(np.float64))) / 2).astype(np.int64)
    high -= high * (high - 1) // 2 > number
    high += high * (high + 1) // 2 <= number
    low = number - high * (high - 1) // 2
    return row[starts[block] + low], row[starts[block] + high]
