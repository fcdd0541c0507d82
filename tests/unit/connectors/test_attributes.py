from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.attribute_declaration import AttributeSpec
from connectors.attributes import AttributeRefused, canonical_decimal, typed


def read(text, kind, *formats):
    return typed(text, AttributeSpec("c", kind, formats))


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("integer", "42", 42),
        ("integer", "-007", -7),
        ("integer", "9223372036854775807", 2**63 - 1),
        ("decimal", "12.50", "12.5"),
        ("decimal", "+0012", "12"),
        ("decimal", "-0.00", "0"),
        ("decimal", ".5", "0.5"),
        ("decimal", "5.", "5"),
        ("decimal", "1200", "1200"),
        ("date", "2024-02-29", "2024-02-29"),
        ("date", "2024-02-29T10:00:00", "2024-02-29"),
        ("boolean", "TRUE", True),
        ("boolean", "否", False),
        ("boolean", "1", True),
        ("category", "金卡", "金卡"),
    ],
)
def test_a_good_value_becomes_canonical(kind, text, value):
    """A value of its declared type is read to one canonical form."""
    found = read(text, kind)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("kind", "text", "rule"),
    [
        ("integer", "12.0", "not_integer"),
        ("integer", "1,200", "not_integer"),
        ("integer", "١٢", "not_integer"),
        ("integer", "9223372036854775808", "out_of_range"),
        ("integer", "9" * 5000, "not_integer"),
        ("decimal", "1,200.5", "not_decimal"),
        ("decimal", "1e5", "not_decimal"),
        ("decimal", "NaN", "not_decimal"),
        ("decimal", ".", "not_decimal"),
        ("decimal", "-", "not_decimal"),
        ("decimal", "¥5", "not_decimal"),
        ("decimal", "1" * 39, "out_of_range"),
        ("date", "2023-02-29", "not_date"),
        ("date", "29/02/2024", "not_date"),
        ("date", "20240229", "not_date"),
        ("boolean", "maybe", "not_boolean"),
        ("category", "a\nb", "not_category"),
        ("category", "x" * 129, "not_category"),
    ],
)
def test_a_bad_value_is_refused_without_being_shown(kind, text, rule):
    """A value that is not plainly of its type is refused; the refusal does not quote it."""
    with pytest.raises(AttributeRefused) as refused:
        read(text, kind)
    assert refused.value.rule == rule
    assert refused.value.next_step.endswith(".")
    assert text not in refused.value.next_step or len(text) == 1
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


def test_declared_formats_are_tried_in_order():
    """Declared date formats replace the standard one, the first that fits counts."""
    assert read("03/04/2024", "date", "%d/%m/%Y", "%m/%d/%Y") == "2024-04-03"
    assert read("03/14/2024", "date", "%d/%m/%Y", "%m/%d/%Y") == "2024-03-14"
    with pytest.raises(AttributeRefused):
        read("2024-03-14", "date", "%d/%m/%Y", "%m/%d/%Y")


@given(st.integers(-(2**63), 2**63 - 1))
@settings(deadline=None)
def test_an_integer_survives(number):
    """Any 64-bit integer is read back as itself."""
    assert read(str(number), "integer") == number


@given(
    st.decimals(
        allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20, places=4
    )
)
@settings(deadline=None)
def test_equal_decimals_are_equal_text(number):
    """Reading a decimal twice is reading it once, and idle zeros do not count."""
    once = read(format(number, "f"), "decimal")
    assert read(once, "decimal") == once
    assert Decimal(once) == number
    assert read(format(number, "f") + "00", "decimal") == once
    assert canonical_decimal(number) == once
