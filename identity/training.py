"""Learn an epoch from unlabelled records.

The estimates, and where each comes from:

* u of an ordinary level: its share among pairs drawn at random; true pairs are so rare
  among them that they do not count.
* u of an exact identifier: random pairs never show it, and nearly all pairs that share
  one *are* matches, which is why the stock estimate fails on it. It follows in closed
  form from how often one value stands for two people (``identity.identifiers``, and for
  phones measured by ``identity.sharing``): alone, the identifier must give those odds.
* m: Splink's expectation maximisation, u held, averaged over the training rules.
* prior: the expected number of matches (the sum of p over all candidates) over all pairs,
  repeated until it holds.

Draws have a fixed seed: equal records give an equal epoch.

Sources: Fellegi & Sunter (1969), "A Theory for Record Linkage"; Winkler (2000), on
frequency-based matching; the Splink documentation on term frequencies.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from identity import sharing, splink_engine
from identity.blocking import candidates_sql
from identity.comparisons import COMPARISONS, Comparison, level_sql
from identity.errors import TooFewRecordsError
from identity.identifiers import WRONG_SHARE
from identity.model import Model, Weights

ROUNDS = 3
DRAWS = 400_000  # random pairs looked at for u
SEED = 20_000  # of the draw: equal records give an equal epoch
SMOOTHING = 0.5  # pairs added to every count, so that nothing is impossible
MOST_BITS = 24.0  # no single comparison may say more than this, either way
LEAST_SEEN = 3  # a value held by fewer records has the floor frequency
# EM sees the pairs that agree on one of these; what the rule fixes is learnt under another.
TRAINING_RULES = (
    "l.phones_own[1] = r.phones_own[1]",
    "l.name = r.name AND l.gender IS NOT DISTINCT FROM r.gender",
    "l.birth = r.birth",
    "l.unionid = r.unionid",
    "l.postcode = r.postcode AND l.birth_year = r.birth_year",
)
START_M = 0.9
LEAST_M = 0.002  # whatever the sample shows, people and clerks do surprise
LEAST_SECOND = 0.05  # people have second phones, addresses and mailboxes
SEVERAL = frozenset(comparison.name for comparison in COMPARISONS if comparison.several)
Progress = Callable[[str], None]
Floats = npt.NDArray[np.float64]


def train(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    start: Model,
    progress: Progress,
) -> Model:
    """Learn an epoch from ``table`` (as ``identity.sharing.prepare`` makes it).

    Args:
        connection: where ``table`` lives.
        table: keyed features, one row per record.
        start: gives the thresholds and limits; its weights are not used.
        progress: told the name of each step.

    Raises:
        TooFewRecordsError: fewer than two records.
    """
    count = connection.table(table).count("*").fetchall()[0][0]
    if count < 2:
        raise TooFewRecordsError("Identity needs at least two records; sync a source first.")
    progress("frequencies of values")
    drawn = _levels_of_random_pairs(connection, table)
    model = replace(
        start,
        learnt_from=count,
        prior=1 / count,
        weights={c.name: _start(c, drawn[c.name]) for c in COMPARISONS},
        frequencies=_frequencies(connection, table, count),
    )
    own, shared = sharing.wrong_shares(connection, table, start.most_people)
    wrong = {name: (share,) for name, share in WRONG_SHARE.items()} | {"phone": (own, shared)}
    model = _calibrated(model, wrong)
    progress("learning how people's records differ")
    rules = [rule for rule in TRAINING_RULES if _is_useful(connection, table, rule)]
    learnt = splink_engine.learn_m(connection, table, _informative(drawn), model, rules)
    model = replace(model, weights=_with_m(model.weights, learnt))
    connection.execute(f"CREATE OR REPLACE TEMP TABLE candidate AS {candidates_sql(table)}")
    for _ in range(ROUNDS):
        model = _calibrated(model, wrong)
        scored = splink_engine.score(connection, table, "candidate", COMPARISONS, model)
        p = 1 / (1 + np.exp2(-scored["weight"].to_numpy()))
        # Smoothed on both sides: where every pair matches, some other pair still might not.
        matches, all_pairs = float(p.sum()) + SMOOTHING, count * (count - 1) / 2 + 2 * SMOOTHING
        model = replace(model, prior=matches / all_pairs)
    connection.execute("DROP TABLE candidate")
    return _rounded(_calibrated(model, wrong))


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
    return replace(model, weights=weights)


def _levels_of_random_pairs(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, Floats]:
    """Count the levels (best first) of pairs drawn with a fixed seed."""
    ids = connection.execute(f"SELECT id FROM {table} ORDER BY id").fetchnumpy()["id"]
    generator = np.random.default_rng(SEED)
    one = generator.integers(0, len(ids), DRAWS)
    # Any other record: a step of 1 to n-1 places further never meets the record itself.
    other = (one + generator.integers(1, len(ids), DRAWS)) % len(ids)
    connection.register("drawn", pa.table({"low": ids[one], "high": ids[other]}))
    features = sorted({f for c in COMPARISONS for f in c.features})
    sides = ", ".join(f"{side}.{f} AS {f}_{side}" for side in "lr" for f in features)
    levels = ", ".join(f"{level_sql(c)} AS level_{i}" for i, c in enumerate(COMPARISONS))
    wanted = [
        f"count(*) FILTER (level_{i} = {c.level_number(place)})"
        for i, c in enumerate(COMPARISONS)
        for place in range(len(c.levels))
    ]
    counted = connection.execute(
        f"WITH pairs AS (SELECT {sides} FROM drawn d "
        f"JOIN {table} l ON l.id = d.low JOIN {table} r ON r.id = d.high), "
        f"leveled AS (SELECT {levels} FROM pairs) SELECT {', '.join(wanted)} FROM leveled"
    ).fetchall()[0]
    connection.unregister("drawn")
    found: dict[str, Floats] = {}
    for comparison in COMPARISONS:
        found[comparison.name] = np.array(counted[: len(comparison.levels)], np.float64)
        counted = counted[len(comparison.levels) :]
    return found


def _informative(drawn: Mapping[str, Floats]) -> list[Comparison]:
    """The comparisons that any two records can be compared by at all."""
    return [c for c in COMPARISONS if drawn[c.name].sum() > 0]


def _start(comparison: Comparison, counts: Floats) -> Weights:
    """First guess: u as drawn, m falling from the best level down."""
    size = len(comparison.levels)
    u = (counts + SMOOTHING) / (counts.sum() + SMOOTHING * size)
    falling = np.array([0.5**place for place in range(size - 1)])
    m = np.append(START_M * falling / falling.sum(), 1 - START_M)
    return tuple(zip(m.tolist(), u.tolist(), strict=True))


def _frequencies(
    connection: duckdb.DuckDBPyConnection, table: str, count: int
) -> dict[str, dict[int, float]]:
    wanted = sorted(
        {level.frequency_of for c in COMPARISONS for level in c.levels if level.frequency_of}
    )
    frequencies = {}
    for feature in wanted:
        held = connection.execute(
            f"SELECT {feature}, count(*) FROM {table} "
            f"WHERE {feature} IS NOT NULL GROUP BY 1 ORDER BY 1"
        ).fetchall()
        total = sum(n for _, n in held) or count
        rare = [n for _, n in held if n < LEAST_SEEN]
        shares = {key: n / total for key, n in held if n >= LEAST_SEEN}
        # Rarer values share one frequency: how often such a value is met on average.
        frequencies[feature] = {0: (sum(rare) / len(rare) if rare else 1.0) / total, **shares}
    return frequencies


def _is_useful(connection: duckdb.DuckDBPyConnection, table: str, rule: str) -> bool:
    """EM on fewer pairs than this would learn noise."""
    found = connection.execute(
        f"SELECT count(*) FROM (SELECT 1 FROM {table} l JOIN {table} r "
        f"ON {rule} AND l.id < r.id LIMIT 200)"
    ).fetchall()
    return bool(found[0][0] == 200)


def _with_m(
    weights: Mapping[str, Weights], learnt: Mapping[str, Sequence[tuple[float, ...]]]
) -> dict[str, Weights]:
    """Put the mean of the learnt m in place, keeping u."""
    renewed = dict(weights)
    for name, estimates in learnt.items():
        if estimates:
            m = np.maximum(np.mean(estimates, axis=0), LEAST_M)
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
