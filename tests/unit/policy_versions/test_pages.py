"""Pages, examples and explanations of a policy: `cdp/policy/matrix.py` and its neighbours. Pure."""

import json
from dataclasses import replace

import pytest

from cdp.errors import Stop
from cdp.policy import content, examples, explaining, matrix
from policies.decision import Policy, Subject
from policies.organisation import read_organisation
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
from tests.unit.policy_versions.texts import CONTACT, GENDER, edited, files, text

SHIPPED = content.compiled(content.shipped())
TREE = read_organisation(
    [
        {"id": "kith", "kind": "brand", "name": "Kith"},
        {"id": "BJ01", "kind": "store", "parent": "kith", "name": 'a, "b"\n[c)'},
        {"id": "SZ01", "kind": "store", "parent": "kith", "name": "南山店"},
    ]
)
POLICY = Policy(SHIPPED, TREE)
CLERK = Subject("clerk", "clerk", "BJ01")
MINE = frozenset({"BJ01"})


def test_every_grant_is_on_its_page_and_nothing_else():
    """A cell says how far the table goes, and a field or column without a grant is left out."""
    told = {}
    for role in Role:
        for sheet in matrix.sheets(SHIPPED, role):
            for field, cells in sheet.rows:
                for action, cell in zip(sheet.actions, cells, strict=True):
                    name = "none" if field == "the action itself" else field
                    told[role.value, action.value, name, sheet.purpose.value] = cell
    words = {Treatment.OMIT: "allowed", Treatment.MASK: "masked", Treatment.CLEAR: "clear"}
    for key, verdicts in SHIPPED.table.items():
        expected = words[verdicts[0].treatment] if verdicts[0].allowed else matrix.NOTHING
        assert told.get(key, matrix.NOTHING).removesuffix(matrix.TWO) == expected, key


def test_a_condition_and_a_second_person_stand_in_the_cell():
    """What holds in some circumstances says in which, and what needs approval says so."""
    shift = content.compiled(edited(GENDER, f"{GENDER}, on_shift"))
    assert matrix.cell(shift, "clerk", "read", "gender", "service") == "clear, on_shift"
    both = content.compiled(
        edited(CONTACT, f"{CONTACT}\n{CONTACT.replace('mask', 'clear')}, at_store")
    )
    cell = matrix.cell(both, "clerk", "read", "phone", "service")
    assert cell == "masked, unless at_store; clear, at_store"
    approved = matrix.cell(SHIPPED, "headquarters", "export", "phone", "marketing")
    assert approved == f"masked{matrix.TWO}"


def test_a_role_without_any_line_has_a_page_that_says_so():
    """Nobody wonders whether a page was forgotten."""
    lines = [one for one in files()["policy.csv"].splitlines() if "p, analyst" not in one]
    compiled = content.compiled(text(policy_csv="\n".join(lines)))
    assert "## analyst\n\nMay do nothing.\n" in matrix.markdown(compiled)
    assert "## clerk\n" in matrix.markdown(compiled)
    assert "## clerk\n" not in matrix.markdown(compiled, [Role.ANALYST])


def test_an_explanation_is_the_decision():
    """Whatever is asked, decision, reason and line are those of the policy itself."""
    for action in (*Action, "sing"):
        for field in ("none", "phone", "national_id", "shoe"):
            for purpose in ("service", "fraud", "fun"):
                for stores in (None, MINE, frozenset({"SZ01"}), frozenset()):
                    found = explaining.explain(POLICY, CLERK, action, field, purpose, stores)
                    made = POLICY.decide(CLERK, action, field, purpose, stores)
                    told = (found.allowed, found.reason, found.rule, found.sentence)
                    assert told == (made.allowed, made.reason, made.rule, made.reason.sentence)
                    assert bool(found.needed) is (not made.allowed or made.reason is Reason.LOWERED)


@pytest.mark.parametrize(
    ("subject", "asked", "words"),
    [
        (Subject("x", "clerk", "kith"), ("read", "phone", "service"), "of this kind: store"),
        (Subject("x", "clerk", "gone"), ("read", "phone", "service"), "organisation in cdp.yaml"),
        (Subject("x", "king", "BJ01"), ("read", "phone", "service"), "clerk, manager"),
        (Subject("x", "service", "kith", frozenset({"name"}), "service"),
         ("read", "phone", "service"), "a contract that names this field"),
        (replace(CLERK, actions=frozenset({"find"})), ("read", "phone", "service"), "a key or"),
        (Subject("x", "headquarters", "kith"), ("reveal", "national_id", "fraud"),
         "second person, of the role compliance"),
        (CLERK, ("reveal", "phone", "service"), "to whom it is open: manager, headquarters"),
    ],
)  # fmt: skip
def test_what_is_needed_is_named(subject, asked, words):
    """A refusal says what would have to be otherwise, and who else may."""
    found = explaining.explain(POLICY, subject, *asked, MINE)
    assert not found.allowed
    assert words in "; ".join(found.needed)
    assert json.dumps(found.to_json())


