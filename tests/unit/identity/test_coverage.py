"""How well records of one kind find company."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.coverage import coverage

KINDS = ("email", "openid", "phone")


def test_match_rate_and_consolidation_by_hand():
    """Three phones in two profiles, one of them alone: two of three matched, 1.5 a profile."""
    predicted = {"a": 1, "b": 1, "c": 2, "d": 1}
    kinds = {"a": {"phone"}, "b": {"phone", "email"}, "c": {"phone"}, "d": set()}
    email, phone = coverage(predicted, kinds)
    assert (phone.kind, phone.records, phone.profiles) == ("phone", 3, 2)
    assert phone.match_rate == pytest.approx(2 / 3)
    assert phone.consolidation == 1.5
    assert email.to_dict() == {
        "kind": "email", "records": 1, "match_rate": 1.0, "profiles": 1, "consolidation": 1.0,
    }  # fmt: skip


@settings(max_examples=100)
@given(
    predicted=st.dictionaries(st.integers(0, 9), st.integers(0, 4), max_size=10),
    kinds=st.dictionaries(st.integers(0, 12), st.sets(st.sampled_from(KINDS)), max_size=12),
)
def test_coverage_equals_a_plain_count(predicted, kinds):
    """Each kind's figures equal what counting record by record gives."""
    labels = list(predicted.values())
    found = {line.kind: line for line in coverage(predicted, kinds)}
    for kind in KINDS:
        has = [r for r in predicted if kind in kinds.get(r, ())]
        assert (kind in found) == bool(has)
        if has:
            homes = {predicted[r] for r in has}
            matched = sum(labels.count(predicted[r]) > 1 for r in has)
            assert found[kind].records == len(has)
            assert found[kind].profiles == len(homes)
            assert found[kind].match_rate == pytest.approx(matched / len(has))
            assert found[kind].consolidation == pytest.approx(len(has) / len(homes))


def test_without_records_there_is_nothing_to_say():
    """No record, no line."""
    assert coverage({}, {"a": {"phone"}}) == ()
