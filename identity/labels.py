"""What judged pairs teach an epoch: how the records of one person really differ.

Expectation maximisation guesses which pairs are one person; people know. Each pair that
somebody judged to be one person counts its levels, and the estimate moves towards what
was counted: m = (counted + ``WEIGHT`` * estimate) / (pairs + ``WEIGHT``), the mean of a
Dirichlet distribution whose prior is the estimate (Gelman et al., "Bayesian Data
Analysis", 3.4). A handful moves it a little, some hundreds settle it.

Only m is taught. u is measured on random pairs, far more of them than people can judge;
and pairs that somebody judged not to be one person were chosen for looking alike, so they
say nothing about pairs in general. The threshold is not touched.
"""

from collections.abc import Mapping

import numpy as np

from identity.columns import Columns, Ints
from identity.comparisons import COMPARISONS, MISSING
from identity.model import Weights
from identity.pairs import Levels
from identity.scorer import compare_all

WEIGHT = 20.0  # pairs: the estimate of EM counts as so many judged ones
LEAST = 0.002  # m of a level that no pair showed: people and clerks do surprise


def levels_of(person: Columns, low: Ints, high: Ints, threads: int) -> Levels:
    """Compare the judged matches.

    Args:
        person: features as ``identity.sharing.judged`` gives them, ``ids`` ascending.
        low: record ids of pairs that are one person. Shape (pairs,).
        high: the other record of each.
        threads: to compare with.

    Returns:
        Level numbers. Shape (pairs, len(COMPARISONS)).
    """
    left, right = np.searchsorted(person.ids, np.stack((low, high)))
    return compare_all(person, left, right, threads).levels


def with_labels(weights: Mapping[str, Weights], levels: Levels | None) -> dict[str, Weights]:
    """Move m towards what judged matches show, keeping u.

    Args:
        weights: as estimated, best level first.
        levels: of pairs that are one person, as ``levels_of`` gives them; None for no pairs.
    """
    renewed = dict(weights)
    if levels is None:
        return renewed
    for place, comparison in enumerate(COMPARISONS):
        told = levels[levels[:, place] != MISSING, place]
        if not len(told):
            continue
        estimate = np.array([m for m, _ in weights[comparison.name]])
        counted = np.bincount(told, minlength=len(estimate))[::-1]
        m = np.maximum((counted + WEIGHT * estimate) / (len(told) + WEIGHT), LEAST)
        u = [u for _, u in weights[comparison.name]]
        renewed[comparison.name] = tuple(zip((m / m.sum()).tolist(), u, strict=True))
    return renewed
