"""A plain specification, Casbin itself and the compiled table give the same answers."""

from dataclasses import replace
from itertools import chain, combinations, product
from types import MappingProxyType

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from policies.decision import DEFAULT_RULE, Policy, Subject
from policies.enforcer import (
    ask,
    build_enforcer,
    compile_policy,
    holding,
    load_policy,
    read_source,
)
from policies.organisation import read_organisation
from policies.policyfile import Rule, Rules
from policies.vocabulary import (
    ALL_CIRCUMSTANCES,
    EVERY_CIRCUMSTANCES,
    NO_CIRCUMSTANCES,
    SENSITIVE,
    SHOWING,
    Action,
    Effect,
    FieldClass,
    Purpose,
    Role,
    Treatment,
    deniable,
    grantable,
    needs_approval,
)

SHIPPED = read_source()
GROUPS = MappingProxyType(
    {
        "first": frozenset({FieldClass.NAME, FieldClass.PHONE}),
        "second": frozenset({FieldClass.PHONE, FieldClass.EMAIL, FieldClass.TAGS}),
    }
)
# A small world, so that lines meet each other and the questions.
ROLES = (Role.CLERK, Role.SERVICE)
ACTIONS = (Action.FIND, Action.READ, Action.REVEAL)
PURPOSES = (Purpose.SERVICE, Purpose.MARKETING)
FIELDS = (FieldClass.NONE, FieldClass.NAME, FieldClass.PHONE, FieldClass.EMAIL, FieldClass.TAGS)
TARGETS = (*FIELDS, *GROUPS)


def members(target):
    return GROUPS.get(target) or frozenset({FieldClass(target)})


@st.composite
def rules(draw, effects=tuple(Effect)):
    action, target = draw(st.sampled_from(ACTIONS)), draw(st.sampled_from(TARGETS))
    effect = draw(st.sampled_from(effects))
    fit = grantable if effect is Effect.ALLOW else deniable
    fitting = set(Treatment)
    for field in members(target):
        fitting &= set(fit(action, field))
    return Rule(
        role=draw(st.sampled_from(ROLES)),
        action=action,
        target=str(target),
        treatment=draw(st.sampled_from(sorted(fitting))),
        purpose=draw(st.sampled_from(PURPOSES)),
        effect=effect,
        condition=draw(st.sampled_from(EVERY_CIRCUMSTANCES))
        if effect is Effect.ALLOW
        else NO_CIRCUMSTANCES,
    )


def means_something(lines):
    """No line repeats or contradicts another one."""
    return all(
        one.effect is other.effect
        and one.condition & other.condition not in {one.condition, other.condition}
        for one, other in combinations(lines, 2)
        if one.words[:5] == other.words[:5]
    )


policies = st.lists(rules(), min_size=1, max_size=8).filter(means_something)


def numbered(lines):
    return Rules(tuple(replace(rule, line=n) for n, rule in enumerate(lines, 1)), GROUPS)


def compiled(lines):
    return compile_policy(replace(SHIPPED, rules=numbered(lines)))


def specification(lines, role, action, field, purpose, held):
    """Return the greatest treatment that is allowed and not denied, or None.

    Allow reaches down: it grants its treatment and all that show less, while everything that
    it needs holds. Deny reaches up: it takes away its treatment and all that show more.
    No line, no right.
    """
    mine = [
        rule
        for rule in lines
        if (rule.role, rule.action, rule.purpose) == (role, action, purpose)
        and (rule.target == field or field in GROUPS.get(rule.target, ()))
        and rule.condition & held == rule.condition
    ]
    best = None
    for treatment in Treatment:
        allowed = any(rule.effect is Effect.ALLOW and rule.treatment >= treatment for rule in mine)
        denied = any(rule.effect is Effect.DENY and rule.treatment <= treatment for rule in mine)
        if allowed and not denied:
            best = treatment
    return best


def by_casbin(enforcer, role, action, field, purpose, held):
    granted = [
        treatment
        for treatment in Treatment
        if ask(enforcer, (role, action, field, treatment.word, purpose, holding(held)))
    ]
    return max(granted, default=None)


def by_table(policy, role, action, field, purpose, held):
    decision = policy.table[role, action, field, purpose][held]
    return decision.treatment if decision.allowed else None


