"""From the claims of an identity provider to assignments."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.claims import (
    MOST_ASSIGNMENTS,
    Assignment,
    ClaimMapping,
    ClaimsRefusedError,
    Matched,
    Unmatched,
    is_principal_id,
    matched,
    read_claims,
)
from policies.organisation import read_organisation
from policies.vocabulary import Role

TREE = read_organisation(
    [
        {"id": "kith", "kind": "brand", "name": "Kith"},
        {"id": "BJ01", "kind": "store", "parent": "kith", "name": "朝阳店"},
        {"id": "BJ02", "kind": "store", "parent": "kith", "name": "海淀店"},
    ]
)
LINES: list[dict[str, Any]] = [
    {"claim": "groups", "equals": "kith-managers", "role": "manager", "node_claim": "store"},
    {"claim": "groups", "equals": "kith-hq", "role": "headquarters", "node": "kith"},
    {"claim": "title", "equals": "clerk", "role": "clerk", "node_claim": "store"},
]
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5)
    | st.sampled_from(["kith-managers", "BJ01", "clerk", "kith-hq", "kith-", "KITH-HQ", "mars"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)  # fmt: skip
claims_of_somebody = st.fixed_dictionaries(
    {"sub": values | st.just("zhang")},
    optional={"groups": values, "store": values, "title": values, "other": values},
)


def mapping() -> ClaimMapping:
    """The lines above, read anew."""
    return read_claims({"principal": "sub", "roles": LINES}, TREE)


def texts(claim: object) -> list[str]:
    if isinstance(claim, str):
        return [claim]
    return [one for one in claim if isinstance(one, str)] if isinstance(claim, list) else []


@given(claims_of_somebody)
def test_roles_come_from_exact_equality_alone(claims: dict[str, object]) -> None:
    """Claims 1 to 3: whatever the claims are, each assignment is one of a line that fits."""
    found = matched(mapping(), claims, TREE)
    expected = {
        Assignment(Role(line["role"]), node)
        for line in LINES
        if line["equals"] in texts(claims.get(line["claim"]))
        for node in ([line["node"]] if "node" in line else texts(claims.get(line["node_claim"])))
    }
    if isinstance(found, Matched):
        assert set(found.assignments) == expected
        assert found.principal == claims["sub"]
    else:
        unusable = not isinstance(claims["sub"], str) or not is_principal_id(claims["sub"])
        strange = any(one.node not in TREE.nodes for one in expected)
        assert unusable or strange or not expected


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"sub": "zhang"}, "no_role_matches"),
        ({"sub": "zhang", "groups": ["kith-manager"], "store": "BJ01"}, "no_role_matches"),
        ({"sub": "zhang", "groups": "kith-managers kith-hq", "store": "BJ01"}, "no_role_matches"),
        ({"sub": "zhang", "groups": ["kith-managers"]}, "no_role_matches"),
        ({"sub": "zhang", "groups": ["kith-managers"], "store": "bj01"}, "node_claim_unknown"),
        ({"sub": "zhang", "groups": ["kith-managers"], "store": "BJ01,BJ02"}, "node_claim_unknown"),
        ({"sub": "zhang@example.com", "groups": "kith-hq"}, "principal_claim_unusable"),
        ({"sub": "13912345678", "groups": "kith-hq"}, "principal_claim_unusable"),
        ({"sub": 7, "groups": "kith-hq"}, "principal_claim_unusable"),
        ({"groups": "kith-hq"}, "principal_claim_unusable"),
        ({"sub": "command-line", "groups": "kith-hq"}, "principal_claim_unusable"),
        ({"sub": "Unknown", "groups": "kith-hq"}, "principal_claim_unusable"),
        ({"sub": "KITH", "groups": "kith-hq"}, "principal_claim_unusable"),
        ({"sub": "cli", "groups": "kith-hq"}, "principal_claim_unusable"),
        ({"sub": "init", "groups": "kith-hq"}, "principal_claim_unusable"),
    ],
)
def test_whoever_fits_no_line_is_nobody(claims: dict[str, object], reason: str) -> None:
    """Claims 2 to 4: no default, no other spelling, no id that the log could not hold."""
    assert matched(mapping(), claims, TREE) == Unmatched(reason)


def test_too_many_roles_are_none() -> None:
    """A provider that lists half the house as one person's stores lets nobody in."""
    stores = [{"id": f"S{n}", "kind": "store", "parent": "kith", "name": "x"} for n in range(40)]
    tree = read_organisation([{"id": "kith", "kind": "brand", "name": "Kith"}, *stores])
    claims = {"sub": "zhang", "groups": "kith-managers", "store": [f"S{n}" for n in range(40)]}
    assert matched(mapping(), claims, tree) == Unmatched("too_many_roles")
    claims["store"] = [f"S{n}" for n in range(MOST_ASSIGNMENTS)]
    assert isinstance(matched(mapping(), claims, tree), Matched)


