"""Which circumstances a policy depends on: `policies/conditions.py`."""

from hypothesis import given
from hypothesis import strategies as st

from policies.conditions import needed
from policies.decision import Policy
from policies.enforcer import load_policy
from policies.organisation import read_organisation
from policies.vocabulary import EVERY_CIRCUMSTANCES, Circumstances

ANSWERS = st.lists(st.sampled_from("ab"), min_size=8, max_size=8).map(tuple)
TABLES = st.dictionaries(st.tuples(st.sampled_from(["clerk", "manager"]), st.text()), ANSWERS)


@given(TABLES)
def test_a_role_needs_what_changes_one_of_its_answers(table) -> None:
    """A circumstance is named if and only if adding it somewhere gives another answer."""
    found = needed(table)
    for role in ("clerk", "manager"):
        mine = [answers for (whose, _), answers in table.items() if whose == role]
        for one in Circumstances:
            matters = any(
                answers[held] != answers[held | one]
                for answers in mine
                for held in EVERY_CIRCUMSTANCES
            )
            assert (one in found.get(role, Circumstances(0))) == matters
    assert all(found.values())


@given(TABLES)
def test_what_is_not_needed_changes_nothing(table) -> None:
    """Leaving the others out gives every answer as it is."""
    found = needed(table)
    for (role, _), answers in table.items():
        kept = found.get(role, Circumstances(0))
        assert all(answers[held] == answers[held & kept] for held in EVERY_CIRCUMSTANCES)


def test_the_policy_that_ships_needs_none() -> None:
    """Nobody is asked where they are for nothing."""
    tree = read_organisation([{"id": "kith", "kind": "brand", "name": "Kith"}])
    assert Policy(load_policy(), tree).needed == {}
