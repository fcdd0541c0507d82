"""From blocking keys to pairs of records, for many records at once.

Pairs are places in the columns, so that equal records in equal order give equal pairs. All
sorting is by whole keys: its time grows as n log n, and what is held is a few integers a key.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from identity.blocking import MOST, RULES, Rule, keys_under
from identity.columns import Columns, Ints, distinct, ordered


def candidates(columns: Columns, threads: int = 1) -> tuple[Ints, Ints]:
    """Every candidate pair once, in order: the pairs that share a block of at most ``MOST``.

    Args:
        columns: features as ``identity.sharing.judged`` gives them, ``ids`` ascending.
        threads: rules that are worked at side by side.

    Returns:
        Places left, right; left < right. Shape (pairs,) each.
    """
    with ThreadPoolExecutor(threads) as pool:
        met = list(pool.map(partial(_met, columns), RULES))
    pairs = distinct(np.concatenate(met))
    return pairs // len(columns), pairs % len(columns)


def _met(columns: Columns, rule: Rule) -> Ints:
    """The pairs of one rule, each as one number: left * records + right."""
    row, key = keys_under(rule, columns)
    order = ordered(key)
    key, row = key[order], row[order]
    starts, sizes = blocks(key)
    useful = (sizes > 1) & (sizes <= MOST)
    starts, sizes = starts[useful], sizes[useful]
    # Where a record stands in its block, counted from the end: so many pairs begin with it.
    after = np.repeat(starts + sizes, sizes)
    here = np.arange(len(after)) + np.repeat(starts - (np.cumsum(sizes) - sizes), sizes)
    found = [np.zeros(0, np.int64)]
    for step in range(1, int(sizes.max(initial=1))):
        inside = here + step < after
        here, after = here[inside], after[inside]
        one, other = row[here], row[here + step]
        found.append(np.minimum(one, other) * len(columns) + np.maximum(one, other))
    return distinct(np.concatenate(found))


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
