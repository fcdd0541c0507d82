"""The identifier catalogue; invariants of `identity/catalogue.py`."""

import copy
import json
from importlib import resources

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from identity import catalogue_schema, identifiers
from identity.catalogue import PATTERNS, Blocked, parse, shipped
from identity.comparisons import COMPARISONS
from identity.errors import CatalogueError
from identity.features import FEATURES
from identity.model import UNTRAINED

TEXT = resources.files("identity").joinpath("identifiers.yaml").read_text("utf-8")
CLUB = {
    "about": "a number of the members' club",
    "scope": "brand",
    "strength": {"wrong_share": 0.001, "because": "issued at the desk"},
    "feeds": "accounts",
}
GONE = object()


def changed(entry, path, value):
    """A copy of an entry with one key replaced, or gone."""
    entry = copy.deepcopy(entry)
    *steps, last = path.split(".")
    node = entry
    for step in steps:
        node = node.setdefault(step, {})
    if value is GONE:
        del node[last]
    else:
        node[last] = value
    return entry


def own(**more):
    """The shipped catalogue and a club number."""
    return shipped().with_types({"club_number": CLUB | more})


# ── what ships ──────────────────────────────────────────────────────────────


def test_the_shipped_catalogue_feeds_features_that_exist():
    """A type feeds a feature of identity, or none."""
    declared = {feature.name for feature in FEATURES} | {"none"}
    assert {one.feeds for one in shipped().types.values()} <= declared


def test_the_file_has_the_form_of_its_schema():
    """The schema is one, and an editor finds nothing wrong with the file that ships."""
    schema = json.loads(
        resources.files("identity").joinpath("identifiers.schema.json").read_text("utf-8")
    )
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(yaml.safe_load(TEXT))
    patterns = schema["$defs"]["type"]["properties"]["blocked"]["properties"]["patterns"]
    assert set(patterns["items"]["enum"]) == set(PATTERNS)


def test_every_keyword_of_the_schema_is_explained():
    """No broken rule of the schema leaves a person without a next step."""
    schema = json.dumps(json.loads(
        resources.files("identity").joinpath("identifiers.schema.json").read_text("utf-8")
    ))  # fmt: skip
    structure = {"properties", "propertyNames", "items"}
    keywords = {word for word in Draft202012Validator.VALIDATORS if f'"{word}": ' in schema}
    ours = {"scope", "unique", "$ref", "$dynamicRef"}
    assert keywords - structure - ours <= set(catalogue_schema._EXPLANATIONS)


def test_what_several_people_hold_feeds_nothing():
    """What families and staff share, or what changes hands every week, joins nobody."""
    assert {"device_id", "anonymous_id", "oaid", "privacy_phone"} <= set(shipped().feeding("none"))


def test_people_are_counted_for_what_hands_type_in():
    """Invariant 2: phones, mail addresses and cards have a limit; what is issued has none."""
    counted = {n for n, one in shipped().types.items() if one.most_people is not None}
    assert counted == {"phone", "email", "loyalty_card"}
    assert identifiers.most_people("email") == shipped()["email"].most_people
    with pytest.raises(ValueError, match="unionid are not counted"):
        identifiers.most_people("unionid")


def test_the_catalogue_says_who_is_kept_apart():
    """Invariant 2: `unique` is read: from its own comparison, or among the accounts."""
    unique = {n for n, one in shipped().types.items() if one.unique}
    assert unique == {"national_id"}
    assert shipped().held_apart == ()
    assert own(unique=True).held_apart == ("club_number",)
    assert own(unique=True, feeds="none").held_apart == ("club_number",)
    assert {one.name for one in COMPARISONS if one.exclusive} == {"ID number", "account"}


def test_identity_weighs_by_the_catalogue():
    """The shares that training starts from, and the limit on a phone, stand in the file."""
    assert dict(identifiers.WRONG_SHARE) == {
        "unionid": 0.005, "e-mail": 0.01, "ID number": 0.001, "tax number": 0.001, "account": 0.002,
    }  # fmt: skip
    assert set(identifiers.WRONG_SHARE) <= {comparison.name for comparison in COMPARISONS}
    assert identifiers.most_people("phone") == UNTRAINED.most_people


# ── what is blocked ─────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("pattern", "blocked", "free"),
    [
        ("repeated", ["0", "000000", "aa"], ["", "7", "10"]),
        ("repeated_tail", ["13888888888", "00000000"], ["13888888889", "8888888", ""]),
        ("counting_tail", ["13812345678", "18601234567", "13987654321"], ["13813579135", "1234"]),
        ("counting_head", ["12345678900"], ["13456789000", "1234567", ""]),
    ],
)
def test_each_pattern_is_what_it_is_called(pattern, blocked, free):
    """Invariant 4: a pattern is one of four that the code knows, each with a fixed meaning."""
    rule = Blocked(patterns=(pattern,))
    assert [text for text in blocked if not rule.blocks(text)] == []
    assert [text for text in free if rule.blocks(text)] == []


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(shipped().fillers.values)), st.booleans())
def test_a_filler_is_blocked_in_any_case(word, loud):
    """NULL, Null and null say the same: nothing."""
    assert shipped()["loyalty_card"].blocked.blocks(word.upper() if loud else word)


def test_an_own_type_blocks_the_fillers_and_its_own_values():
    """Fillers are blocked unless the type says otherwise."""
    blocked = own(blocked={"values": ["DESK-1"]})["club_number"].blocked
    assert [blocked.blocks(text) for text in ("desk-1", "null", "0000")] == [True] * 3
    alone = own(blocked={"values": ["DESK-1"], "fillers": False})["club_number"].blocked
    assert [alone.blocks(text) for text in ("desk-1", "null", "0000")] == [True, False, False]


