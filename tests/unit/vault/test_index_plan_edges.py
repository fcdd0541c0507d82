"""The planner of indexes at its edges, against counting, textbook formulas and every draw."""

import itertools
import math
from dataclasses import astuple

import numpy as np
import pytest

from cdp.vault import index_plan
from cdp.vault.index_plan import Leakage, Plan, Spread, best, bits_for, overlaid, plan
from connectors.index_parts import FULL_BITS, IndexDefinition

PAIR = ("phone_tail_4", "surname")
SHARED = ("city", "surname")
NOBODY = Spread(0, 0, 0, 0.0, 0.0, 0.0)
ONE = Spread(1, 1, 1, 0.0, 1.0, 0.0)


def definition(bits=FULL_BITS, parts=PAIR):
    return IndexDefinition("pair", parts, bits)


def different(people):
    """So many people, each with a value of their own."""
    return Spread.of_counts([1] * people)


# ── what is refused, to the letter ──────────────────────────────────────────

HIDE = "keep fewer bits, so that coincidence hides it, or add a part"
FORETOLD = "and no part is of an identifier: public statistics tell who they are"
ADD = "add a part of an identifier, such as phone_tail_4"


@pytest.mark.parametrize(
    ("parts", "alike", "refusal"),
    [
        (PAIR, 5, None),
        (PAIR, 6, ("its largest group, 6 people, stands out from the others", HIDE)),
        (PAIR, 100, ("its largest group, 100 people, stands out from the others", HIDE)),
        (
            PAIR,
            101,
            (
                "a look-up would open 101 people on average, more than 100",
                "keep more bits, or add a part",
            ),
        ),
        (SHARED, 5, None),
        (
            SHARED,
            6,
            (f"6 people share one value, {FORETOLD}", ADD),
        ),
    ],
)
def test_a_group_is_refused_by_its_size(parts, alike, refusal):
    """Promises 3 and 4: five alike may be a family, six stand out; 100 may be opened, 101 not."""
    assert plan(definition(parts=parts), Spread.of_counts([alike])).refusal == refusal


def test_nobody_is_planned_as_nothing_at_all():
    """No figure is made up where nobody has the parts, and the next step is said."""
    refusal = "nobody has these parts, so nothing can be counted", "sync the sources first"
    for spread in (Spread.of_counts([]), Spread.of_counts([0]), Spread.expected(0, 10)):
        assert plan(definition(3), spread) == Plan(
            definition(3), NOBODY, 0.0, 0, 0.0, Leakage(0.0, 0.0, 0.0, 0.0, 0.0), refusal
        )
    assert overlaid([plan(definition(), NOBODY)] * 2) == 0
    assert overlaid([plan(definition(), different(9)), plan(definition(), NOBODY)]) == 0


# ── counted ─────────────────────────────────────────────────────────────────


def test_the_smallest_counts():
    """One person is alone; two either are alike or are not; a value that nobody has is none."""
    assert Spread.of_counts([1]) == ONE
    assert Spread.of_counts([2, 0]) == Spread(2, 1, 2, 1.0, 0.0, 0.0)
    assert Spread.of_counts([1, 1]) == Spread(2, 2, 1, 0.0, 2.0, 1.0)
    assert str(Spread.of_counts([7]).entropy) == "0.0"  # never shown as -0


# ── every draw of the key ───────────────────────────────────────────────────


def every_draw(held, bits):
    """All ways in which values fall into groups, each as likely: the index value of each."""
    return itertools.product(range(2**bits), repeat=len(held))


@pytest.mark.parametrize("held", [[3, 1, 1], [2, 2, 1, 1], [4, 1]], ids=str)
@pytest.mark.parametrize("bits", [1, 2])
def test_the_leakage_is_the_average_of_all_draws(held, bits):
    """Promise 2: mean, groups, people not alone, values behind one, and what hides a group."""
    spread = Spread.of_counts(held)
    made = plan(definition(bits), spread)
    means, alike, largest, behind, others = [], [], [], [], []
    for fallen in every_draw(held, bits):
        group = [sum(h for h, g in zip(held, fallen, strict=True) if g == f) for f in fallen]
        means.append(sum(h * g for h, g in zip(held, group, strict=True)) / sum(held))
        alike.append(sum(h for h, g in zip(held, group, strict=True) if g > 1))
        largest.append(group[0])
        behind.append(sum(fallen.count(f) for f in fallen) / len(held))
        others.append(sum(h for h, g in zip(held[1:], fallen[1:], strict=True) if g == 0))
    told = made.leakage
    assert made.mean == pytest.approx(np.mean(means))
    assert made.coincidences == pytest.approx(np.mean(means) - spread.squares / sum(held))
    assert told.alike == pytest.approx(np.mean(alike))
    assert told.largest == pytest.approx(np.mean(largest))
    assert told.values_behind == pytest.approx(np.mean(behind))
    assert told.stands_out == pytest.approx(max(held) / np.std(others))
    assert told.entropy == pytest.approx(min(bits, spread.entropy))


