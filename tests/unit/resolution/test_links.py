"""Decisions as links, and when two of them contradict one another."""

import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdp.resolution.links import (
    Decision,
    Kind,
    Link,
    LinkKind,
    contradicted,
    link,
    merge_links,
    not_same_links,
    split_links,
)

AT = dt.datetime(2026, 5, 4, tzinfo=dt.UTC)


def made(number: int, *links: Link) -> Decision:
    """A decision that counts."""
    return Decision(number, Kind.MERGE, (), "headquarters", "seen", AT, links=links)


def test_a_split_holds_its_side_together_and_away_from_the_rest() -> None:
    """Every record that is taken is apart from every one that stays."""
    assert split_links([4, 2], [1, 3]) == (
        Link(1, 2, LinkKind.CANNOT),
        Link(1, 4, LinkKind.CANNOT),
        Link(2, 3, LinkKind.CANNOT),
        Link(2, 4, LinkKind.MUST),
        Link(3, 4, LinkKind.CANNOT),
    )


def test_a_merge_leads_every_record_across() -> None:
    """All of both people are one chain of musts, and no link is within one of them."""
    assert merge_links([4, 2], [3, 1, 5]) == (
        Link(1, 2, LinkKind.MUST),
        Link(1, 4, LinkKind.MUST),
        Link(2, 3, LinkKind.MUST),
        Link(2, 5, LinkKind.MUST),
    )


@pytest.mark.parametrize(("one", "other"), [([], [1]), ([1], []), ([1, 2], [1])])
def test_a_merge_needs_two_people(one: list[int], other: list[int]) -> None:
    """A side without records, or the same anchor on both, is no merge."""
    with pytest.raises(ValueError, match=r"two|both"):
        merge_links(one, other)


@pytest.mark.parametrize(("taken", "rest"), [([], [1]), ([1], []), ([1, 2], [2])])
def test_a_split_needs_two_sides(taken: list[int], rest: list[int]) -> None:
    """A side without records, or a record on both, is no split."""
    with pytest.raises(ValueError, match=r"two|both"):
        split_links(taken, rest)


def test_a_chain_of_merges_contradicts_not_the_same() -> None:
    """The newest decision that stands in the way is named, however long the chain."""
    chain = [made(n, *merge_links([n], [n + 1])) for n in (1, 2, 3)]
    stands = contradicted(not_same_links(1, 4), chain)
    assert stands is not None
    assert stands.id == 3
    assert contradicted(not_same_links(1, 5), chain) is None


def test_a_merge_across_not_the_same_is_found_from_either_side() -> None:
    """A merge that closes a chain between two who are not the same names who said so."""
    earlier = [made(1, *merge_links([1], [2])), made(2, *not_same_links(1, 3))]
    stands = contradicted(merge_links([2], [3]), earlier)
    assert stands is not None
    assert stands.id == 2


ends = st.integers(0, 6)
some_links = st.builds(
    lambda a, b, kind: link(a, b if b != a else a + 7, kind), ends, ends, st.sampled_from(LinkKind)
)


@given(st.lists(some_links, max_size=14))
@settings(max_examples=300)
def test_decisions_made_one_after_another_never_contradict(wanted: list[Link]) -> None:
    """Refusing what contradicts keeps the rest free of contradictions (invariant 2)."""
    kept: list[Decision] = []
    for number, one in enumerate(wanted):
        if contradicted([one], kept) is None:
            kept.append(made(number, one))
    group = {n: n for n in range(20)}
    for decision in kept:
        for one in decision.links:
            if one.kind is LinkKind.MUST:
                low, high = group[one.low], group[one.high]
                group = {n: low if g == high else g for n, g in group.items()}
    apart = [k for d in kept for k in d.links if k.kind is LinkKind.CANNOT]
    assert all(group[one.low] != group[one.high] for one in apart)