@settings(max_examples=15, deadline=None)
@given(policies)
def test_specification_casbin_and_table_agree(lines):
    """Invariant 2: the table answers what Casbin, given the whole policy, answers."""
    policy, enforcer = compiled(lines), build_enforcer(numbered(lines))
    for words in product(ROLES, ACTIONS, FIELDS, PURPOSES, EVERY_CIRCUMSTANCES):
        expected = specification(lines, *words)
        assert by_table(policy, *words) == expected, words
        assert by_casbin(enforcer, *words) == expected, words


def test_the_shipped_policy_agrees_with_casbin():
    """Invariant 2 for the policy that ships: every action and field of a clerk and an officer."""
    policy = load_shipped()
    for role, purpose in ((Role.CLERK, Purpose.SERVICE), (Role.COMPLIANCE, Purpose.LEGAL)):
        own = tuple(rule for rule in SHIPPED.rules.rules if rule.role is role)
        enforcer = build_enforcer(Rules(own, SHIPPED.rules.groups))
        held = (NO_CIRCUMSTANCES, ALL_CIRCUMSTANCES)
        for words in product((role,), Action, FieldClass, (purpose,), held):
            assert by_casbin(enforcer, *words) == by_table(policy, *words), words


def levels(verdicts):
    return [decision.treatment if decision.allowed else -1 for decision in verdicts]


def no_more(before, after):
    """Say of every question that what is shown after is at most what was shown before."""
    return {
        key: all(
            one <= other
            for one, other in zip(levels(after.table[key]), levels(before.table[key]), strict=True)
        )
        for key in product(ROLES, ACTIONS, FIELDS, PURPOSES)
    }


@settings(max_examples=25, deadline=None)
@given(policies, rules((Effect.DENY,)))
def test_a_deny_never_widens(lines, deny):
    """Adding a deny line shows nobody more of anything."""
    others = [rule for rule in lines if rule.words[:5] != deny.words[:5]]
    assume(others)
    assert all(no_more(compiled(others), compiled([*others, deny])).values())


@settings(max_examples=25, deadline=None)
@given(policies, rules((Effect.DENY,)))
def test_a_deny_takes_something_away_from_whoever_had_it_all(lines, deny):
    """A deny line is felt by whoever was granted the most there, and leaves nothing half allowed.

    What is allowed and shows fields shows them: nobody is allowed a reveal of nothing.
    """
    action, fields = deny.action, members(deny.target)
    most = min(max(grantable(action, field)) for field in fields)
    allow = replace(deny, effect=Effect.ALLOW, treatment=most)
    others = [rule for rule in lines if rule.words[:5] not in {deny.words[:5], allow.words[:5]}]
    assume(all(most in grantable(action, field) for field in fields))
    assume(deny.words[:5] != allow.words[:5])
    before, after = compiled([*others, allow]), compiled([*others, allow, deny])
    for field in fields:
        key = deny.role, action, field, deny.purpose
        had, has = levels(before.table[key])[-1], levels(after.table[key])[-1]
        assert has < had or had < deny.treatment
    for (_, action, field, _), verdicts in after.table.items():
        if action in SHOWING and field != FieldClass.NONE:
            assert all(one.treatment or not one.allowed for one in verdicts)


@settings(max_examples=25, deadline=None)
@given(policies, st.data())
def test_removing_an_allow_never_widens(lines, data):
    """Taking an allow line away shows nobody more of anything."""
    allows = [rule for rule in lines if rule.effect is Effect.ALLOW]
    assume(allows and len(lines) > 1)
    gone = data.draw(st.sampled_from(allows))
    assert all(
        no_more(compiled(lines), compiled([rule for rule in lines if rule is not gone])).values()
    )


@settings(max_examples=25, deadline=None)
@given(policies, st.data())
def test_a_condition_never_widens(lines, data):
    """Giving an allow line a condition shows nobody more of anything."""
    allows = [rule for rule in lines if rule.effect is Effect.ALLOW]
    assume(allows)
    one = data.draw(st.sampled_from(allows))
    more = one.condition | data.draw(st.sampled_from(EVERY_CIRCUMSTANCES))
    narrowed = [replace(rule, condition=more) if rule is one else rule for rule in lines]
    assume(means_something(narrowed))
    assert all(no_more(compiled(lines), compiled(narrowed)).values())


