"""What chance does: how often two records of different people agree, and on which values.

All pairs are counted, and the pairs of one person taken out again: of every compared pair
its probability to match, as the epoch under way gives it. What is left are strangers:

* u of a level = (pairs that reach it - expected matches that do) / (the same of all levels).
* The frequency of a value = 2 (pairs that hold it - expected matches that do) / (its holders *
  all holders): of one holder's chance that another record, of somebody else, holds it too.
  Without duplicates that is its share of the records. A value that only the records of one
  person hold, however many they are, is as rare as one that a single record holds.

Pairs that no blocking rule brings together count as strangers; the few matches among them
are those that nothing would find.

Source: Fellegi & Sunter (1969), "A Theory for Record Linkage", section 3.3.1, on frequencies;
u as a mean over pairs weighed by 1 - p is the maximisation step of Dempster, Laird & Rubin
(1977).
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from identity.all_pairs import AllPairs, Places
from identity.chance import Counted, count
from identity.columns import Bools, Columns, Ints
from identity.comparisons import COMPARISONS, MISSING
from identity.pairs import Floats

LEAST_SEEN = 3  # a value held by fewer records has the floor frequency
SMOOTHING = 0.5  # pairs added to every level, so that nothing is impossible
FREQUENT = tuple(
    sorted({level.frequency_of for c in COMPARISONS for level in c.levels if level.frequency_of})
)
BYTES = 2 * 4 * len(FREQUENT)  # of a compared pair, at most: see _Held.pairs


@dataclass(frozen=True, slots=True)
class Told:
    """Expected pairs of one comparison by level, best first. Shape (levels,) each.

    Attributes:
        strangers: pairs of two people.
        matches: compared pairs of one person, among the same records.
    """

    strangers: Floats
    matches: Floats

    @property
    def u(self) -> Floats:
        """The share of each level among strangers."""
        counted = self.strangers + SMOOTHING
        share: Floats = counted / counted.sum()
        return share


@dataclass(frozen=True, slots=True)
class _Held:
    """The values of a feature.

    Attributes:
        keys: ascending. Shape (values,).
        times: how many records hold each. Shape (values,).
        pairs: the compared pairs whose two records hold one value, and the place of that value.
            They are the same whatever an epoch says. Shape (such pairs,) each.
    """

    keys: Ints
    times: Ints
    pairs: tuple[Places, Places]


class Strangers:
    """The counts of one set of records. They do not change while an epoch is learnt."""

    def __init__(self, person: Columns, compared: AllPairs, threads: int = 1) -> None:
        """Count all pairs.

        Args:
            person: features as ``identity.sharing.judged`` gives them.
            compared: the candidate pairs of these records.
            threads: comparisons, and features, that are counted side by side.
        """
        self._person, self._compared = person, compared
        with ThreadPoolExecutor(threads) as pool:
            counted = pool.map(partial(count, person), COMPARISONS)
            held = pool.map(partial(_held, compared), (person.singles[one] for one in FREQUENT))
            self._counted: Mapping[str, Counted] = {
                one.name: found for one, found in zip(COMPARISONS, counted, strict=True)
            }
            self._held = dict(zip(FREQUENT, held, strict=True))

    def told(self, p: Floats | None = None) -> dict[str, Told]:
        """Levels of strangers and of matches, per comparison.

        Args:
            p: probability of each compared pair to match; None while nobody knows.
        """
        found = {}
        for place, comparison in enumerate(COMPARISONS):
            one = self._counted[comparison.name]
            matches: Floats = np.zeros(len(comparison.levels))
            if p is not None:
                levels = self._compared.levels[:, place]
                here = np.flatnonzero((levels != MISSING) & self._among(one.drawn))
                matches = _summed(levels[here], p[here], len(matches))[::-1]
            found[comparison.name] = Told(one.pairs - matches, matches)
        return found

    def _among(self, drawn: Ints | None) -> Bools:
        """Which compared pairs are of drawn records."""
        inside = np.full(len(self._person), drawn is None)
        if drawn is not None:
            inside[drawn] = True
        among: Bools = inside[self._compared.left] & inside[self._compared.right]
        return among

    def frequencies(self, p: Floats | None = None) -> dict[str, dict[int, float]]:
        """Per feature the frequency of each value that is not rare; key 0 holds that of the rest.

        Args:
            p: probability of each compared pair to match; None while nobody knows.
        """
        return {
            feature: _frequencies(held, _matches(held, p), len(self._person))
            for feature, held in self._held.items()
        }


def _summed(places: npt.NDArray[np.integer], p: Floats, size: int) -> Floats:
    """The sum of p at each of ``size`` places, added in the order of the pairs."""
    return np.bincount(places, weights=p, minlength=size).astype(np.float64)


def _held(compared: AllPairs, keys: Ints) -> _Held:
    values, times = np.unique(keys[keys != 0], return_counts=True)
    left = keys[compared.left]
    here = np.flatnonzero((left == keys[compared.right]) & (left != 0))
    value = np.searchsorted(values, left[here])
    return _Held(values, times, (here.astype(np.int32), value.astype(np.int32)))


def _matches(held: _Held, p: Floats | None) -> Floats:
    """Expected matches that hold each value on both sides. Shape (values,)."""
    if p is None:
        return np.zeros(len(held.keys))
    here, value = held.pairs
    return _summed(value, p[here], len(held.keys))


def _frequencies(held: _Held, matches: Floats, records: int) -> dict[int, float]:
    total = int(held.times.sum()) or records
    rare = held.times[held.times < LEAST_SEEN]
    # Rare values share one frequency: how often such a value is met on average.
    floor = float(rare.mean()) / total if len(rare) else 1 / total
    pairs = held.times * (held.times - 1) / 2 - matches
    shares = 2 * pairs / (held.times * total)
    known = (held.times >= LEAST_SEEN) & (shares > floor)
    rounded = (float(f"{share:.6g}") for share in shares[known].tolist())
    return {0: float(f"{floor:.6g}"), **dict(zip(held.keys[known].tolist(), rounded, strict=True))}
