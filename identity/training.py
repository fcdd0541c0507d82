"""Learn an epoch from unlabelled records.

The estimates, and where each comes from:

* u of an ordinary level: its share among all pairs, from which the expected pairs of one
  person are taken out (``identity.strangers``). Counted, not drawn (``identity.chance``).
* u of an exact identifier: random pairs never show it, and nearly all pairs that share
  one *are* matches, which is why the stock estimate fails on it. It follows in closed
  form from how often one value stands for two people (``identity.identifiers``, and for
  phones measured by ``identity.sharing``): alone, the identifier must give those odds.
* m: Splink's expectation maximisation, u held, averaged over the training rules. A rule
  counts as much as it saw: by the number of its pairs that match and tell.
* prior: the expected number of matches (the sum of p over all candidates) over all pairs.
  Prior, u and the frequencies of values are renewed from it ``ROUNDS`` times.
* A level that neither strangers nor matches showed weighs as near to nothing as the order
  of levels allows: there is no evidence about it, only its neighbours.

Only the pairs that EM is given are drawn, where there are too many; with a fixed seed. Equal
records give an equal epoch.

Sources: Fellegi & Sunter (1969), "A Theory for Record Linkage"; Winkler (2000), on
frequency-based matching; the Splink documentation on term frequencies.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from identity import sharing, splink_engine
from identity.all_pairs import AllPairs
from identity.blocking import Rule, keys_under
from identity.candidates import sample
from identity.columns import Columns
from identity.comparisons import COMPARISONS, Comparison
from identity.duckdb_engine import Limits
from identity.errors import TooFewRecordsError
from identity.identifiers import WRONG_SHARE
from identity.labels import with_labels
from identity.memory import side_by_side
from identity.model import Model, Weights
from identity.pairs import Bools, Levels
from identity.scorer import Scorer, compare_all
from identity.strangers import SMOOTHING, Strangers, Told

ROUNDS = 3
SEED = 20_000  # of drawing the pairs for EM: equal records give an equal epoch
MOST_BITS = 24.0  # no single comparison may say more than this, either way
SEEN = 0.5  # pairs expected at a level; with fewer, it was never seen
MOST_PAIRS = 100_000  # of one training rule; more would hardly change an m
LEAST_PAIRS = 200  # fewer would teach noise


@dataclass(frozen=True, slots=True)
class TrainingRule:
    """EM sees the pairs that agree on one of these.

    Attributes:
        rule: what two records must have in common.
        alike: features that must be equal, or missing on both sides.
    """

    rule: Rule
    alike: tuple[str, ...] = ()

    def fixes(self, comparison: Comparison) -> bool:
        """Whether the comparison reads what the rule fixes: it is learnt under another."""
        read = {*self.rule.together, *self.alike, self.rule.each}
        return not read.isdisjoint(comparison.features)


TRAINING_RULES = (
    TrainingRule(Rule("phone", each="phones_own")),
    TrainingRule(Rule("name", ("name",)), alike=("gender",)),
    TrainingRule(Rule("date", ("birth",))),
    TrainingRule(Rule("unionid", ("unionid",))),
    TrainingRule(Rule("postcode and year", ("postcode", "birth_year"))),
)
START_M = 0.9
LEAST_M = 0.002  # whatever the sample shows, people and clerks do surprise
LEAST_SECOND = 0.05  # people have second phones, addresses and mailboxes
SEVERAL = frozenset(comparison.name for comparison in COMPARISONS if comparison.several)
Progress = Callable[[str], None]
Floats = npt.NDArray[np.float64]


def train(
    person: Columns,
    start: Model,
    compared: AllPairs,
    limits: Limits,
    progress: Progress,
    labelled: Levels | None = None,
) -> Model:
    """Learn an epoch.

    Args:
        person: features as ``identity.sharing.judged`` gives them, ``ids`` ascending.
        start: gives the thresholds and limits; its weights are not used.
        compared: all candidate pairs.
        limits: threads to compare with, and memory and threads of EM.
        progress: told the name of each step.
        labelled: levels of pairs that people judged to be one person.

    Raises:
        TooFewRecordsError: fewer than two records.
    """
    count = len(person)
    if count < 2:
        raise TooFewRecordsError("Identity needs at least two records; sync a source first.")
    progress("frequencies of values")
    strangers = Strangers(person, compared, limits.threads)
    told = strangers.told()
    model = replace(
        start,
        learnt_from=count,
        prior=1 / count,
        weights={c.name: _start(told[c.name].u) for c in COMPARISONS},
        frequencies=strangers.frequencies(),
    )
    number = sharing.wrong_shares(person, start.most_people)
    wrong: dict[str, tuple[float, ...]] = {name: (one,) for name, one in WRONG_SHARE.items()}
    # Best level first; the third is neutral and has no share of its own.
    wrong |= {"phone": (number.own, number.apart, number.shared, number.shared)}
    model = _calibrated(model, wrong)
    progress("learning how people's records differ")
    learnt = _learnt(person, _informative(told), model, limits)
    model = replace(model, weights=with_labels(_with_m(model.weights, learnt), labelled))
    for _ in range(ROUNDS):
        model = _calibrated(model, wrong)
        p = 1 / (1 + np.exp2(-compared.weights(Scorer(model))))
        told = strangers.told(p)
        model = _renewed(model, told, strangers.frequencies(p), p, count)
    model = _calibrated(model, wrong)
    known = {name: _known(one, labelled, name, wrong) for name, one in told.items()}
    return _rounded(replace(model, weights=_settled(model.weights, known)))


def _calibrated(model: Model, wrong: Mapping[str, Sequence[float]]) -> Model:
    """Set u of the best levels so that the identifier alone gives its measured odds.

    prior odds * m / u = (1 - wrong) / wrong, solved for u.
    """
    weights = dict(model.weights)
    odds = model.prior / (1 - model.prior)
    for name, shares in wrong.items():
        renewed = list(weights[name])
        for place, share in enumerate(shares):
            m, _ = renewed[place]
            renewed[place] = (m, m * odds * share / (1 - share))
        weights[name] = tuple(renewed)
    for comparison in COMPARISONS:
        weights[comparison.name] = tuple(
            (m, m if level.neutral else u)
            for level, (m, u) in zip(comparison.levels, weights[comparison.name], strict=True)
        )
    return replace(model, weights=weights)


def _renewed(
    model: Model,
    told: Mapping[str, Told],
    frequencies: Mapping[str, Mapping[int, float]],
    p: Floats,
    count: int,
) -> Model:
    """The prior, u and frequencies that follow from who matches; m stays."""
    # Smoothed on both sides: where every pair matches, some other pair still might not.
    matches, all_pairs = float(p.sum()) + SMOOTHING, count * (count - 1) / 2 + 2 * SMOOTHING
    return replace(
        model,
        prior=matches / all_pairs,
        weights={name: _with_u(model.weights[name], one.u) for name, one in told.items()},
        frequencies=frequencies,
    )


def _informative(told: Mapping[str, Told]) -> list[Comparison]:
    """The comparisons that any two records can be compared by at all."""
    return [c for c in COMPARISONS if told[c.name].strangers.sum() > 0]


def _start(u: Floats) -> Weights:
    """First guess: u as counted, m falling from the best level down."""
    falling = np.array([0.5**place for place in range(len(u) - 1)])
    m = np.append(START_M * falling / falling.sum(), 1 - START_M)
    return tuple(zip(m.tolist(), u.tolist(), strict=True))


def _with_u(weights: Weights, renewed: Floats) -> Weights:
    """Other u, the same m."""
    return tuple((m, u) for (m, _), u in zip(weights, renewed.tolist(), strict=True))


def _known(
    told: Told, labelled: Levels | None, name: str, wrong: Mapping[str, Sequence[float]]
) -> Bools:
    """Which levels of a comparison, best first, were seen, judged or have a share of their own."""
    seen: Bools = (told.strangers >= SEEN) | (told.matches >= SEEN)
    seen[: len(wrong.get(name, ()))] = True
    if labelled is not None:
        levels = labelled[:, [c.name for c in COMPARISONS].index(name)]
        seen |= np.bincount(levels[levels >= 0], minlength=len(seen))[::-1] > 0
    return seen


def _settled(weights: Mapping[str, Weights], known: Mapping[str, Bools]) -> dict[str, Weights]:
    """Give levels that nobody saw the bits nearest to none that their neighbours allow.

    Neighbours are the next better and the next worse level that is known and not neutral: a
    better agreement says no less, a worse one no more.
    """
    settled = {}
    for comparison in COMPARISONS:
        rows, renewed = weights[comparison.name], []
        bits = [
            None if level.neutral or not seen else math.log2(m / u)
            for level, seen, (m, u) in zip(
                comparison.levels, known[comparison.name].tolist(), rows, strict=True
            )
        ]
        for place, (m, u) in enumerate(rows):
            if known[comparison.name][place] or comparison.levels[place].neutral:
                renewed.append((m, u))
                continue
            better = next((one for one in reversed(bits[:place]) if one is not None), math.inf)
            worse = next((one for one in bits[place + 1 :] if one is not None), -math.inf)
            low, high = min(better, worse), max(better, worse)
            renewed.append((m, m * math.exp2(-min(max(0.0, low), high))))
        settled[comparison.name] = tuple(renewed)
    return settled


def _learnt(
    person: Columns, comparisons: Sequence[Comparison], model: Model, limits: Limits
) -> dict[str, list[tuple[Floats, float]]]:
    """For each comparison one m (best level first) per rule, and how many matches told it."""
    learnt: dict[str, list[tuple[Floats, float]]] = {one.name: [] for one in comparisons}
    rules, each = side_by_side(limits)

    def under(training: TrainingRule) -> dict[str, tuple[Floats, float]]:
        asked = [one for one in comparisons if not training.fixes(one)]
        return _learnt_under(training, person, asked, model, each)

    with ThreadPoolExecutor(rules) as pool:
        for found in pool.map(under, TRAINING_RULES):
            for name, estimate in found.items():
                learnt[name].append(estimate)
    return learnt


def _learnt_under(
    training: TrainingRule,
    person: Columns,
    comparisons: Sequence[Comparison],
    model: Model,
    limits: Limits,
) -> dict[str, tuple[Floats, float]]:
    """What one rule tells of each comparison that it does not fix; nothing, with few pairs."""
    row, key = keys_under(training.rule, person)
    for feature in training.alike:
        key = key ^ person.singles[feature][row]
    pairs = sample(row, key, MOST_PAIRS, np.random.default_rng(SEED))
    if len(pairs[0]) < LEAST_PAIRS or not comparisons:
        return {}
    levels = compare_all(person, *pairs, limits.threads).levels
    found = splink_engine.learn_m(levels, comparisons, model, limits)
    told = _matches_told(levels, found, model)
    return {name: (np.array(m), told[name]) for name, m in found.m.items() if told[name] > 0}


def _matches_told(
    levels: npt.NDArray[np.int8], found: splink_engine.Learnt, model: Model
) -> dict[str, float]:
    """Of each learnt comparison, how many of the pairs match and say something, as expected."""
    columns = {c.name: levels[:, place] for place, c in enumerate(COMPARISONS) if c.name in found.m}
    # Where every pair matches, or none does, the next one still might not.
    share = min(max(found.share, LEAST_M), 1 - LEAST_M)
    bits = np.full(len(levels), math.log2(share / (1 - share)))
    for name, column in columns.items():
        u = np.array([u for _, u in model.weights[name]])
        of_level = np.log2(np.maximum(found.m[name], LEAST_M) / u)[::-1]
        bits += np.append(of_level, 0.0)[column]  # the last one is what -1, missing, reads
    p = 1 / (1 + np.exp2(-bits))
    return {name: float(p[column >= 0].sum()) for name, column in columns.items()}


def _with_m(
    weights: Mapping[str, Weights], learnt: Mapping[str, Sequence[tuple[Floats, float]]]
) -> dict[str, Weights]:
    """Put the mean of the learnt m in place, keeping u."""
    renewed = dict(weights)
    for name, estimates in learnt.items():
        if estimates:
            told = [told for _, told in estimates]
            m = np.maximum(np.average([m for m, _ in estimates], axis=0, weights=told), LEAST_M)
            if name in SEVERAL:
                m[-1] = max(m[-1], LEAST_SECOND)
            u = [u for _, u in weights[name]]
            renewed[name] = tuple(zip((m / m.sum()).tolist(), u, strict=True))
    return renewed


def _rounded(model: Model) -> Model:
    """Round what sums of floats in another order could change, and bound every level."""
    return replace(
        model,
        prior=float(f"{model.prior:.6g}"),
        weights={
            name: tuple((float(f"{m:.6g}"), float(f"{_bounded(m, u):.6g}")) for m, u in weights)
            for name, weights in model.weights.items()
        },
    )


def _bounded(m: float, u: float) -> float:
    """u, so that log2(m/u) stays within plus or minus ``MOST_BITS``."""
    return min(max(u, m * math.exp2(-MOST_BITS)), m * math.exp2(MOST_BITS))
