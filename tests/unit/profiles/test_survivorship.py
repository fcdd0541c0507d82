"""Which record gives each golden field."""

import datetime as dt

from hypothesis import given, settings
from hypothesis import strategies as st

from cdp.profiles.survivorship import (
    RecordFacts,
    golden,
    golden_for,
    granted_purposes,
    ranked,
    refused_purposes,
    stores,
)

TRUST = ("pos", "shop", "wecom")
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
FIELDS = ("name", "phone", "email", "masked_name", "privacy_phone", "nickname", "remark")
PURPOSES = ("service", "marketing", "analysis")


def record(number: int, source: str = "pos", *fields: str, **parts) -> RecordFacts:
    return RecordFacts(
        id=number,
        source=source,
        fields=frozenset(fields),
        purposes=frozenset(parts.get("purposes", ("service",))),
        refused=frozenset(parts.get("refused", ())),
        first_seen=START,
        last_seen=START + dt.timedelta(days=parts.get("day", 0)),
        store=parts.get("store"),
    )


some_records = st.lists(
    st.builds(
        lambda number, source, fields, purposes, refused, day: record(
            number, source, *fields, purposes=purposes, refused=refused, day=day
        ),
        st.integers(1, 50),
        st.sampled_from([*TRUST, "unranked"]),
        st.sets(st.sampled_from(FIELDS)),
        st.sets(st.sampled_from(PURPOSES)),
        st.sets(st.sampled_from(PURPOSES)),
        st.integers(0, 2),
    ),
    min_size=1,
    max_size=7,
    unique_by=lambda one: one.id,
)


@settings(max_examples=150)
@given(some_records, st.randoms(use_true_random=False))
def test_the_order_of_records_never_matters(records, dice) -> None:
    """Invariant 1: the same records in any order give the same golden fields and purposes."""
    shuffled = list(records)
    dice.shuffle(shuffled)
    assert ranked(shuffled, TRUST) == ranked(records, TRUST)
    assert granted_purposes(shuffled) == granted_purposes(records)


def test_trust_then_change_then_age_decide() -> None:
    """Invariant 2: the most trusted source, then the last change, then the older id."""
    records = [
        record(1, "wecom", "name", day=9),
        record(2, "shop", "name", "email", day=1),
        record(3, "pos", "phone", day=1),
        record(4, "pos", "phone", day=2),
        record(5, "pos", "phone", day=2),
        record(6, "nobody ranked", "name", "city", day=9),
    ]
    assert golden(ranked(records, TRUST)) == {"city": 6, "email": 2, "name": 2, "phone": 4}


@settings(max_examples=150)
@given(some_records, st.sets(st.sampled_from(FIELDS), min_size=1), st.integers(0, 9))
def test_a_less_trusted_record_never_changes_a_golden_field(records, fields, day) -> None:
    """Invariant 3: it may give a field that nobody gave, and moves none that somebody gave."""
    before = golden(ranked(records, (*TRUST, "unranked")))
    added = record(99, "least", *fields, day=day)
    after = golden(ranked([added, *records], (*TRUST, "unranked", "least")))
    assert {field: after[field] for field in before} == before
    assert all(after[field] == 99 for field in set(after) - set(before))


@settings(max_examples=100)
@given(some_records)
def test_nothing_stands_in_for_a_name_or_a_phone(records) -> None:
    """Invariant 4: masked names and privacy numbers are no golden fields, and lend to none."""
    found = golden(ranked(records, TRUST))
    by_id = {one.id: one for one in records}
    assert not {"masked_name", "privacy_phone"} & set(found)
    assert all(field in by_id[number].fields for field, number in found.items())


@settings(max_examples=150)
@given(some_records, st.sampled_from([*PURPOSES, "fraud"]))
def test_only_a_covering_record_gives_a_value_for_a_purpose(records, purpose) -> None:
    """Invariant 5: no pointer for a purpose leads to a record that does not cover it."""
    by_id = {one.id: one for one in records}
    for number in golden_for(ranked(records, TRUST), purpose).values():
        assert purpose in by_id[number].purposes - by_id[number].refused
    assert golden_for(ranked(records, TRUST), None) == golden(ranked(records, TRUST))


def test_one_refusal_outweighs_every_grant() -> None:
    """Invariant 6: a purpose holds when a record grants it and none refuses it."""
    records = [
        record(1, purposes=("service", "marketing"), store="BJ01"),
        record(2, purposes=("analysis",), refused=("marketing",), store="BJ01"),
        record(3, purposes=(), store="AA01"),
    ]
    assert granted_purposes(records) == ("analysis", "service")
    assert refused_purposes(records) == ("marketing",)
    assert stores(records) == ("AA01", "BJ01")
    assert (granted_purposes([]), refused_purposes([]), stores([])) == ((), (), ())