# ── what a workspace adds ───────────────────────────────────────────────────


def test_an_own_type_stands_beside_the_ones_that_ship():
    """What a workspace adds feeds accounts, and nothing that ships changes."""
    whole = own()
    assert whole.added == {"club_number"}
    assert whole.feeding("accounts") == (*shipped().feeding("accounts"), "club_number")
    assert {name: whole[name] for name in shipped().types} == shipped().types
    assert "club_number" not in shipped()
    assert whole["club_number"].scoped


def test_what_decides_the_reading_is_told_apart_from_words_for_people():
    """Other blocked values mean reading again; another description does not."""
    one, other = own()["club_number"], own(about="something else")["club_number"]
    assert one.reading() == other.reading()
    assert one.reading() != own(blocked={"values": ["x1"]})["club_number"].reading()
    assert one.reading() != own(unique=True)["club_number"].reading()
    assert one.reading() != own(most_people=3)["club_number"].reading()
    assert json.dumps(one.reading()) == json.dumps(own()["club_number"].reading())


@pytest.mark.parametrize(
    ("path", "value", "rule", "at"),
    [
        ("about", GONE, "key_missing", "about"),
        ("about", "", "empty", "about"),
        ("about", "x" * 201, "too_long", "about"),
        ("about", 7, "wrong_type", "about"),
        ("scop", "brand", "unknown_key", "scop"),
        ("scope", "galaxy", "not_one_of", "scope"),
        ("feeds", "phones", "not_one_of", "feeds"),
        ("feeds", "national_id", "not_one_of", "feeds"),
        ("field", "phone", "unknown_key", "field"),
        ("strength", 0.1, "wrong_type", "strength"),
        ("strength.wrong_share", 1.5, "wrong_share", "strength.wrong_share"),
        ("strength.wrong_share", "little", "wrong_share", "strength.wrong_share"),
        ("strength.wrong_share", "measured", "wrong_share", "strength.wrong_share"),
        ("strength.wrong_share", 0.3, "too_weak", "strength.wrong_share"),
        ("unique", "yes", "wrong_type", "unique"),
        ("exclusive", True, "unknown_key", "exclusive"),
        ("most_people", 0, "too_small", "most_people"),
        ("most_people", 200, "too_large", "most_people"),
        ("most_people", {"count": 3}, "wrong_type", "most_people"),
        ("blocked.values", [None], "wrong_type", "blocked.values.0"),
        ("blocked.values", ["a", "a"], "repeated", "blocked.values"),
        ("blocked.values", [str(n) for n in range(1001)], "too_many", "blocked.values"),
        ("blocked.patterns", ["^1[3-9]"], "not_one_of", "blocked.patterns.0"),
        ("blocked.regex", "(a+)+", "unknown_key", "blocked.regex"),
        ("validity", {"half_life_days": 90}, "unknown_key", "validity"),
        ("form.characters", "[0-9]+", "not_one_of", "form.characters"),
        ("form", {"characters": "digits", "shortest": 9, "longest": 8}, "no_length", "form"),
    ],
)
def test_a_bad_type_is_refused(path, value, rule, at):
    """Invariants 1, 3, 4: the error names path, rule and next step, and never a value."""
    with pytest.raises(CatalogueError) as refused:
        shipped().with_types({"club_number": changed(CLUB, path, value)})
    assert (refused.value.rule, refused.value.path) == (rule, f"identifiers.club_number.{at}")
    assert refused.value.next_step.endswith((".", "]")), refused.value.next_step
    assert "(a+)+" not in str(refused.value)


@pytest.mark.parametrize(
    ("entries", "rule"),
    [
        ({"phone": CLUB}, "name_taken"),
        ({"Club Number": CLUB}, "wrong_form"),
        ({7: CLUB}, "wrong_type"),
        ([CLUB], "wrong_type"),
        ({"club_number": None}, "wrong_type"),
        ({f"club_{n}": CLUB for n in range(101)}, "too_many"),
        ({"club_number": CLUB | {"feeds": "none", "most_people": 3}}, "not_counted"),
    ],
)
def test_a_bad_section_is_refused(entries, rule):
    """Invariant 3: what ships keeps its meaning, and a name has one form."""
    with pytest.raises(CatalogueError) as refused:
        shipped().with_types(entries)
    assert refused.value.rule == rule


@pytest.mark.parametrize(
    ("path", "value", "rule"),
    [
        ("version", 2, "unknown_version"),
        ("fillers", GONE, "key_missing"),
        ("types.email.feeds", "phones", "fed_twice"),
        ("types.email.strength.wrong_share", "measured", "wrong_share"),
        ("types.device_id.most_people", 3, "not_counted"),
        ("types.unionid.most_people", 3, "not_counted"),
        ("types.email.most_people", GONE, "key_missing"),
        ("types.phone.unique", True, "not_compared"),
        ("types.privacy_phone.field", "telephone", "unknown_field"),
        ("types.privacy_phone.feeds", "accounts", "unknown_field"),
    ],
)
def test_a_catalogue_that_contradicts_itself_is_refused(path, value, rule):
    """Invariants 1, 2: what ships is held to the same rules."""
    document = changed(yaml.safe_load(TEXT), path, value)
    with pytest.raises(CatalogueError) as refused:
        parse(yaml.safe_dump(document, allow_unicode=True))
    assert refused.value.rule == rule


def test_what_is_no_yaml_is_refused():
    """A damaged file says so."""
    with pytest.raises(CatalogueError, match=r"identifiers\.yaml: not_yaml\. Make it valid YAML\."):
        parse("types: [")
