"""Learning m by Splink's EM from level numbers."""

import dataclasses

import numpy as np
import pytest

from identity.comparisons import COMPARISONS, MISSING
from identity.model import UNTRAINED
from identity.splink_engine import NOTHING_LEARNT, learn_m
from tests.unit.identity.tables import LIMITS

ASKED = [one for one in COMPARISONS if one.name in {"name", "birth date", "city"}]
PLACES = [COMPARISONS.index(one) for one in ASKED]


def m_of(levels):
    """What true pairs show, best level first."""
    falling = [0.5**place for place in range(levels - 1)]
    return (*(0.9 * share / sum(falling) for share in falling), 0.1)


def u_of(levels):
    """What two people show by chance."""
    return (*[0.2 / (levels - 1)] * (levels - 1), 0.8)


def model():
    """An epoch whose m is a guess and whose u is right."""
    weights = {
        one.name: tuple(
            (0.9 / (len(one.levels) - 1) if place < len(one.levels) - 1 else 0.1, u)
            for place, u in enumerate(u_of(len(one.levels)))
        )
        for one in COMPARISONS
    }
    return dataclasses.replace(UNTRAINED, prior=0.3, weights=weights)


def drawn(pairs, matches, seed=4):
    """Level numbers of pairs of which a share are matches; one in ten comparisons is missing."""
    generator = np.random.default_rng(seed)
    same = generator.random(pairs) < matches
    levels = np.full((pairs, len(COMPARISONS)), MISSING, np.int8)
    for place, one in zip(PLACES, ASKED, strict=True):
        size = len(one.levels)
        told = [generator.choice(size, pairs, p=shares) for shares in (m_of(size), u_of(size))]
        number = size - 1 - np.where(same, *told)
        levels[:, place] = np.where(generator.random(pairs) < 0.1, MISSING, number)
    return levels


@pytest.mark.parametrize("matches", [0.2, 0.6])
def test_m_is_found_again(matches):
    """From pairs drawn with a known m, whatever their share of matches, EM gives that m back."""
    found = learn_m(drawn(20_000, matches), ASKED, model(), LIMITS)
    learnt = found.m
    assert found.share == pytest.approx(matches, abs=0.02)
    assert list(learnt) == [one.name for one in ASKED]
    for one in ASKED:
        assert len(learnt[one.name]) == len(one.levels)
        assert learnt[one.name] == pytest.approx(m_of(len(one.levels)), abs=0.04)


def test_the_order_of_pairs_teaches_nothing_else():
    """The same pairs in another order give the same m, but for the last digits of sums."""
    levels = drawn(2_000, 0.4)
    one = learn_m(levels, ASKED, model(), LIMITS).m
    other = learn_m(levels[::-1].copy(), ASKED, model(), LIMITS).m
    assert {name: pytest.approx(m, rel=1e-9) for name, m in one.items()} == other


def test_a_level_that_nobody_showed_has_a_small_m():
    """A level that is in no pair at all is not learnt, and is no error."""
    levels = drawn(2_000, 0.4)
    name = PLACES[0]
    levels[levels[:, name] == 1, name] = 0
    found = learn_m(levels, ASKED, model(), LIMITS).m[ASKED[0].name]
    assert 0 < found[-2] <= NOTHING_LEARNT