@settings(max_examples=25, deadline=None)
@given(policies)
def test_fewer_circumstances_never_widen(lines):
    """Invariant 6: where less holds, nobody is shown more; what holds later may be worth more."""
    table = compiled(lines).table
    for verdicts in map(table.get, product(ROLES, ACTIONS, FIELDS, PURPOSES)):
        found = levels(verdicts)
        for less, more in product(EVERY_CIRCUMSTANCES, repeat=2):
            if less & more == less:
                assert found[less] <= found[more]
                later = verdicts[less].reason == "not_now"
                assert later == (found[less] < 0 <= found[ALL_CIRCUMSTANCES])


@settings(max_examples=15, deadline=None)
@given(policies)
def test_the_named_line_is_one_that_decided(lines):
    """A decision names the line behind it: an allow when granted, a deny when lowered or denied."""
    texts = {rule.text: rule for rule in numbered(lines).rules}
    for decision in chain.from_iterable(compiled(lines).table.values()):
        if decision.rule == DEFAULT_RULE:
            assert not decision.allowed
            continue
        rule = texts[decision.rule]
        allows = decision.reason in {"granted", "not_now"}
        assert (rule.effect is Effect.ALLOW) == allows
        if decision.reason == "granted":
            assert rule.treatment == decision.treatment


ORGANISATION = read_organisation(
    [
        {"id": "kith", "kind": "brand", "name": "Kith"},
        {"id": "north", "kind": "region", "parent": "kith", "name": "North"},
        {"id": "A", "kind": "store", "parent": "north", "name": "A"},
        {"id": "B", "kind": "store", "parent": "north", "name": "B"},
        {"id": "C", "kind": "store", "parent": "kith", "name": "C"},
    ]
)
OFFICER = Subject("officer", Role.COMPLIANCE, "kith")
subjects = st.builds(
    Subject,
    id=st.just("somebody"),
    role=st.sampled_from([*Role, "root"]),
    node=st.sampled_from([*ORGANISATION.nodes, "nowhere", ""]),
    contract_fields=st.one_of(st.none(), st.frozensets(st.sampled_from(FieldClass))),
    contract_purpose=st.one_of(st.none(), st.sampled_from(Purpose)),
)


@settings(max_examples=60, deadline=None)
@given(
    subjects,
    st.sampled_from(Action),
    st.sampled_from(Purpose),
    st.frozensets(st.sampled_from(["A", "B", "C", "gone", "", "%", "Ａ"]), max_size=3),
    st.sampled_from([None, OFFICER]),
)
def test_scope_treatments_and_decision_agree(subject, action, purpose, stores, approver):
    """Who is outside the row filter is refused; inside it, a page shows what one decision says."""
    policy = Policy(load_shipped(), ORGANISATION)
    scope = policy.scope(subject, action, purpose, approver)
    page = policy.treatments(subject, action, purpose, approver)
    for field in FieldClass:
        decision = policy.decide(subject, action, field, purpose, stores, approver)
        if not scope.includes(stores):
            assert not decision.allowed
        elif field is not FieldClass.NONE:
            assert decision.treatment == page[field]
        if decision.allowed and needs_approval(action, field):
            assert approver is not None
        if not decision.allowed:
            assert decision.treatment is Treatment.OMIT
    if (action, purpose) != (Action.REVEAL, Purpose.FRAUD):
        assert all(page[field] is Treatment.OMIT for field in SENSITIVE)


_cache = []


def load_shipped():
    if not _cache:
        _cache.append(load_policy())
    return _cache[0]


@pytest.mark.parametrize("role", [Role.COMPLIANCE, Role.OPERATOR])
def test_who_sees_no_person_sees_no_field(role):
    """Compliance and operators get no customer field, whatever the action and the purpose."""
    policy = Policy(load_shipped(), ORGANISATION)
    subject = Subject("somebody", role, "kith")
    for action, purpose in product(Action, Purpose):
        page = policy.treatments(subject, action, purpose, OFFICER)
        assert set(page.values()) == {Treatment.OMIT}
