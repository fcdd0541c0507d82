"""The rule language: what it accepts, and what it refuses with a path and a next step."""

import datetime as dt
from copy import deepcopy
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from cdp.tags.ast import (
    Attribute,
    Comparison,
    Counted,
    DaysSince,
    Every,
    Fact,
    Negation,
    Operator,
    Some,
)
from cdp.tags.errors import RulesWrong
from cdp.tags.parse import MAX_CONDITIONS, MAX_DEPTH, parse, read
from cdp.tags.run import DEFAULT_RULES, load
from cdp.tags.version import rule_version
from connectors.declaration import parse_source

ATTRIBUTES = {
    "spent": "decimal",
    "orders": "integer",
    "last": "date",
    "vip": "boolean",
    "tier": "category",
}
CANARY = "canary-4711"


def rules(when: Any) -> dict[str, Any]:
    """A whole file with one tag of one choice."""
    choice = {"value": "yes", "when": when}
    tag = {"values": [choice], "otherwise": "no"}
    return {"version": 1, "attributes": dict(ATTRIBUTES), "tags": {"t": tag}}


def condition(when: Any) -> Any:
    return parse(rules(when)).tags[0].choices[0].when


def test_every_form_of_the_language_is_read():
    """A condition is a group, or an operand beside operators and constants."""
    spent = Attribute("spent", "decimal")
    assert condition({"attribute": "spent", ">=": "12.50"}) == Comparison(
        spent, Operator.AT_LEAST, (Decimal("12.50"),)
    )
    assert condition({"days_since": "last", "<=": 30}) == Comparison(
        DaysSince("last"), Operator.AT_MOST, (Decimal(30),)
    )
    assert condition({"profile": "size", ">": 1}) == Comparison(
        Counted(Fact.SIZE), Operator.ABOVE, (Decimal(1),)
    )
    assert condition({"attribute": "tier", "in": ["gold", "silver"]}) == Comparison(
        Attribute("tier", "category"), Operator.IN, ("gold", "silver")
    )
    assert condition({"attribute": "last", "<": dt.date(2026, 1, 1)}) == Comparison(
        Attribute("last", "date"), Operator.BELOW, (dt.date(2026, 1, 1),)
    )
    vip = Comparison(Attribute("vip", "boolean"), Operator.EQUAL, (True,))
    assert condition({"not": {"attribute": "vip", "==": True}}) == Negation(vip)
    assert condition({"all": [{"attribute": "vip", "==": True}]}) == Every((vip,))
    assert condition({"any": [{"attribute": "vip", "==": True}]}) == Some((vip,))


def test_several_operators_beside_one_operand_must_all_hold():
    """Two bounds make a range."""
    both = condition({"attribute": "orders", ">=": 1, "<": 5})
    assert isinstance(both, Every)
    assert [one.operator for one in both.conditions] == [Operator.AT_LEAST, Operator.BELOW]


@pytest.mark.parametrize(
    ("when", "rule", "at"),
    [
        ({"eval": CANARY}, "unknown_key", "tags.t.values[0].when.eval"),
        ({"attribute": "spent", "=~": CANARY}, "unknown_key", "tags.t.values[0].when.=~"),
        ({"attribute": CANARY, ">": 1}, "undeclared_attribute", "tags.t.values[0].when.attribute"),
        ({"attribute": "spent"}, "no_operator", "tags.t.values[0].when"),
        ({">": 1}, "not_a_condition", "tags.t.values[0].when"),
        ({}, "not_a_condition", "tags.t.values[0].when"),
        ({"all": [], "any": []}, "not_a_condition", "tags.t.values[0].when"),
        ({"all": []}, "not_a_list", "tags.t.values[0].when.all"),
        ({"all": [{"profile": "size", ">": 1}], ">": 1}, "operator_without_operand", ".when.all"),
        (
            {"any": [{"profile": "size", ">": 1}, {"profile": "name", ">": 1}]},
            "unknown_fact",
            "when.any[1].profile",
        ),
        ({"attribute": "spent", ">": 1.5}, "not_a_number", "when.>"),
        ({"attribute": "spent", ">": CANARY}, "not_a_number", "when.>"),
        ({"attribute": "orders", ">": True}, "not_a_number", "when.>"),
        ({"attribute": "last", ">": "2026-01-01"}, "not_a_date", "when.>"),
        ({"attribute": "vip", "==": CANARY}, "not_a_boolean", "when.=="),
        ({"attribute": "vip", ">": True}, "not_ordered", "when.>"),
        ({"attribute": "tier", "<": CANARY}, "not_ordered", "when.<"),
        ({"attribute": "tier", "==": 5}, "not_text", "when.=="),
        ({"attribute": "orders", "in": [1, CANARY]}, "not_a_number", "when.in[1]"),
        ({"days_since": "spent", ">": 1}, "not_a_date", "when.days_since"),
        (CANARY, "not_a_mapping", "when"),
        ({1: 2}, "not_a_mapping", "when"),
    ],
)
def test_anything_else_is_refused_with_its_path(when, rule, at):
    """AST 1: A refusal names rule, path and next step, and never quotes a constant."""
    with pytest.raises(RulesWrong) as caught:
        condition(when)
    assert caught.value.rule == rule
    assert str(caught.value.where["at"]).endswith(at)
    assert caught.value.next_step
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda file: file.update(version=2), "unknown_version"),
        (lambda file: file.update(version=True), "unknown_version"),
        (lambda file: file.update(imports=["os"]), "unknown_key"),
        (lambda file: file.pop("attributes"), "key_missing"),
        (lambda file: file.update(tags={}), "no_tag"),
        (lambda file: file["attributes"].update(x="float"), "unknown_type"),
        (lambda file: file["attributes"].update({"x; drop": "date"}), "name_form"),
        (lambda file: file["tags"].update({"T": file["tags"]["t"]}), "name_form"),
        (lambda file: file["tags"]["t"].pop("otherwise"), "key_missing"),
        (lambda file: file["tags"]["t"].update(otherwise=None), "not_text"),
        (lambda file: file["tags"]["t"].update(otherwise="x" * 65), "value_form"),
        (lambda file: file["tags"]["t"].update(otherwise=" x"), "value_form"),
        (lambda file: file["tags"]["t"].update(values=[]), "not_a_list"),
        (
            lambda file: file["tags"]["t"].update(values=file["tags"]["t"]["values"] * 2),
            "value_twice",
        ),
    ],
    ids=[f"case{place}" for place in range(1, 15)],
)
def test_a_file_that_is_not_whole_is_refused(change, rule):
    """Version, attribute types, tags, values and otherwise are all needed and checked."""
    file = deepcopy(rules({"profile": "size", ">": 1}))
    change(file)
    with pytest.raises(RulesWrong) as caught:
        parse(file)
    assert caught.value.rule == rule


