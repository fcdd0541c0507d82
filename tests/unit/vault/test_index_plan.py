"""What an index costs and tells, held against drawn data."""

import json
import math
import os
from importlib import resources
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdp.vault import index_plan
from cdp.vault.blind import BlindIndexer, BlindIndexes
from cdp.vault.errors import NotIndexable
from cdp.vault.index_plan import MOST_ALIKE, MOST_MEAN, Spread, best, bits_for, plan
from cdp.vault.keyring import KeyRing
from cdp.vault.ring_document import RingDocument
from connectors.errors import DeclarationError
from connectors.index_parts import ANCHORS, FULL_BITS, PARTS, IndexDefinition, fault

ALONE = (
    "surname", "birth_month_day", "birth_date", "birth_year", "city", "gender", "district",
    "postcode", "name", "given_name", "name_initials", "email_domain", "phone_head_7",
)  # fmt: skip
PAIR = ("phone_tail_4", "surname")
RING = KeyRing.of(RingDocument.fresh(UUID("11111111-1111-4111-8111-111111111111"), os.urandom))
counts = st.lists(st.integers(1, 60), min_size=1, max_size=200)


def definition(bits=FULL_BITS, parts=PAIR):
    return IndexDefinition("pair", tuple(sorted(parts)), bits)


# ── what is refused ─────────────────────────────────────────────────────────


@pytest.mark.parametrize("part", ALONE)
def test_what_many_share_is_never_indexed_alone(part):
    """Promise 4: surname, birthday, city, gender and their like, whatever counts and bits."""
    everybody_differs = Spread.of_counts([1] * 1000)
    for bits in (1, 8, FULL_BITS):
        made = plan(definition(bits, (part,)), everybody_differs)
        assert made.refusal is not None
    assert best("x", (part,), everybody_differs).refusal is not None
    with pytest.raises(DeclarationError, match="alone"):
        IndexDefinition.of("x", (part,))


def test_two_parts_of_one_shared_field_are_still_alone():
    """Promise 4: year and day of birth together are a birth date."""
    with pytest.raises(DeclarationError, match="alone"):
        IndexDefinition.of("x", ("birth_year", "birth_month_day"))
    with pytest.raises(DeclarationError, match="alone"):
        IndexDefinition.of("x", ("surname", "given_name", "name"))


def test_shared_fields_are_not_cured_by_truncation():
    """Promise 4: surname and city, cut to a few bits, are refused as well."""
    with pytest.raises(DeclarationError, match="truncated"):
        IndexDefinition.of("x", ("surname", "city"), 8)
    known = Spread.expected(1_000_000, 500, 0.075)
    towns = Spread.expected(1_000_000, 300, 0.1)
    together = Spread.combined([known, towns])
    assert "public statistics" in best("x", ("surname", "city"), together).refusal[0]


@pytest.mark.parametrize(
    ("parts", "bits"),
    [
        ((), 128),
        (("shoe_size",), 128),
        (("surname", "surname"), 128),
        (PAIR, 0),
        (PAIR, 129),
        (("surname", "city", "phone_tail_4", "gender", "birth_year"), 128),
    ],
)
def test_what_is_no_index_at_all_is_refused(parts, bits):
    """Unknown, repeated or too many parts and impossible bits are named with a next step."""
    rule, step = fault(IndexDefinition("x", parts, bits))
    assert rule
    assert step


def test_every_part_knows_its_field():
    """The closed set of parts: shared ones and those of identifiers, and nothing else."""
    assert set(ALONE) | ANCHORS == set(PARTS)
    assert not set(ALONE) & ANCHORS


def test_the_schema_of_the_declaration_has_the_same_parts():
    """An editor knows the same parts as the code."""
    path = resources.files("connectors").joinpath("declaration.schema.json")
    listed = json.loads(path.read_text("utf-8"))["$defs"]["index"]["properties"]["parts"]
    assert listed["items"]["enum"] == list(PARTS)


# ── the arithmetic ──────────────────────────────────────────────────────────


@given(counts, st.integers(1, FULL_BITS - 1))
def test_more_bits_never_give_more_candidates(held, bits):
    """Promise 1: and never fewer people than share the value."""
    spread = Spread.of_counts(held)
    fewer, more = plan(definition(bits), spread), plan(definition(bits + 1), spread)
    assert more.mean <= fewer.mean
    assert more.leakage.values_behind <= fewer.leakage.values_behind
    assert more.leakage.alike <= fewer.leakage.alike + 1e-9
    shared = sum(count * count for count in held) / sum(held)
    assert more.mean >= shared - 1e-9
    assert plan(definition(), spread).mean == pytest.approx(shared)