def test_at_full_length_nothing_hides_a_group():
    """Promise 3: no coincidences, so people are alike, or alone, exactly as their values are."""
    told = plan(definition(), Spread.of_counts([3, 1, 1])).leakage
    assert (told.alike, told.largest, told.values_behind) == (3, 3, 1)
    assert told.stands_out == math.inf
    assert plan(definition(8), different(9)).leakage.stands_out < math.inf


# ── the worst case ──────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("held", "bits"),
    [([6] + [2] * 500, 3), ([6] + [2] * 500, 9), ([1] * 5000, 8), ([40] * 50 + [1] * 30, 10)],
    ids=["few groups", "many groups", "alike", "fewer values than groups"],
)
def test_the_worst_case_is_the_least_that_the_inequality_gives(held, bits):
    """Promise 2: Bernstein's inequality for every group is 1 in 100 there, not one person less."""
    spread = Spread.of_counts(held)
    share = 1 / 2**bits
    variance = sum(h**2 for h in held) * share * (1 - share)
    groups = min(2**bits, len(held))

    def exceeded(size):
        beyond = size - sum(held) * share
        return groups * math.exp(-(beyond**2) / (2 * (variance + max(held) * beyond / 3)))

    worst = plan(definition(bits), spread).worst
    assert exceeded(worst) <= 0.01 < exceeded(worst - 1)
    assert worst < sum(held)


@pytest.mark.parametrize(
    ("held", "bits", "worst"),
    [([9, 9], 7, 9), ([9, 9], 6, 18), ([9, 9, 4], 9, 9), ([9, 9, 4], 8, 22), ([9], 1, 9)],
)
def test_values_that_hardly_ever_meet_are_not_added_up(held, bits, worst):
    """Promise 2: 1 pair in 2**7 draws, 3 in 2**9, are fewer than 1 in 100; else at most all."""
    assert plan(definition(bits), Spread.of_counts(held)).worst == worst


# ── the bits to keep ────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("candidates", "bits"), [(1, None), (2, 10), (5, 8), (1000, 1), (10_000, 1)]
)
def test_the_bits_for_a_wish(candidates, bits):
    """1,025 people, all different: each bit less doubles the 1 in 1,024 who coincide."""
    assert bits_for(different(1025), candidates) == bits


@pytest.mark.parametrize(("singles", "people", "bits"), [(2, 257, 7), (1, 256, 6)])
def test_the_best_plan_begins_where_two_coincide(singles, people, bits):
    """Each of 257 people meets two of the 256 others at seven bits; among 256 not quite."""
    spread = Spread.of_counts([6] + [3] * 83 + [1] * singles)
    assert spread.holders == people
    made = best("pair", PAIR[::-1], spread)
    assert (made.definition, made.refusal) == (definition(bits), None)


def test_one_bit_is_the_last_that_is_tried():
    """Among 18 others six are hidden by one bit only."""
    made = best("pair", PAIR, Spread.of_counts([6] + [1] * 18))
    assert (made.definition, made.refusal) == (definition(1), None)


@pytest.mark.parametrize("held", [[7], [90] + [1] * 9], ids=str)
def test_a_group_does_not_hide_itself(held):
    """Promise 3: nearly all people share one value, so no truncation helps: full and refused."""
    made = best("pair", PAIR, Spread.of_counts(held))
    assert made.definition == definition(FULL_BITS)
    assert made.refusal[0].endswith(f"{held[0]} people, stands out from the others")
    alone = plan(definition(1), Spread.of_counts(held[:1]))
    assert alone.leakage.stands_out == math.inf


def test_indexes_over_two_people():
    """Two people and one bit each: they are alike in both in one of four draws."""
    made = plan(definition(1), different(2))
    assert (made.mean, made.coincidences) == (1.5, 0.5)
    assert overlaid([made, made]) == 1.25
    assert overlaid([plan(definition(1), ONE)] * 2) == 1


# ── expected of a workspace to come ─────────────────────────────────────────


def test_a_law_of_zipf_is_found_by_its_first_share():
    """The first share is the one that was said, and ranks that double divide alike."""
    for top_share in (0.015, 0.075, 0.6):
        shares = index_plan._zipf(100, top_share)
        assert shares.sum() == pytest.approx(1)
        assert shares[0] == pytest.approx(top_share)
        assert shares[0] / shares[1] == pytest.approx(shares[1] / shares[3])
        assert shares[0] / shares[2] == pytest.approx(shares[2] / shares[8])
    assert list(index_plan._zipf(1, None)) == [1]
    assert set(index_plan._zipf(100, 0.01)) == set(index_plan._zipf(100, None)) == {0.01}


@pytest.mark.parametrize(("holders", "top_share"), [(30, None), (3000, None), (300, 0.075)])
def test_what_is_expected_is_what_the_textbook_says(holders, top_share):
    """People who draw independently: values seen, people alone, pairs that collide, entropy."""
    shares = index_plan._zipf(100, top_share)
    got = Spread.expected(holders, 100, top_share)
    assert (got.holders, got.distinct) == (holders, round((1 - (1 - shares) ** holders).sum()))
    alone = (holders * shares * (1 - shares) ** (holders - 1)).sum()
    assert got.alone == pytest.approx(alone, rel=0.01, abs=0.1)
    assert got.collision == pytest.approx((shares**2).sum())
    entropy = -(shares * np.log2(shares)).sum()
    assert got.entropy == pytest.approx(min(entropy, math.log2(holders)))


