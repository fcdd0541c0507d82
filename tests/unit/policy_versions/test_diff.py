"""What another policy changes for people: `cdp/policy/diff.py`, `cdp/policy/circumstances.py`."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdp.policy import circumstances, content
from cdp.policy.diff import Change, Restated, difference, level
from policies.vocabulary import EVERY_CIRCUMSTANCES, Circumstances
from tests.unit.policy_versions.texts import CONTACT, GENDER, edited

SHIPPED = content.compiled(content.shipped())
ON_SHIFT, AT_STORE = Circumstances.ON_SHIFT, Circumstances.AT_STORE


def against_shipped(text):
    """What changes when that text comes into force."""
    return difference(SHIPPED, content.compiled(text))


def test_a_line_more_widens():
    """Diff 2: who sees more is named, with what they saw before, and marked."""
    line = "p, clerk, read, postcode, clear, service, allow"
    found = against_shipped(edited(GENDER, f"{GENDER}\n{line}"))
    change = Change("clerk", "read", "service", ("postcode",), "always", "refused", "clear")
    assert found.changes == (change,)
    assert (found.restated, found.widens, found.empty) == ((), True, False)


def test_a_line_less_narrows():
    """Diff 2: nobody sees more, so nothing is marked; fields of one line stand together."""
    found = against_shipped(edited(CONTACT, ""))
    fields = ("name", "phone", "email", "address")
    change = Change("clerk", "read", "service", fields, "always", "masked", "refused")
    assert (found.changes, found.widens) == ((change,), False)


def test_showing_it_clear_instead_of_masked_widens():
    """Diff 2: more of a field is more, though it was shown before."""
    found = against_shipped(edited(CONTACT, CONTACT.replace("mask", "clear")))
    assert {(one.before, one.after, one.widens) for one in found.changes} == {
        ("masked", "clear", True)
    }


def test_a_line_that_another_one_grants_changes_nothing():
    """Diff 1: what counts is the decision: other lines, remarks and groups may say the same."""
    line = "p, clerk, read, phone, mask, service, allow"
    found = against_shipped(edited(CONTACT, f"# a remark\n{CONTACT}\n{line}"))
    assert found.empty
    assert not found.widens
    assert found.before != found.after


def test_a_condition_narrows_while_it_does_not_hold():
    """Diff 2: an action that needed nothing and now needs a shift is refused off shift."""
    found = against_shipped(edited(GENDER, f"{GENDER}, on_shift"))
    (change,) = found.changes
    assert (change.when, change.before, change.after) == ("unless on_shift", "clear", "refused")
    assert not found.widens


def test_the_way_back_is_the_same_turned_round():
    """Diff 3: what narrows one way widens the other."""
    other = content.compiled(edited(CONTACT, f"{CONTACT}, at_store"))
    there, back = difference(SHIPPED, other), difference(other, SHIPPED)
    turned = [replace(one, before=one.after, after=one.before) for one in back.changes]
    assert tuple(turned) == there.changes
    assert (there.widens, back.widens) == (False, True)


@pytest.mark.parametrize(
    ("old", "new", "file", "expected"),
    [
        ("phone: phone", "phone: whole", "masking.yaml",
         Restated("mask of phone", "phone", "whole", widens=False)),
        ("given_name: whole", "given_name: name", "masking.yaml",
         Restated("mask of given_name", "whole", "name", widens=True)),
        ("phone: phone", "phone: last_four", "masking.yaml",
         Restated("mask of phone", "phone", "last_four", widens=True)),
        ("legal_basis: consent\n    consent: true\n    sensitive: false\n    says: Messages",
         "legal_basis: consent\n    consent: false\n    sensitive: false\n    says: Messages",
         "purposes.yaml",
         Restated("consent for marketing", "needed", "not needed", widens=True)),
        ("sensitive: false\n    says: Messages", "sensitive: true\n    says: Messages",
         "purposes.yaml",
         Restated("sensitive tier for marketing", "kept out", "may be touched", widens=True)),
        ("legal_basis: legal_duty", "legal_basis: contract", "purposes.yaml",
         Restated("legal basis of legal", "legal_duty", "contract", widens=False)),
        ("says: Messages", "says: More messages", "purposes.yaml",
         Restated("meaning of marketing", "Messages and offers to people who agreed to them.",
                  "More messages and offers to people who agreed to them.", widens=False)),
    ],
)  # fmt: skip
def test_masks_and_purposes_are_compared(old, new, file, expected):
    """Diff 1 and 2: what is restated for everybody is told, and marked where it may show more."""
    found = against_shipped(edited(old, new, file))
    assert found.changes == ()
    assert found.restated == (expected,)
    assert found.widens is expected.widens
    assert not found.empty


def test_a_policy_differs_in_nothing_from_itself():
    """Diff 1: and the JSON says so."""
    found = difference(SHIPPED, SHIPPED)
    assert found.empty
    assert found.to_json() == {
        "before": SHIPPED.version,
        "after": SHIPPED.version,
        "widens": False,
        "changes": [],
        "restated": [],
    }


def test_the_json_says_what_the_tables_say():
    """Every part of a change is there for programs."""
    found = against_shipped(edited("phone: phone", "phone: whole", "masking.yaml"))
    assert found.to_json()["restated"] == [
        {"what": "mask of phone", "before": "phone", "after": "whole", "widens": False}
    ]
    (told,) = against_shipped(edited(GENDER, "")).to_json()["changes"]
    assert told == {
        "role": "clerk",
        "action": "read",
        "purpose": "service",
        "fields": ["gender"],
        "when": "always",
        "before": "clear",
        "after": "refused",
        "widens": False,
    }


@settings(max_examples=30)
@given(st.data())
def test_without_a_difference_every_decision_is_the_same(data):
    """Diff 1: two tables differ in a level somewhere, or the difference is empty."""
    keys = data.draw(st.lists(st.sampled_from(sorted(SHIPPED.table)), max_size=3))
    table = dict(SHIPPED.table)
    for key in keys:
        other = data.draw(st.sampled_from(sorted(SHIPPED.table)))
        table[key] = SHIPPED.table[other]
    found = difference(SHIPPED, replace(SHIPPED, table=table))
    levels = [
        [level(one) for one in SHIPPED.table[key]] != [level(one) for one in table[key]]
        for key in keys
    ]
    assert found.empty is not any(levels)


@pytest.mark.parametrize(
    ("held", "words"),
    [
        (EVERY_CIRCUMSTANCES, "always"),
        ([], "never"),
        ([one for one in EVERY_CIRCUMSTANCES if ON_SHIFT in one], "on_shift"),
        ([one for one in EVERY_CIRCUMSTANCES if ON_SHIFT not in one], "unless on_shift"),
        (
            [one for one in EVERY_CIRCUMSTANCES if ON_SHIFT in one and AT_STORE in one],
            "on_shift+at_store",
        ),
        (
            [one for one in EVERY_CIRCUMSTANCES if ON_SHIFT in one or AT_STORE in one],
            "on_shift or at_store",
        ),
        ([ON_SHIFT], "exactly on_shift"),
        ([Circumstances(0), ON_SHIFT | AT_STORE], "exactly none of them or on_shift+at_store"),
    ],
)
def test_circumstances_in_words(held, words):
    """A set of combinations is said in the fewest words that mean exactly it."""
    assert circumstances.when(held) == words


@given(st.sets(st.sampled_from(EVERY_CIRCUMSTANCES)))
def test_two_sets_of_circumstances_have_two_descriptions(held):
    """No two sets read alike, so that a description never says more than it should."""
    for one in EVERY_CIRCUMSTANCES:
        other = held ^ {one}
        assert circumstances.when(sorted(held)) != circumstances.when(sorted(other))
