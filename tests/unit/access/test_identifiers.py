"""The identifier a person gave at the counter."""

import datetime as dt

import pytest

from cdp.access.identifiers import canonical
from cdp.ingest.normalise.result import Problem
from connectors.record import Sensitive

TODAY = dt.date(2026, 5, 4)


@pytest.mark.parametrize(
    ("field", "typed", "expected"),
    [
        ("phone", " 139-1111-2222", "+8613911112222"),
        ("phone", "+86 139 1111 2222", "+8613911112222"),
        ("email", "Zhao.Yi@EXAMPLE.com", "zhao.yi@example.com"),
        ("loyalty_card", "v100-200", "V100200"),
        ("openid", "oAbC_123-x", "oAbC_123-x"),
        ("national_id", "11010519491231002x", "11010519491231002X"),
    ],
)
def test_a_full_identifier_is_read_as_ingest_reads_it(field, typed, expected) -> None:
    """Invariant 2: however it was typed, the form is the one that was indexed."""
    read = canonical(field, Sensitive(typed), TODAY)
    assert isinstance(read, Sensitive)
    assert read.reveal(reason="test") == expected


@pytest.mark.parametrize(
    ("field", "typed"),
    [
        ("phone", "139****2222"),
        ("phone", "1391111"),
        ("phone", "13800138000"),
        ("phone", "13911112222-12"),
        ("phone", ""),
        ("phone", "\ud800"),
        ("email", "test@example.com"),
        ("email", "s***@example.com"),
        ("loyalty_card", "****0200"),
        ("national_id", "110105194912310021"),
        ("name", "赵一"),
        ("city", "北京市"),
    ],
)
def test_what_is_no_full_identifier_is_refused_and_not_repeated(field, typed) -> None:
    """Invariants 1 and 3: masked, cut, filler and shared values find nobody and stay hidden."""
    refused = canonical(field, Sensitive(typed), TODAY)
    assert isinstance(refused, Problem)
    assert not typed or typed not in repr(refused)
