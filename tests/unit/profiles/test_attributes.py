"""How the attributes of a person's records are combined."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdp.profiles.attributes import combine, combine_values

decimals = st.decimals(
    allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9, places=6
)


def _text(number: Decimal) -> str:
    return format(number, "f")


@settings(max_examples=200)
@given(st.lists(decimals, min_size=2, max_size=8))
def test_sums_are_exact(numbers) -> None:
    """Invariant 1: a sum of decimals is the sum, to the last digit, and without idle zeros."""
    total = combine_values("total_spent", [_text(number) for number in numbers])
    assert isinstance(total, str)
    assert Fraction(total) == sum(map(Fraction, numbers), Fraction(0))
    assert total == "0" or not ("." in total and total.endswith("0"))


def test_a_sum_of_the_longest_decimals_is_exact() -> None:
    """Thirty-eight digits on one side of the point and on the other are all kept."""
    large, small = "9" * 38, "0." + "0" * 37 + "1"
    assert combine_values("total_paid", [large, small]) == f"{large}.{'0' * 37}1"


@settings(max_examples=100)
@given(
    st.lists(st.integers(-(10**12), 10**12) | decimals.map(_text), min_size=1, max_size=6),
    st.randoms(use_true_random=False),
)
def test_the_order_of_summands_does_not_matter(values, dice) -> None:
    """Invariant 2: records in another order give the same sum."""
    shuffled = list(values)
    dice.shuffle(shuffled)
    assert Fraction(combine_values("orders", shuffled)) == Fraction(
        combine_values("orders", values)
    )


def test_a_single_value_stays_as_it_is() -> None:
    """Invariant 3: with one record nothing is combined."""
    assert combine([{"orders": 3, "tier": "gold", "vip": False, "last_seen": "2026-01-01"}]) == {
        "last_seen": "2026-01-01",
        "orders": 3,
        "tier": "gold",
        "vip": False,
    }


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("orders", [2, 3], 5),
        ("orders", [2, "0.5"], "2.5"),
        ("visits", [1, 1, 1], 3),
        ("coupon_count", [1, 4], 5),
        ("total_spent", ["10.10", "0.2"], "10.3"),
        ("age_group", [3, 4], 3),
        ("last_purchase", ["2025-12-31", "2026-01-01"], "2026-01-01"),
        ("opened_on", ["2025-12-31", "2020-01-01"], "2020-01-01"),
        ("registered_at", ["2025-12-31", "2020-01-01"], "2020-01-01"),
        ("first_purchase", ["2025-12-31", "2020-01-01"], "2020-01-01"),
        ("renewal", ["2025-12-31", "2020-01-01"], "2025-12-31"),
        ("newsletter", [False, True], True),
        ("newsletter", [False, False], False),
        ("tier", ["gold", "silver"], "gold"),
        ("orders", ["many", 3], "many"),
        ("last_purchase", ["2026-02-30", "2026-01-01"], "2026-02-30"),
        ("orders", [True, 3], True),
    ],
)
def test_the_table_of_rules(name, values, expected) -> None:
    """Each line of the table; values of mixed kinds fall to the most trusted record."""
    combined = combine_values(name, values)
    assert combined == expected
    assert type(combined) is type(expected)


def test_attributes_come_in_the_order_of_their_names() -> None:
    """What one record lacks another gives, and the names are sorted."""
    assert list(combine([{"orders": 1}, {"city_tier": "one", "orders": 2}]).items()) == [
        ("city_tier", "one"),
        ("orders", 3),
    ]
