"""The reference interpreter, and the rules that ship with Kith."""

import datetime as dt

import pytest

from cdp.tags.ast import Attribute, Comparison, DaysSince, Negation, Operator, operands
from cdp.tags.evaluate import Facts, evaluate, holds
from cdp.tags.parse import parse
from cdp.tags.run import load

TODAY = dt.date(2026, 3, 1)


def facts(**attributes: object) -> Facts:
    return Facts(attributes, size=1, stores_count=0)


def ago(days: int) -> str:
    return (TODAY - dt.timedelta(days=days)).isoformat()


@pytest.mark.parametrize(
    ("bought", "opened", "expected"),
    [
        (None, 0, "new"),
        (5, 30, "new"),
        (5, 31, "active"),
        (90, 400, "active"),
        (None, 90, "active"),
        (91, 400, "dormant"),
        (181, 400, "lapsed"),
        (365, 4000, "lapsed"),
        (366, 4000, "lost"),
        (None, 366, "lost"),
        (None, None, "unknown"),
    ],
)
def test_lifecycle_follows_the_days_since_the_last_purchase(bought, opened, expected):
    """Who never bought is judged by when they joined."""
    dates = {"last_purchase": bought, "opened_on": opened}
    known = {name: ago(days) for name, days in dates.items() if days is not None}
    assert evaluate(load(None), facts(**known), TODAY)["lifecycle"] == expected


@pytest.mark.parametrize(
    ("spent", "orders", "bought", "expected"),
    [
        ("8000", 1, 900, "high"),
        ("7999.99", 1, 1, "middle"),
        ("4000", 12, 180, "high"),
        ("4000", 12, 181, "middle"),
        ("1500", 1, 1, "middle"),
        ("1499.99", 1, 1, "low"),
        ("0.01", 1, 1, "low"),
        ("0", 0, 1, "none"),
        (None, 50, 1, "none"),
    ],
)
def test_value_follows_money_and_counts_often_and_lately(spent, orders, bought, expected):
    """A bound belongs to the better value, to the last cent."""
    known = {"total_spent": spent, "orders": orders, "last_purchase": ago(bought)}
    assert evaluate(load(None), facts(**known), TODAY)["value"] == expected


@pytest.mark.parametrize("raw", [None, "5", 5.0, True, [], "five"], ids=repr)
def test_what_is_not_of_its_type_is_unknown(raw):
    """AST 2: A comparison with something unknown is false, and not is true."""
    reads = Comparison(Attribute("x", "integer"), Operator.AT_LEAST, (0,))
    assert not holds(reads, facts(x=raw), TODAY)
    assert holds(Negation(reads), facts(x=raw), TODAY)
    assert not holds(Comparison(reads.operand, Operator.BELOW, (0,)), facts(x=raw), TODAY)


@pytest.mark.parametrize("raw", ["2026-02-30", "0000-01-01", "2026-1-1", "20260102", 20260101])
def test_a_day_that_does_not_exist_is_unknown(raw):
    """AST 2: No stored text can make a rule fail."""
    for operator in Operator:
        assert not holds(Comparison(DaysSince("d"), operator, (0,)), facts(d=raw), TODAY)


def test_decimals_are_exact():
    """AST 3: A tenth is a tenth, not its nearest binary fraction."""
    third = Comparison(
        Attribute("x", "decimal"), Operator.EQUAL, parse_constants("0.30000000000000000001")
    )
    assert holds(third, facts(x="0.30000000000000000001"), TODAY)
    assert not holds(third, facts(x="0.3"), TODAY)


def parse_constants(text: str):
    file = {
        "version": 1,
        "attributes": {"x": "decimal"},
        "tags": {
            "t": {
                "values": [{"value": "y", "when": {"attribute": "x", "==": text}}],
                "otherwise": "n",
            }
        },
    }
    return parse(file).tags[0].choices[0].when.constants


def test_operands_are_listed_once():
    """What is read twice is typed once."""
    tag = load(None).tags[0]
    read = {one for choice in tag.choices for one in operands(choice.when)}
    assert read == {DaysSince("opened_on"), DaysSince("last_purchase")}
