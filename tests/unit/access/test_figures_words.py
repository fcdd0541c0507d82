"""What is typed after ``--by`` and ``--where``: a closed form, read or refused."""

from decimal import Decimal

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from cdp.access.figures import Dimension, Kind
from cdp.access.filters import Criterion
from cdp.cli.figures import criterion, dimension


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("store", Dimension(Kind.STORE)),
        ("node:region", Dimension(Kind.NODE, "region")),
        ("tag:lifecycle", Dimension(Kind.TAG, "lifecycle")),
        ("attribute:a:b", Dimension(Kind.ATTRIBUTE, "a:b")),
        ("consent:marketing", Dimension(Kind.CONSENT, "marketing")),
    ],
)
def test_a_dimension_is_a_kind_and_a_name(text: str, expected: Dimension) -> None:
    """The name is what follows the first colon."""
    assert dimension(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("store=BJ01", Criterion("stores", None, "BJ01")),
        ("tag:lifecycle=active", Criterion("tags", "lifecycle", "active")),
        ("tag:lifecycle=", Criterion("tags", "lifecycle", "")),
        ("attribute:city=a=b\nc", Criterion("attributes", "city", "a=b\nc")),
        ("attribute:orders>=3", Criterion("attributes", "orders", None, Decimal(3))),
        ("attribute:orders<=-1.5", Criterion("attributes", "orders", None, None, Decimal("-1.5"))),
    ],
)
def test_a_criterion_is_a_field_a_sign_and_a_value(text: str, expected: Criterion) -> None:
    """The first sign parts name and value; whatever follows is compared as it is."""
    assert criterion(text) == expected


@given(st.text(min_size=8))
def test_what_is_none_is_refused_and_not_repeated(text: str) -> None:
    """Any text is read or refused; a refusal does not hold it."""
    text += "\ue000"  # a letter of nobody: words of ours are not taken for it
    refusals: list[typer.BadParameter] = []
    for read in (dimension, criterion):
        try:
            read(text)
        except typer.BadParameter as error:
            refusals.append(error)
    assert not any(text in str(error) for error in refusals)
    assert not any("\ue000" in str(error) for error in refusals)


@pytest.mark.parametrize("text", ["phone=1", "tag lifecycle", "attribute:orders>=many", "", "="])
def test_there_is_no_other_form(text: str) -> None:
    """An unknown field, no sign, and a range of words."""
    with pytest.raises(typer.BadParameter):
        criterion(text)