def test_other_circumstances_are_told_apart():
    """An explanation names each outcome that circumstances lead to."""
    compiled = content.compiled(edited(CONTACT, f"{CONTACT}, on_shift+at_store"))
    policy = Policy(compiled, TREE)
    found = explaining.explain(policy, CLERK, "read", "phone", "service", MINE)
    assert found.conditions == {
        "refused": "unless on_shift+at_store",
        "masked": "on_shift+at_store",
    }
    both = explaining.under(CLERK, Circumstances.ON_SHIFT | Circumstances.AT_STORE)
    assert explaining.explain(policy, both, "read", "phone", "service", MINE).decision == "masked"
    assert explaining.explain(POLICY, CLERK, "read", "phone", "service", MINE).conditions == {}


def test_words_of_circumstances_are_a_closed_set():
    """Every combination is read from its words, and another word is refused."""
    for one in EVERY_CIRCUMSTANCES:
        words = [name.word for name in Circumstances if name in one]
        assert examples.circumstances(words) == one
    with pytest.raises(ValueError, match="use on_shift"):
        examples.circumstances(["always"])


@pytest.fixture
def folder(tmp_path):
    """Examples of one's own."""
    nodes = [{"id": "kith", "kind": "brand", "name": "Kith"},
             {"id": "BJ01", "kind": "store", "parent": "kith", "name": "朝阳店"}]  # fmt: skip
    (tmp_path / examples.ORGANISATION).write_text(json.dumps(nodes))
    return tmp_path


def example(**changed):
    """One example, true of the shipped policy."""
    return {
        "says": "A clerk sees the phone masked.",
        "subject": {"id": "x", "role": "clerk", "node": "BJ01"},
        "action": "read",
        "field_class": "phone",
        "purpose": "service",
        "stores": ["BJ01"],
        "expect": {"allowed": True, "treatment": "mask", "reason": "granted"},
        **changed,
    }


def test_an_example_holds_or_says_what_came_instead(folder):
    """Circumstances, emergencies and approvers of an example are part of the question."""
    on_shift = {"id": "x", "role": "clerk", "node": "BJ01", "circumstances": ["on_shift"]}
    manager = {"id": "m", "role": "headquarters", "node": "kith"}
    emergency = {"action": "reveal", "field_class": "national_id", "purpose": "fraud"}
    cases = [
        example(),
        example(expect={"allowed": False, "treatment": "omit", "reason": "no_rule"}),
        example(subject=on_shift),
        example(subject=manager, **emergency, emergency=True,
                expect={"allowed": True, "treatment": "clear", "reason": "granted"}),
        example(subject=manager, **emergency,
                expect={"allowed": False, "treatment": "omit", "reason": "needs_approval"}),
        example(subject=manager, **emergency,
                approver={"id": "o", "role": "compliance", "node": "kith"},
                expect={"allowed": True, "treatment": "clear", "reason": "granted"}),
    ]  # fmt: skip
    (folder / "own.json").write_text(json.dumps(cases))
    found = examples.check(SHIPPED, folder)
    assert [one.holds for one in found] == [True, False, True, True, True, True]
    assert found[1].got == {"allowed": True, "treatment": "mask", "reason": "granted"}
    assert found[1].rule.startswith("line ")
    shift = content.compiled(edited(CONTACT, f"{CONTACT}, on_shift"))
    assert [one.holds for one in examples.check(shift, folder)][:3] == [False, False, True]


@pytest.mark.parametrize(
    "broken",
    [
        {"subject": {"id": "x"}},
        {"subject": {"id": "x", "role": "clerk", "node": "BJ01", "shoe": 1}},
        {"subject": {"id": "x", "role": "clerk", "node": "BJ01", "circumstances": ["rain"]}},
        {"stores": 3},
        {"expect": None},
        {"action": []},
    ],
)
def test_what_is_no_example_is_named_and_nothing_is_assumed(folder, broken):
    """An example that says half is an error with its place: it is not passed over."""
    (folder / "own.json").write_text(json.dumps([example(), example(**broken)]))
    with pytest.raises(Stop, match=r"own.json, position 2: not_an_example"):
        examples.check(SHIPPED, folder)


def test_a_folder_without_examples_proves_nothing(folder):
    """No example, no organisation, no file: each is said, and none is taken for success."""
    with pytest.raises(Stop, match="no_examples"):
        examples.check(SHIPPED, folder)
    (folder / "own.json").write_text("[]")
    with pytest.raises(Stop, match="no_examples"):
        examples.check(SHIPPED, folder)
    (folder / examples.ORGANISATION).write_text('[{"id": "a", "kind": "region", "parent": "a"}]')
    with pytest.raises(Stop, match="examples_unreadable"):
        examples.check(SHIPPED, folder)
    (folder / examples.ORGANISATION).unlink()
    with pytest.raises(Stop, match="examples_unreadable"):
        examples.check(SHIPPED, folder)


def test_the_vocabulary_is_what_pages_are_made_of():
    """Every field class and purpose can be on a page: the page knows no list of its own."""
    wide = "\n".join(
        f"p, clerk, read, {field}, clear, {purpose}, allow"
        for field in DATA_FIELDS
        for purpose in Purpose
        if field not in {FieldClass.NATIONAL_ID, FieldClass.BANK_CARD}
    )
    keep = "p, compliance, approve, none, omit, legal, allow"
    compiled = content.compiled(text(policy_csv=f"{wide}\n{keep}\n"))
    sheets = matrix.sheets(compiled, Role.CLERK)
    assert {one.purpose for one in sheets} == set(Purpose)
    assert all(len(one.rows) == len(DATA_FIELDS) - 2 for one in sheets)