def test_the_smallest_that_can_be_expected():
    """One person is alone and tells nothing; one value is everybody's."""
    assert Spread.expected(1, 10) == Spread(1, 1, 1, pytest.approx(0.1), 1.0, 0.0)
    assert Spread.expected(2, 1024).entropy == 1
    for distinct in (0, 1):
        one = Spread.expected(10, distinct)
        assert (one.holders, one.distinct, one.largest, one.collision) == (10, 1, 10, 1)
        assert one.entropy == 0


def test_the_largest_of_frequent_values_is_the_first():
    """Of 1,000 people 7.5 % have the first value: about 75, and some more by chance."""
    largest = Spread.expected(1000, 400, 0.075).largest
    assert tail(75, largest) * 1000 / 75 <= 0.05 < tail(75, largest - 1) * 1000 / 75


def test_values_too_many_to_sum_are_expected_alike(monkeypatch):
    """Beyond a million, equally frequent values come out as if each had been summed."""
    summed = astuple(Spread.expected(1000, 400))
    monkeypatch.setattr(index_plan, "_MOST_RANKS", 100)
    assert astuple(Spread.expected(1000, 400)) == pytest.approx(summed)


def test_of_too_many_values_the_first_keeps_its_share(monkeypatch):
    """Promise 2: beyond a million, the largest group is not made smaller than was said."""
    summed = Spread.expected(1000, 400, 0.075)
    monkeypatch.setattr(index_plan, "_MOST_RANKS", 100)
    cut = Spread.expected(1000, 400, 0.075)
    assert cut.largest == summed.largest
    assert summed.collision <= cut.collision <= 1.5 * summed.collision


def tail(mean, size):
    """The chance that a Poisson variable exceeds ``size``, summed term by term."""
    ranks = range(size + 1, size + 400)
    return math.fsum(math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in ranks)


@pytest.mark.parametrize("mean", [0.001, 0.5, 5, 50, 300])
def test_the_largest_group_is_exceeded_in_one_of_twenty_draws(mean):
    """Promise 2: the sum of the tails of all groups is 0.05 there, not one person less."""
    groups = 10**6 / mean
    size = index_plan._largest_of_poisson(mean, 10**6)
    assert groups * tail(mean, size) <= 0.05 < groups * tail(mean, size - 1)


@pytest.mark.parametrize(
    ("mean", "holders", "size"), [(301, 10**6, 383), (1000, 10**6, 1141), (1000, 1500, 1083)]
)
def test_the_largest_of_great_groups_is_that_of_a_normal_tail(mean, holders, size):
    """Above 300: mean + sqrt(2 mean ln(20 groups)), which the Poisson tails confirm."""
    assert index_plan._largest_of_poisson(mean, holders) == size
    assert holders / mean * tail(mean, size) < 0.05


@pytest.mark.parametrize(("mean", "holders"), [(0.1, 1), (5, 5), (4, 6)])
def test_no_group_is_larger_than_everybody(mean, holders):
    """Chance adds no people."""
    assert index_plan._largest_of_poisson(mean, holders) == holders


# ── parts put together ──────────────────────────────────────────────────────


def test_one_part_is_itself_and_nobody_stays_nobody():
    """A part that nobody has makes a compound that nobody has, in whichever place it stands."""
    one = different(9)
    assert Spread.combined([one]) is one
    for parts in ([NOBODY, one], [one, NOBODY]):
        assert Spread.combined(parts) == NOBODY


def test_two_parts_are_as_many_values_as_their_product():
    """A hundred values and forty, all equally frequent, are four thousand of them."""
    both = Spread.combined([Spread.expected(3000, 100), Spread.expected(3000, 40)])
    single = Spread.expected(3000, 4000)
    for name in ("holders", "distinct", "collision", "alone"):
        assert getattr(both, name) == pytest.approx(getattr(single, name)), name
    assert both.entropy == pytest.approx(math.log2(3000))


def test_uneven_parts_count_as_their_effective_number():
    """Parts of 400 values that collide as 50 equally frequent ones do fill no more than 2,500."""
    uneven = Spread(3000, 400, 400, 1 / 50, 3.0, 5.0)
    both = Spread.combined([uneven, uneven])
    single = Spread.expected(3000, 2500)
    for name in ("holders", "distinct", "collision", "alone"):
        assert getattr(both, name) == pytest.approx(getattr(single, name)), name
    assert both.entropy == 10


def test_the_rarest_compounds():
    """Parts that nobody shares collide nowhere; parts that everybody shares are one value."""
    rare = Spread.combined([different(10), different(10)])
    assert (rare.holders, rare.distinct, rare.collision) == (10, 10, 0)
    same = Spread.combined([Spread.of_counts([9]), Spread.of_counts([9])])
    assert (same.distinct, same.collision, same.entropy) == (1, 1, 0)
