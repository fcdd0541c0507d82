"""Decisions as a caller meets them."""

import dataclasses
import json
from pathlib import Path

import pytest

import policies
from policies.decision import DEFAULT_RULE, NOBODY, Policy, Scope, Subject
from policies.duties import duty_conflicts
from policies.enforcer import compile_policy, load_policy, read_source
from policies.organisation import read_organisation
from policies.policyfile import read_rules
from policies.reasons import Reason
from policies.vocabulary import (
    DATA_FIELDS,
    EVERY_CIRCUMSTANCES,
    Action,
    Circumstances,
    FieldClass,
    Purpose,
    Role,
    Treatment,
)

EXAMPLES = Path(policies.__file__).parent / "examples"
CASES = [
    pytest.param(case, id=f"{path.stem}: {case['says']}")
    for path in sorted(EXAMPLES.glob("*.json"))
    if path.stem != "organisation"
    for case in json.loads(path.read_text(encoding="utf-8"))
]
ORGANISATION = json.loads((EXAMPLES / "organisation.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def policy():
    return Policy(load_policy(), read_organisation(ORGANISATION))


def subject(entry):
    """Read a subject of the examples: lists are sets."""
    sets = {name: frozenset(held) for name, held in entry.items() if isinstance(held, list)}
    return Subject(**{**entry, **sets})


@pytest.mark.parametrize("case", CASES)
def test_every_example_decides_as_it_says(policy, case):
    """The examples that ship with the policy are true."""
    decision = policy.decide(
        subject(case["subject"]),
        case["action"],
        case["field_class"],
        case["purpose"],
        None if case["stores"] is None else frozenset(case["stores"]),
        subject(case["approver"]) if "approver" in case else None,
    )
    assert {
        "allowed": decision.allowed,
        "treatment": decision.treatment.word,
        "reason": decision.reason,
    } == case["expect"]


def test_examples_cover_every_role_and_nearly_every_reason():
    """Every role has examples, and every reason that the shipped policy can give."""
    roles = {case.values[0]["subject"]["role"] for case in CASES}
    reasons = {case.values[0]["expect"]["reason"] for case in CASES}
    assert roles >= set(Role)
    # No line that ships is lowered by another one, or has a condition. Somebody who is not
    # there asks nothing: others ask about them.
    elsewhere = {Reason.LOWERED, Reason.NOT_NOW, Reason.UNKNOWN_SUBJECT}
    assert reasons == {reason.value for reason in Reason} - elsewhere


CLERK = Subject("clerk", "clerk", "BJ01")
MANAGER = Subject("manager", "manager", "north")
HEADQUARTERS = Subject("office", "headquarters", "kith")
OFFICER = Subject("officer", "compliance", "kith")


def test_every_reason_has_a_sentence():
    """A reason is a code for programs and a sentence for people."""
    sentences = [reason.sentence for reason in Reason]
    assert len(set(sentences)) == len(Reason)
    assert all(sentence.endswith(".") for sentence in sentences)


def test_a_decision_names_its_line(policy):
    """The rule of a decision is the policy line, or `default` where no line decided."""
    stores = frozenset({"BJ01"})
    read = policy.decide(CLERK, Action.READ, FieldClass.PHONE, Purpose.SERVICE, stores)
    assert read.rule.endswith("p, clerk, read, contact, mask, service, allow")
    note = policy.decide(CLERK, Action.READ, FieldClass.NOTE, Purpose.SERVICE, stores)
    assert (note.allowed, note.rule) == (False, DEFAULT_RULE)


def test_scope_lists_the_stores_under_the_node(policy):
    """A row filter is the set of stores under the node, and everybody for the only brand."""
    assert policy.scope(CLERK, "read", "service") == Scope(all=False, stores=frozenset({"BJ01"}))
    assert policy.scope(MANAGER, "read", "service").stores == {"BJ01", "BJ02"}
    assert policy.scope(HEADQUARTERS, "read", "service").all


@pytest.mark.parametrize(
    ("who", "action", "purpose"),
    [
        (OFFICER, "read", "service"),
        (CLERK, "export", "marketing"),
        (CLERK, "read", "marketing"),
        (CLERK, "peek", "service"),
        (HEADQUARTERS, "export", "marketing"),
        (Subject("x", "clerk", "nowhere"), "read", "service"),
        (Subject("x", "clerk", "kith"), "read", "service"),
        (Subject("x", "root", "kith"), "read", "service"),
        (Subject("x", "service", "kith"), "publish", "marketing"),
    ],
)
def test_an_empty_scope_is_nobody(policy, who, action, purpose):
    """Whoever may not do a thing gets a filter that lets nobody through, not everybody."""
    scope = policy.scope(who, action, purpose)
    assert scope == NOBODY
    assert not scope.includes(frozenset())
    assert not scope.includes(frozenset({"BJ01"}))
    assert set(policy.treatments(who, action, purpose).values()) == {Treatment.OMIT}


def test_a_page_has_every_field(policy):
    """Treatments hold every field class, so that a page never meets one without an answer."""
    page = policy.treatments(CLERK, "read", "service")
    assert set(page) == set(DATA_FIELDS)
    assert page[FieldClass.PHONE] is Treatment.MASK
    assert page[FieldClass.CITY] is Treatment.CLEAR
    assert page[FieldClass.NATIONAL_ID] is Treatment.OMIT


def test_a_service_page_is_its_contract(policy):
    """A service's page shows the fields of its contract and no other one."""
    service = Subject("crm", "service", "kith", frozenset({"phone", "note"}), "marketing")
    page = policy.treatments(service, "publish", "marketing")
    shown = {field for field, treatment in page.items() if treatment is not Treatment.OMIT}
    assert shown == {FieldClass.PHONE}


def test_with_several_brands_nobody_sees_people_without_a_store():
    """A person without a store belongs to no brand in particular, so no brand sees them."""
    two = [*ORGANISATION, {"id": "other", "kind": "brand", "name": "Other"}]
    policy = Policy(load_policy(), read_organisation(two))
    decision = policy.decide(HEADQUARTERS, "read", "name", "service", frozenset())
    assert decision.reason is Reason.NO_STORE
    assert policy.decide(HEADQUARTERS, "read", "name", "service", frozenset({"GZ01"})).allowed


def test_an_approver_covers_what_they_approve(policy):
    """Approval needs the right to approve, at or above the node of who asks."""
    asks = (HEADQUARTERS, "export", "none", "marketing", None)
    assert policy.decide(*asks, OFFICER).allowed
    assert not policy.decide(*asks, MANAGER).allowed
    assert not policy.decide(*asks, Subject("officer", "compliance", "north")).allowed
    assert not policy.decide(*asks, Subject("office", "compliance", "kith")).allowed


@pytest.mark.parametrize(("approver", "backed"), [(OFFICER, True), (MANAGER, False), (None, False)])
def test_an_approved_export_has_rows_and_fields(policy, approver, backed):
    """Row filter and page ask for the same second person as the decision does."""
    scope = policy.scope(HEADQUARTERS, "export", "marketing", approver)
    assert scope.all is backed
    page = policy.treatments(HEADQUARTERS, "export", "marketing", approver)
    assert (set(page.values()) == {Treatment.OMIT}) is not backed


def test_nobody_approves_for_another_brand():
    """Invariant 5: who stands behind it oversees every store of who asks, not only a brand."""
    two = [
        *ORGANISATION,
        {"id": "other", "kind": "brand", "name": "Other"},
        {"id": "other-1", "kind": "store", "name": "One", "parent": "other"},
    ]
    policy = Policy(load_policy(), read_organisation(two))
    stranger = dataclasses.replace(OFFICER, node="other")
    asks = (HEADQUARTERS, "export", "none", "marketing", None)
    assert policy.decide(*asks, OFFICER).allowed
    assert policy.decide(*asks, stranger).reason is Reason.NEEDS_APPROVAL
    assert policy.scope(HEADQUARTERS, "export", "marketing", stranger) == NOBODY


def test_masks_follow_the_field_class(policy):
    """A policy masks by field class; a class it does not know shows nothing."""
    assert policy.mask("phone", "13812348000") == "138****8000"
    assert policy.mask("remark", "张三 朝阳店") == "***"
    assert policy.mask("shoe_size", "42") == "***"
    assert policy.mask("none", "42") == "***"


def test_answers_cannot_be_changed(policy):
    """Decisions, subjects, the table and its version are frozen."""
    assert policy.version == policy.compiled.version
    decision = policy.decide(CLERK, "read", "phone", "service", frozenset({"BJ01"}))
    with pytest.raises(dataclasses.FrozenInstanceError):
        decision.allowed = True
    with pytest.raises(dataclasses.FrozenInstanceError):
        CLERK.role = "headquarters"
    with pytest.raises(TypeError):
        policy.compiled.table["clerk", "read", "note", "service"] = decision


FRAUD = ("reveal", "bank_card", "fraud", frozenset({"GZ01"}))


def test_an_emergency_does_without_the_second_person_and_no_more(policy):
    """Invariant 5: it opens what needs approval, for who may break the glass, in their scope."""
    assert policy.decide(HEADQUARTERS, *FRAUD).reason is Reason.NEEDS_APPROVAL
    assert policy.decide(HEADQUARTERS, *FRAUD, emergency=True).treatment is Treatment.CLEAR
    north = dataclasses.replace(HEADQUARTERS, node="north")
    assert policy.decide(north, *FRAUD, emergency=True).reason is Reason.OUTSIDE_SCOPE
    assert policy.decide(MANAGER, *FRAUD, emergency=True).reason is Reason.NO_RULE
    keyed = dataclasses.replace(HEADQUARTERS, actions=frozenset({"reveal"}))
    assert policy.decide(keyed, *FRAUD, emergency=True).reason is Reason.NEEDS_APPROVAL
    out = policy.decide(HEADQUARTERS, "export", "none", "marketing", None, emergency=True)
    assert out.reason is Reason.NEEDS_APPROVAL


@pytest.mark.parametrize(
    ("approver", "backed"),
    [
        (OFFICER, True),
        (dataclasses.replace(OFFICER, id="office"), False),
        (dataclasses.replace(OFFICER, id="Office"), False),
        (dataclasses.replace(OFFICER, role="manager"), False),
        (dataclasses.replace(OFFICER, node="north"), False),
        (dataclasses.replace(OFFICER, actions=frozenset({"audit"})), False),
        (None, False),
    ],
)
def test_who_stands_behind_a_reveal(policy, approver, backed):
    """Invariant 5: somebody else, who may approve, of a node that holds all of the stores."""
    decision = policy.decide(HEADQUARTERS, *FRAUD, approver)
    assert decision.allowed is backed
    page = policy.treatments(HEADQUARTERS, "reveal", "fraud", approver)
    assert (page[FieldClass.BANK_CARD] is Treatment.CLEAR) is backed
    assert page[FieldClass.PHONE] is Treatment.CLEAR


def test_a_key_narrows_and_never_widens(policy):
    """Invariant 7: of what a key is for, the subject may what the role may, and no more."""
    stores = frozenset({"BJ01"})
    narrow = dataclasses.replace(CLERK, actions=frozenset({"find", "export", "reveal"}))
    assert policy.decide(narrow, "find", "phone", "service", None).allowed
    assert policy.decide(narrow, "read", "phone", "service", stores).reason is Reason.OUTSIDE_KEY
    assert policy.decide(narrow, "reveal", "phone", "service", stores).reason is Reason.DENIED
    assert policy.scope(narrow, "read", "service") == NOBODY
    assert set(policy.treatments(narrow, "read", "service").values()) == {Treatment.OMIT}
    nothing = dataclasses.replace(CLERK, actions=frozenset())
    assert policy.decide(nothing, "find", "phone", "service", None).reason is Reason.OUTSIDE_KEY


def test_a_key_for_an_action_shows_what_the_action_shows(policy):
    """Invariant 7: a key that is for reading takes nothing from a page that is read."""
    reading = dataclasses.replace(CLERK, actions=frozenset({"read"}))
    assert policy.scope(reading, "read", "service") == policy.scope(CLERK, "read", "service")
    page = policy.treatments(reading, "read", "service")
    assert page == policy.treatments(CLERK, "read", "service")
    assert page[FieldClass.PHONE] is Treatment.MASK


def test_a_condition_holds_or_does_not(policy):
    """Invariant 6: a conditional line grants while all that it needs holds, in every answer."""
    source = read_source()
    only = "p, clerk, read, phone, mask, service, allow, at_store+on_shift"
    conditional = Policy(
        compile_policy(dataclasses.replace(source, rules=read_rules(only))), policy.organisation
    )
    assert conditional.version != policy.version
    for held in EVERY_CIRCUMSTANCES:
        there = dataclasses.replace(CLERK, circumstances=held)
        decision = conditional.decide(there, "read", "phone", "service", frozenset({"BJ01"}))
        needed = Circumstances.AT_STORE | Circumstances.ON_SHIFT
        holds = held & needed == needed
        assert decision.reason is (Reason.GRANTED if holds else Reason.NOT_NOW)
        assert decision.rule == only.replace("p,", "line 1: p,").replace(
            "at_store+on_shift", "on_shift+at_store"
        )
        assert (conditional.scope(there, "read", "service") != NOBODY) is holds
        page = conditional.treatments(there, "read", "service")
        assert page[FieldClass.PHONE] is (Treatment.MASK if holds else Treatment.OMIT)


def test_nobody_is_operator_and_officer():
    """Whoever is an operator or an officer is nothing else, however their id is spelt."""
    conflicts = duty_conflicts(
        [
            Subject("Ann", Role.OPERATOR, "kith"),
            Subject("ann ", Role.COMPLIANCE, "kith"),
            Subject("bob", Role.CLERK, "BJ01"),
            Subject("bob", Role.MANAGER, "north"),
            Subject("eve", Role.OPERATOR, "kith"),
            Subject("eve", Role.OPERATOR, "kith"),
        ]
    )
    assert [(conflict.principal, conflict.roles) for conflict in conflicts] == [
        ("ann", ("compliance", "operator"))
    ]
    assert "Next:" in conflicts[0].sentence
