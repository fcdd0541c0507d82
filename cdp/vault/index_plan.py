"""How many people a look-up by an index meets, and what its stored values tell a thief.

Pure arithmetic over counts; no key and no value is seen. Promises, each with a test in
``tests/unit/vault/test_index_plan.py`` that names it:

1. More bits never give more candidates, and never fewer people than share the value.
2. The predicted mean is that of drawn data, and the worst case holds for all index values
   together in 99 of 100 draws of the key.
3. An index whose largest group stands out among the others is refused, unless its groups are
   as small as chance and families make them.
4. What may never be indexed is refused whatever the counts say.

The words: *holders* are the people counted (a record that is nobody's yet is one). *Coincidences*
are holders of other values under the same truncated index value. Sizing a truncated index by its
expected coincidences is the idea of CipherSweet's blind index planner (Paragon Initiative
Enterprises, "Blind Index Planning", https://ciphersweet.paragonie.com/php/blind-index-planning):
at least 2, fewer than the square root of all rows. That counts values as if all were equally
frequent; here the frequencies count, because names are not.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from connectors.index_parts import FULL_BITS, IndexDefinition, fault

MOST_MEAN: Final = 100.0  # candidates of a query; each one is opened, and is an audit event
MOST_ALIKE: Final = 5  # holders of one value that families, namesakes and chance explain
HIDDEN_WITHIN: Final = 3.0  # standard deviations of what coincidence adds to a group
FEWEST_COINCIDENCES: Final = 2.0
_MOST_RANKS: Final = 1_000_000  # of a Zipf distribution that is summed term by term
_UNSURE: Final = 0.01  # the chance that the worst case is exceeded


@dataclass(frozen=True, slots=True)
class Spread:
    """How the values of an index, or of one part, are spread over people.

    Attributes:
        holders: people who have a value.
        distinct: values that somebody has.
        largest: holders of the most frequent value.
        collision: the chance that two different holders have the same value.
        alone: holders whose value nobody else has.
        entropy: of the value of a random holder, bits (Shannon).
    """

    holders: int
    distinct: int
    largest: int
    collision: float
    alone: float
    entropy: float

    @classmethod
    def of_counts(cls, counts: Iterable[int]) -> "Spread":
        """Count exactly: how many people hold each value."""
        held = np.array([count for count in counts if count > 0], np.float64)
        total = float(held.sum())
        if not total:
            return cls(0, 0, 0, 0.0, 0.0, 0.0)
        pairs = float((held * (held - 1)).sum())
        shares = held / total
        return cls(
            int(total),
            len(held),
            int(held.max()),
            pairs / (total * (total - 1)) if total > 1 else 0.0,
            float((held == 1).sum()),
            float(-(shares * np.log2(shares)).sum()) + 0.0,
        )

    @classmethod
    def expected(cls, holders: int, distinct: int, top_share: float | None = None) -> "Spread":
        """Expect from two numbers: all values equally frequent, or as Zipf's law has them.

        ``top_share`` is the share of the most frequent value; the exponent of the law is
        found that gives it. Surnames and cities follow it roughly. Of more than a million
        values with a ``top_share``, a million are reckoned with: they collide rather too often.
        """
        ranks = min(distinct, _MOST_RANKS)
        return _drawn(holders, _zipf(ranks, top_share), distinct if top_share is None else ranks)

    @classmethod
    def combined(cls, parts: Sequence["Spread"]) -> "Spread":
        """Expect that of a compound whose parts know nothing of each other.

        Parts that go together (a city and its phone area) collide more often than this says:
        measure where there is data.
        """
        fewest = min(parts, key=lambda part: part.holders)
        holders = fewest.holders
        if len(parts) == 1 or not holders:
            return fewest
        possible = math.prod(part.distinct for part in parts)
        collision = math.prod(part.collision for part in parts)
        top = holders * math.prod(part.top_share for part in parts)
        # As many values as if all collided equally often: Simpson's effective number.
        alike = min(float(possible), 1 / collision) if collision else float(possible)
        return cls(
            holders,
            max(1, round(_occupied(holders, alike))),
            min(holders, _largest_of_poisson(top, holders)),
            collision,
            holders * math.exp(-(holders - 1) / alike),
            min(math.log2(holders), sum(part.entropy for part in parts)),
        )

    @property
    def top_share(self) -> float:
        """The share of the most frequent value, less what chance adds to the largest of many."""
        if not self.holders:
            return 0.0
        sure = self.largest - 3 * math.sqrt(self.largest)
        return max(1 / self.distinct, sure / self.holders)

    @property
    def squares(self) -> float:
        """The sum over all values of their holders squared."""
        return self.collision * self.holders * (self.holders - 1) + self.holders


@dataclass(frozen=True, slots=True)
class Leakage:
    """What the stored index values tell whoever steals them without the key.

    Attributes:
        alike: holders whose index value somebody else has too.
        largest: holders under the largest index value, expected.
        entropy: bits that an index value tells at most, were its value known to the thief.
        values_behind: different values that people have behind one index value, on average.
        stands_out: the holders of the most frequent value, in standard deviations of what
            the others add to a group by coincidence; infinite without coincidences.
    """

    alike: float
    largest: float
    entropy: float
    values_behind: float
    stands_out: float


@dataclass(frozen=True, slots=True)
class Plan:
    """One index over one spread of values.

    Attributes:
        mean: candidates that a query for a random holder meets, that holder included.
        worst: candidates that no query exceeds (invariant 2).
        coincidences: of the mean, those who have another value.
        refusal: rule and next step; None: it may be built.
    """

    definition: IndexDefinition
    spread: Spread
    mean: float
    worst: int
    coincidences: float
    leakage: Leakage
    refusal: tuple[str, str] | None

    @property
    def advice(self) -> str | None:
        """What could be better about a plan that is allowed."""
        if not self.definition.truncated:
            return None
        if self.coincidences < FEWEST_COINCIDENCES:
            return "fewer than 2 coincidences: it tells who is equal as the full length does"
        if self.coincidences > math.sqrt(self.spread.holders):
            return "more coincidences than the square root of all people: keep more bits"
        return None


def mean_candidates(spread: Spread, bits: int) -> float:
    """Candidates that a query for a random holder meets, on average."""
    if not spread.holders:
        return 0.0
    return 1 + (spread.holders - 1) * (spread.collision + (1 - spread.collision) * 2.0**-bits)


def bits_for(spread: Spread, candidates: float) -> int | None:
    """The bits to keep so that a query meets about so many candidates.

    ``None``: more people than that share a value, truncated or not.
    """
    others = max(1, spread.holders - 1)
    left = ((candidates - 1) / others - spread.collision) / max(1 - spread.collision, 1e-12)
    if left <= 0:
        return None
    return min(FULL_BITS, max(1, round(-math.log2(left))))


def plan(definition: IndexDefinition, spread: Spread) -> Plan:
    """Work out what an index costs and tells, and whether it may be built."""
    mean = mean_candidates(spread, definition.bits)
    leakage = _leakage(definition.bits, spread)
    return Plan(
        definition,
        spread,
        mean,
        _worst(definition.bits, spread),
        (spread.holders - 1) * (1 - spread.collision) * 2.0**-definition.bits
        if spread.holders
        else 0.0,
        leakage,
        fault(definition) or _refusal(definition, spread, mean, leakage),
    )


def best(name: str, parts: tuple[str, ...], spread: Spread) -> Plan:
    """The plan with the most bits that may be built; where none may, the full one, refused.

    Full length where groups are as small as chance makes them; else truncated, first to the
    fewest coincidences that hide equality, then on until the largest group is hidden.
    """
    full = plan(IndexDefinition(name, tuple(sorted(parts)), FULL_BITS), spread)
    if full.refusal is None or fault(full.definition) is not None:
        return full
    most = int(math.log2(max(2.0, (spread.holders - 1) / FEWEST_COINCIDENCES)))
    for bits in range(most, 0, -1):
        found = plan(IndexDefinition(name, full.definition.parts, bits), spread)
        if found.refusal is None:
            return found
    return full


def overlaid(plans: Sequence[Plan]) -> float:
    """How many people are alike in all of these indexes at once, if their parts are independent.

    Whoever steals the table lays the groups of several indexes over each other.
    """
    if not plans:
        return 0.0
    holders = min(one.spread.holders for one in plans)
    share = math.prod((one.mean - 1) / max(1, one.spread.holders - 1) for one in plans)
    return 1 + (holders - 1) * share if holders else 0.0


# ── inside ──────────────────────────────────────────────────────────────────


def _refusal(
    definition: IndexDefinition, spread: Spread, mean: float, leakage: Leakage
) -> tuple[str, str] | None:
    if not spread.holders:
        return "nobody has these parts, so nothing can be counted", "sync the sources first"
    if not definition.anchored and spread.largest > MOST_ALIKE:
        shared = f"{spread.largest} people share one value, and no part is of an identifier"
        return (
            f"{shared}: public statistics tell who they are",
            "add a part of an identifier, such as phone_tail_4",
        )
    if mean > MOST_MEAN:
        return (
            f"a look-up would open {mean:.0f} people on average, more than {MOST_MEAN:.0f}",
            "keep more bits, or add a part",
        )
    if spread.largest > MOST_ALIKE and leakage.stands_out > HIDDEN_WITHIN:
        return (
            f"its largest group, {spread.largest} people, stands out from the others",
            "keep fewer bits, so that coincidence hides it, or add a part",
        )
    return None


def _leakage(bits: int, spread: Spread) -> Leakage:
    if not spread.holders:
        return Leakage(0.0, 0.0, 0.0, 0.0, 0.0)
    share = 2.0**-bits
    others = spread.holders - spread.largest
    # What the others add to any group; the largest value cannot hide itself.
    adding = max(0.0, spread.squares - spread.largest**2)
    spreading = math.sqrt(adding * share * (1 - share))
    # Where two values hardly ever coincide, nothing hides a group.
    hidden = spreading >= 1e-3
    return Leakage(
        alike=spread.holders - spread.alone * (1 - share) ** (spread.distinct - 1),
        largest=spread.largest + others * share,
        entropy=min(float(bits), spread.entropy),
        values_behind=1 + (spread.distinct - 1) * share,
        stands_out=spread.largest / spreading if hidden else math.inf,
    )


def _worst(bits: int, spread: Spread) -> int:
    """Bound all groups at once: Bernstein's inequality and the union over the groups.

    A group is the sum over all values of their holders times a coin of chance 2**-bits; the
    sum exceeds its mean by t with a chance below exp(-t²/(2(variance + largest·t/3))).
    """
    if not spread.holders:
        return 0
    share = 2.0**-bits
    if spread.distinct * (spread.distinct - 1) / 2 * share < _UNSURE:
        return spread.largest  # no two values coincide at all
    groups = min(2.0**bits, float(spread.distinct))
    allowed = math.log(groups / _UNSURE)
    third = allowed * spread.largest / 3
    variance = spread.squares * share * (1 - share)
    beyond = third + math.sqrt(third**2 + 2 * allowed * variance)
    return min(spread.holders, math.ceil(spread.holders * share + beyond))


def _zipf(distinct: int, top_share: float | None) -> "np.typing.NDArray[np.float64]":
    """Shares of ``distinct`` values, the first of which is ``top_share``."""
    ranks = np.arange(1, max(1, distinct) + 1, dtype=np.float64)
    if top_share is None or top_share <= 1 / len(ranks):
        return np.full(len(ranks), 1 / len(ranks))
    low, high = 0.0, 60.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if 1 / (ranks**-middle).sum() < top_share else (low, middle)
    weights = ranks**-high
    shares: np.typing.NDArray[np.float64] = weights / weights.sum()
    return shares


def _drawn(holders: int, shares: "np.typing.NDArray[np.float64]", distinct: int) -> Spread:
    """What to expect when so many people draw values with these shares."""
    if holders < 1:
        return Spread(0, 0, 0, 0.0, 0.0, 0.0)
    scale = len(shares) / max(1, distinct)  # below 1 only beyond the ranks that are summed
    seen = float((1 - np.exp(-holders * shares * scale)).sum()) / scale
    alone = float((holders * shares * np.exp(-(holders - 1) * shares * scale)).sum())
    positive = shares[shares > 0]
    told = float(-(positive * np.log2(positive)).sum()) + math.log2(1 / scale)
    return Spread(
        holders,
        max(1, min(holders, round(seen))),
        min(holders, _largest_of_poisson(holders * float(shares[0]) * scale, holders)),
        float((shares**2).sum()) * scale,
        alone,
        min(told, math.log2(holders)),
    )


def _occupied(holders: int, possible: float) -> float:
    return possible * -math.expm1(-holders / possible)


def _largest_of_poisson(mean: float, holders: int) -> int:
    """The size that the largest of holders/mean equal groups hardly exceeds (chance 1 in 20)."""
    groups = max(1.0, holders / mean)
    if mean > 300:  # normal tails, before the terms below underflow
        return math.ceil(mean + math.sqrt(2 * mean * math.log(20 * groups)))
    size, term = 0, math.exp(-mean)
    below = term
    while groups * (1 - below) > 0.05 and size < holders:
        size += 1
        term *= mean / size
        below += term
    return size