@given(counts, st.floats(1.5, 60))
def test_bits_for_a_wish_come_near_it(held, wish):
    """The bits chosen give about so many candidates: within the step of one bit."""
    spread = Spread.of_counts(held)
    bits = bits_for(spread, wish)
    if bits is None:
        assert plan(definition(), spread).mean >= wish - 1e-6
        return
    met = index_plan.mean_candidates(spread, bits) - 1
    floor = index_plan.mean_candidates(spread, FULL_BITS) - 1
    if 1 < bits < FULL_BITS:
        assert (wish - 1 - floor) / 1.5 <= met - floor <= (wish - 1 - floor) * 1.5


@given(counts, st.integers(1, FULL_BITS))
def test_a_plan_that_stands_out_is_refused(held, bits):
    """Promise 3: what may be built is small, or hidden among coincidences, and affordable."""
    spread = Spread.of_counts(held)
    made = plan(definition(bits), spread)
    if made.refusal is None:
        assert made.mean <= MOST_MEAN
        assert spread.largest <= MOST_ALIKE or made.leakage.stands_out <= index_plan.HIDDEN_WITHIN
    else:
        assert all(made.refusal)


@given(counts)
def test_the_best_plan_keeps_the_most_bits_that_may_be_built(held):
    """Promise 3: one bit more than the best truncated plan would be refused or hide nobody."""
    spread = Spread.of_counts(held)
    made = best("pair", PAIR, spread)
    if made.refusal is None and made.definition.truncated:
        assert made.coincidences >= index_plan.FEWEST_COINCIDENCES - 1e-6 or made.advice
        more = plan(definition(made.definition.bits + 1), spread)
        assert more.refusal is not None or more.coincidences < index_plan.FEWEST_COINCIDENCES


@given(counts)
def test_counts_give_what_they_say(held):
    """A spread is the plain statistics of its counts."""
    spread = Spread.of_counts(held)
    total = sum(held)
    assert (spread.holders, spread.distinct, spread.largest) == (total, len(held), max(held))
    assert spread.alone == held.count(1)
    assert spread.squares == pytest.approx(sum(count**2 for count in held))
    entropy = -sum(c / total * math.log2(c / total) for c in held)
    assert spread.entropy == pytest.approx(entropy, abs=1e-9)


def test_nothing_stored_is_planned_as_nothing():
    """No people: no candidates, and a next step."""
    made = best("pair", PAIR, Spread.of_counts([]))
    assert (made.mean, made.worst) == (0, 0)
    assert "sync" in made.refusal[1]


# ── held against drawn data ─────────────────────────────────────────────────


def drawn(seed, people, distinct, top):
    """People's combinations: surname after Zipf's law, four digits evenly."""
    chance = np.random.default_rng(seed)
    surnames = chance.choice(distinct, people, p=index_plan._zipf(distinct, top))
    return surnames.astype(np.int64) * 10_000 + chance.integers(0, 10_000, people)


@pytest.mark.parametrize("people", [2_000, 30_000, 200_000])
def test_what_is_expected_of_parts_is_what_is_drawn(people):
    """Promise 2: from distinct values and the top share alone, as for a workspace to come."""
    combinations = drawn(1, people, 400, 0.075)
    real = Spread.of_counts(np.unique(combinations, return_counts=True)[1])
    guessed = Spread.combined(
        [Spread.expected(people, 400, 0.075), Spread.expected(people, 10_000)]
    )
    assert index_plan.mean_candidates(guessed, 128) == pytest.approx(
        index_plan.mean_candidates(real, 128), rel=0.05
    )
    assert guessed.distinct == pytest.approx(real.distinct, rel=0.05)
    assert real.largest <= guessed.largest <= 2 * real.largest + 2


@pytest.mark.parametrize("bits", [6, 10, 13])
def test_the_predicted_candidates_are_those_of_drawn_keys(bits):
    """Promise 2: the mean within 3 %, and the worst case never exceeded, over 40 drawn keys."""
    combinations = drawn(2, 30_000, 400, 0.075)
    values, held = np.unique(combinations, return_counts=True)
    made = plan(definition(bits), Spread.of_counts(held))
    chance = np.random.default_rng(3)
    means, worst, behind = [], [], []
    for _ in range(40):
        groups = chance.integers(0, 2**bits, len(values))
        sizes = np.bincount(groups, held, minlength=2**bits)
        means.append((sizes**2).sum() / held.sum())
        worst.append(sizes.max())
        behind.append(np.bincount(groups)[groups].mean())
    assert np.mean(means) == pytest.approx(made.mean, rel=0.03)
    assert max(worst) <= made.worst <= 4 * max(worst)
    assert np.mean(behind) == pytest.approx(made.leakage.values_behind, rel=0.03)