def test_a_mapping_is_read_as_it_is_written() -> None:
    """Claims 1 and 3: each line with its claim, its text, its role and where it holds."""
    found = mapping()
    assert found.principal == "sub"
    assert [tuple(rule) for rule in found.rules] == [
        ("groups", "kith-managers", Role.MANAGER, None, "store"),
        ("groups", "kith-hq", Role.HEADQUARTERS, "kith", None),
        ("title", "clerk", Role.CLERK, None, "store"),
    ]
    named = matched(found, {"sub": "zhang", "groups": "kith-hq"}, TREE)
    assert named == Matched("zhang", (Assignment(Role.HEADQUARTERS, "kith"),))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("all", r"line 2 of roles is not whole.*claim, equals, role and a node"),
        ({**LINES[0], "role": "king"}, r"line 2 of roles has the role 'king'.*use one of clerk, "),
        ({**LINES[0], "also": 1}, r"line 2 of roles has the unknown key 'also'.*remove it"),
        ({**LINES[1], "node": "mars"}, r"the unknown node 'mars'.*use a declared node"),
        ({**LINES[1], "node": 7}, r"the node of line 2 of roles is no text.*quoted if"),
        ({**LINES[1], "claim": ""}, r"the claim of line 2 of roles is no text"),
        ({**LINES[1], "equals": 1}, r"equals of line 2 of roles is no text"),
        ({**LINES[0], "node": "BJ01"}, r"line 2 of roles must say where.*node or node_claim"),
    ],
)
def test_a_refused_line_is_named(line: object, said: str) -> None:
    """Who wrote the file is told which line, what of it, and what to write."""
    with pytest.raises(ClaimsRefusedError, match=said) as caught:
        read_claims({"principal": "sub", "roles": [LINES[1], line]}, TREE)
    assert "sign_in.oidc" in str(caught.value)
    assert "service" not in str(caught.value)


@pytest.mark.parametrize(
    "entry",
    [
        None, [], {}, {"principal": "sub"}, {"principal": "sub", "roles": []},
        {"principal": "", "roles": LINES}, {"principal": 1, "roles": LINES},
        {"principal": "sub", "roles": LINES, "also": 1}, {"principal": "sub", "roles": "all"},
        *(
            {"principal": "sub", "roles": [line]}
            for line in (
                "all", {}, {**LINES[0], "role": "king"}, {**LINES[0], "role": "service"},
                {**LINES[0], "node": "BJ01"}, {**LINES[1], "node": "mars"},
                {**LINES[1], "equals": ["kith-hq"]}, {**LINES[1], "equals": " "},
                {**LINES[1], "matches": ".*"}, {**LINES[0], "node_claim": ""},
                {"claim": "groups", "equals": "x", "role": "clerk"},
                {**LINES[1], "role": ["clerk"]}, {**LINES[1], "node": ["BJ01"]},
            )
        ),
    ],
)  # fmt: skip
def test_a_mapping_that_says_anything_else_is_refused(entry: object) -> None:
    """Claims 1: an unknown word, an expression, two places or none stop the load."""
    with pytest.raises(ClaimsRefusedError, match="Next:"):
        read_claims(entry, TREE)
