"""Made-up scored pairs for the tests of clustering."""

import itertools

import numpy as np
from hypothesis import strategies as st

from identity.clusters import Constraints, Pairs, Rules, contradictions, decide

PRIOR, JOIN = -10.0, 3.0
# Three comparisons: a person has several phones, one name, and one ID number that proves it.
RULES = Rules((True, False, False), (False, False, True), PRIOR, JOIN)
WRONG_ID = "another ID number"


def pairs_of(*told):
    """Scored pairs from (low, high, phone bits, name bits[, WRONG_ID]); None is not given."""
    rows = [(pair[2], pair[3], -4.0 if WRONG_ID in pair else None) for pair in told]
    bits = np.array([[value or 0.0 for value in row] for row in rows]).reshape(-1, 3)
    levels = np.array([[-1 if value is None else 1 for value in row] for row in rows], np.int8)
    levels = levels.reshape(-1, 3)
    levels[:, 2] = np.where(levels[:, 2] == 1, 0, -1)
    return Pairs(
        np.array([pair[0] for pair in told], np.int64),
        np.array([pair[1] for pair in told], np.int64),
        PRIOR + bits.sum(axis=1),
        levels,
        bits,
    )


def nothing_told(low, high):
    """Scores pairs of which nothing is known."""
    return pairs_of(*((a, b, None, None) for a, b in zip(low.tolist(), high.tolist(), strict=True)))


def columns(pairs):
    """Pairs of ids as two arrays, the smaller id first."""
    ends = np.array(sorted((min(pair), max(pair)) for pair in pairs), np.int64).reshape(-1, 2)
    return ends[:, 0], ends[:, 1]


def constraints(must=(), cannot=()):
    """Constraints from pairs of ids."""
    return Constraints(*columns(must), *columns(cannot))


def people(records, pairs, limits=None, **others):
    """The anchor of each record."""
    decided = decide(
        np.array(sorted(records), np.int64),
        pairs,
        limits or Constraints.none(),
        others.pop("rules", RULES),
        others.pop("score", nothing_told),
        **others,
    )
    return dict(zip(sorted(records), decided.anchors.tolist(), strict=True))


def complete(records, told):
    """Every pair of the records: what is told of it, or nothing."""
    pairs = itertools.combinations(sorted(records), 2)
    return pairs_of(*((a, b, *told.get((a, b), (None, None))) for a, b in pairs))


def within(pairs, records, limits=None):
    """The anchors when all records are one component."""
    return people(records, pairs, limits, floor=-np.inf)


def ends(told):
    """The records of these pairs."""
    return sorted({record for pair in told for record in pair[:2]})


bits = st.none() | st.sampled_from([-12.0, -3.0, 4.0, 9.0, 14.0, 20.0])
told_apart = st.sampled_from([(), (), (), (WRONG_ID,)])


@st.composite
def constrained(draw, first=1):
    """All pairs of a few records, some with another ID number, and consistent constraints."""
    size = draw(st.integers(2, 7))
    records = range(first, first + size)
    pairs = list(itertools.combinations(records, 2))
    told = [(*pair, draw(bits), draw(bits), *draw(told_apart)) for pair in pairs]
    links = draw(st.lists(st.tuples(st.sampled_from(pairs), st.booleans()), max_size=4))
    must = {pair for pair, together in links if together}
    cannot = {pair for pair, together in links if not together}
    cannot -= set(contradictions(constraints(must, cannot)))
    return told, must, cannot