def test_depth_and_length_are_limited():
    """Aliases of YAML cannot make a rule that never ends."""
    deep: Any = {"profile": "size", ">": 1}
    for _ in range(MAX_DEPTH):
        deep = {"not": deep}
    with pytest.raises(RulesWrong, match="too_deep"):
        condition(deep)
    wide = {"any": [{"profile": "size", ">": 1}] * MAX_CONDITIONS}
    with pytest.raises(RulesWrong, match="too_long"):
        condition(wide)


@pytest.mark.parametrize(
    "text",
    [
        "version: 1\nversion: 1\n",
        "a: [",
        "!!python/object/apply:os.getcwd []",
        "\x00",
        "a: &x [*x]",
    ],
)
def test_an_unreadable_file_names_its_path(tmp_path: Path, text: str):
    """Broken YAML, a key twice and tags of Python are refused; the file is named."""
    path = tmp_path / "tags.yaml"
    path.write_text(text)
    with pytest.raises(RulesWrong) as caught:
        read(path)
    assert caught.value.where["path"] == path
    with pytest.raises(RulesWrong, match="rules_unreadable"):
        read(tmp_path / "missing.yaml")


def test_the_shipped_rules_are_used_until_a_workspace_has_its_own(tmp_path: Path):
    """A tags.yaml beside cdp.yaml replaces the shipped file as a whole."""
    assert load(tmp_path) == load(None) == read(DEFAULT_RULES)
    assert {tag.name: tag.values for tag in load(None).tags} == {
        "lifecycle": ("new", "active", "dormant", "lapsed", "lost", "unknown"),
        "value": ("high", "middle", "low", "none"),
    }
    own = DEFAULT_RULES.read_text("utf-8").replace("lifecycle:", "stage:")
    (tmp_path / "tags.yaml").write_text(own, "utf-8")
    assert [tag.name for tag in load(tmp_path).tags] == ["stage", "value"]


def test_an_attribute_has_the_type_its_source_gives_it():
    """Rules that read a text column as a number are refused before they run."""
    source = parse_source(
        "till",
        {
            "connector": "csv",
            "location": "till.csv",
            "record_id": "id",
            "fields": {"phone": "phone"},
            "attributes": {"orders": {"column": "n", "type": "decimal"}},
        },
    )
    with pytest.raises(RulesWrong, match="attribute_of_another_type"):
        load(None, [source])


def test_a_version_is_what_a_rule_means():
    """Spelling does not change the version; a constant, a type or a value does."""
    written = {"attribute": "spent", ">=": 5}
    version = rule_version(parse(rules(written)).tags[0])
    same = parse(rules({">=": "5.00", "attribute": "spent"})).tags[0]
    assert rule_version(same) == version
    assert len(version) == 64
    others = [rules({"attribute": "spent", ">=": 6}), rules({"attribute": "spent", ">": 5})]
    typed = rules(written)
    typed["attributes"]["spent"] = "integer"
    valued = rules(written)
    valued["tags"]["t"]["otherwise"] = "maybe"
    versions = {rule_version(parse(one).tags[0]) for one in [*others, typed, valued]}
    assert len(versions | {version}) == 5


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["all", "any", "not", "attribute", "profile", ">", "in"]) | st.text(),
            inner,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=150)
@given(_json)
def test_whatever_is_written_is_read_or_refused(when):
    """No content makes the parser fail in another way, and a refusal has a path."""
    refused: RulesWrong | None = None
    try:
        parse(rules(when))
    except RulesWrong as error:
        refused = error
    assert refused is None or refused.where["at"]


def test_the_example_of_the_manual_is_read():
    """The file that docs/howto/write-a-tag.md shows is a file that Kith takes."""
    page = Path(__file__).parents[3] / "docs" / "howto" / "write-a-tag.md"
    example = page.read_text("utf-8").split("```yaml\n")[1].split("```")[0]
    (tag,) = parse(yaml.safe_load(example)).tags
    assert (tag.name, tag.values) == ("care", ("call", "write", "leave"))