def test_the_real_index_meets_the_prediction(ring):
    """Promise 2: the same with the keyed hash itself, cut to ten bits."""
    combinations = drawn(4, 4_000, 200, 0.1)
    values, held = np.unique(combinations, return_counts=True)
    made = plan(definition(10), Spread.of_counts(held))
    indexer = BlindIndexer(ring)
    stored = [
        indexer.compound(made.definition, (f"{v % 10_000:04}", f"s{v // 10_000}")) for v in values
    ]
    sizes = {}
    for value, count in zip(stored, held, strict=True):
        sizes[value] = sizes.get(value, 0) + int(count)
    assert sum(s * s for s in sizes.values()) / held.sum() == pytest.approx(made.mean, rel=0.1)
    assert max(sizes.values()) <= made.worst
    alike = sum(size for size in sizes.values() if size > 1)
    assert alike == pytest.approx(made.leakage.alike, rel=0.05)


def test_the_advice_grows_with_the_shop():
    """The same parts: full length in a small shop, truncated in a large one, refused in a huge."""

    def planned(people):
        surname = Spread.expected(people, 500, 0.075)
        return best("pair", PAIR, Spread.combined([surname, Spread.expected(people, 10_000)]))

    small, large, huge = planned(5_000), planned(300_000), planned(20_000_000)
    assert (small.definition.bits, small.refusal) == (FULL_BITS, None)
    assert large.definition.truncated
    assert large.refusal is None
    assert large.coincidences >= 2
    assert "stands out" in huge.refusal[0] or "on average" in huge.refusal[0]


def test_indexes_laid_over_each_other_leave_few():
    """Two truncated indexes over independent parts narrow the group to their product."""
    spread = Spread.of_counts([1] * 100_000)
    made = plan(definition(10), spread)
    assert made.mean == pytest.approx(1 + 99_999 / 1024)
    both = index_plan.overlaid([made, made])
    assert both == pytest.approx(1 + 99_999 / 1024**2)
    assert index_plan.overlaid([made]) == pytest.approx(made.mean)
    assert index_plan.overlaid([]) == 0


# ── the index itself ────────────────────────────────────────────────────────


@settings(max_examples=30)
@given(st.integers(1, FULL_BITS), st.text(min_size=1, max_size=5), st.text(min_size=1, max_size=5))
def test_a_truncated_index_keeps_so_many_bits(bits, tail, surname):
    """Blind invariant 5: the bits beyond are zero, and equal parts give equal bytes."""
    values = tail.encode("utf-8", "replace").decode(), surname.encode("utf-8", "replace").decode()
    made = BlindIndexer(RING).compound(definition(bits), values)
    assert len(made) == math.ceil(bits / 8)
    assert int.from_bytes(made, "big") % 2 ** (8 * len(made) - bits) == 0
    assert made == BlindIndexer(RING).compound(definition(bits), values)


def test_another_definition_has_another_key():
    """Parts invariant 3: one bit more, another part or another epoch, and no row meets."""
    values = ("1234", "欧阳")
    one = BlindIndexer(RING).compound(definition(128), values)
    cut = BlindIndexer(RING).compound(definition(120), values)
    assert one[:15] != cut
    assert one != BlindIndexer(RING).compound(definition(128, ("phone_tail_4", "city")), values)
    assert definition().label == "phone_tail_4+surname:128"


@pytest.mark.parametrize("values", [(), ("1234",), ("1234", ""), ("1234", "\ud800")])
def test_a_missing_part_has_no_index(values):
    """An empty part would make all unknowns look like one person."""
    with pytest.raises(NotIndexable) as refused:
        BlindIndexer(RING).compound(definition(), values)
    assert "1234" not in str(refused.value)


def test_every_epoch_is_asked_and_the_newest_is_written(second, document):
    """Blind invariant 4: rows of both epochs are found while both keys are in the ring."""
    ring = KeyRing.of(second)
    every = BlindIndexes(ring)
    assert every.newest.epoch == 2
    asked = every.asked("phone", None, "+8613800001111")
    assert [epoch for epoch, _ in asked] == [2, 1]
    old = BlindIndexer(KeyRing.of(document))
    assert asked[1] == old.asked("phone", None, "+8613800001111")[0]
    both = every.asked_compound(definition(), ("1234", "王"))
    assert both == (
        (2, BlindIndexer(ring, 2).compound(definition(), ("1234", "王"))),
        (1, old.compound(definition(), ("1234", "王"))),
    )
