"""Who may ask at all: principals, and what they may act as."""

import datetime as dt
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from cdp.access import keys
from cdp.access.principals import Standing, acting, chosen, subject_of, sync_principals
from cdp.declaration import parse
from cdp.errors import Refused, Stop
from cdp.storage import schema
from cdp.workspace import Workspace
from policies.claims import Assignment
from policies.vocabulary import Role
from tests.integration.access.shop import (
    Shop,
)
from tests.integration.retailer import NOW, declaration

pytestmark = pytest.mark.integration
ZHANG = {
    "id": "zhang",
    "roles": [{"role": "clerk", "node": "BJ01"}, {"role": "manager", "node": "BJ02"}],
}


def declared(shop: Shop, entry: dict[str, object]) -> Workspace:
    """The workspace of a shop in which one principal more works."""
    content = declaration()
    content["principals"] = [*content["principals"], entry]
    parsed = parse(content, shop.retailer.workspace.settings.declaration)
    workspace = replace(shop.retailer.workspace)
    workspace.__dict__["declaration"] = parsed
    return workspace


def test_a_service_gets_the_contract_of_its_destination(shop: Shop) -> None:
    """Principals 2: fields and purpose come from the destination; without one, nothing does."""
    crm, stray = shop.subject("crm"), shop.subject("stray")
    assert crm.contract_fields == {"profile_id", "name", "phone", "tags"}
    assert crm.contract_purpose == "marketing"
    assert (stray.contract_fields, stray.contract_purpose) == (frozenset(), None)
    with pytest.raises(Stop, match="no_such_principal"):
        shop.subject("somebody")


def test_who_left_is_gone_and_their_keys_are_revoked(shop: Shop) -> None:
    """Principals 1: syncing again changes nothing; a principal who left loses their keys."""
    workspace, later = shop.retailer.workspace, NOW + dt.timedelta(hours=1)
    with shop.engine.begin() as connection:
        assert not sync_principals(connection, workspace.declaration, later)
        key = keys.issue(connection, shop.retailer.keys, "clerk.bj01", NOW)
        left, moved = {"clerk.bj01", "operator"}, (Assignment(Role.MANAGER, "south"),)
        remaining = {
            name: replace(one, assignments=moved) if name == "clerk.sz01" else one
            for name, one in workspace.declaration.principals.items()
            if name not in left
        }
        changed = replace(workspace.declaration, principals=MappingProxyType(remaining))
        assert len(sync_principals(connection, changed, later)) == 3
        stored = dict(
            connection.execute(
                sa.select(schema.principal.c.id, schema.principal.c.assignments)
            ).all()
        )
        assert stored["clerk.sz01"] == ["manager@south"]
        assert stored["clerk.bj01"] == []  # its key still names it
        assert "operator" not in stored
        assert keys.authenticate(connection, shop.retailer.keys, key.text, later) is None
        assert not sync_principals(connection, changed, later)


def test_one_request_acts_under_one_assignment(shop: Shop) -> None:
    """Principals 3: the first, or the one that is named; never two at once."""
    workspace = declared(shop, ZHANG)
    for who, role, node in (
        ("zhang", "clerk", "BJ01"),
        ("zhang/clerk@BJ01", "clerk", "BJ01"),
        ("zhang/manager@BJ02", "manager", "BJ02"),
    ):
        subject = subject_of(workspace, who)
        assert (subject.id, subject.role, subject.node) == ("zhang", role, node)
    for wanted in ("manager@BJ01", "clerk@BJ02", "Clerk@BJ01", "clerk", "@", "x"):
        with pytest.raises(Refused, match="zhang/clerk@BJ01, zhang/manager@BJ02"):
            subject_of(workspace, f"zhang/{wanted}")


def test_what_this_process_does_not_know_is_refused(shop: Shop) -> None:
    """Principals 4: a node or destination of a newer cdp.yaml stops the request, and says why."""
    declaration = shop.retailer.workspace.declaration
    clerk = Standing("x", ("clerk@BJ99",), None)
    with pytest.raises(Refused, match="node_unknown_here; next: restart this process"):
        acting(clerk, "clerk@BJ99", declaration)
    service = Standing("x", ("service@kith",), "new")
    with pytest.raises(Refused, match="destination_unknown_here; next: restart this process"):
        acting(service, "service@kith", declaration)


@given(st.lists(st.text(max_size=4), max_size=4), st.none() | st.text(max_size=4))
def test_only_ones_own_can_be_chosen(assignments: list[str], wanted: str | None) -> None:
    """Principals 3, as a law: what is chosen is theirs; the first where none is named."""
    found = chosen(assignments, wanted)
    if wanted is None:
        assert found == (assignments[0] if assignments else None)
    else:
        assert found == (wanted if wanted in assignments else None)


BAD_ENTRIES = {
    "both forms": {**ZHANG, "role": "clerk", "node": "BJ01"},
    "half of the short form": {"id": "zhang", "role": "clerk"},
    "neither": {"id": "zhang"},
    "no roles": {"id": "zhang", "roles": []},
    "roles that are no list": {"id": "zhang", "roles": {"role": "clerk", "node": "BJ01"}},
    "a role without a node": {"id": "zhang", "roles": [{"role": "clerk"}]},
    "a word too many": {"id": "zhang", "roles": [{"role": "clerk", "node": "BJ01", "x": 1}]},
    "an unknown role": {"id": "zhang", "roles": [{"role": "king", "node": "BJ01"}]},
    "an unknown node": {"id": "zhang", "roles": [{"role": "clerk", "node": "mars"}]},
    "a list as a node": {"id": "zhang", "roles": [{"role": "clerk", "node": ["BJ01"]}]},
    "one of them twice": {"id": "zhang", "roles": [ZHANG["roles"][0]] * 2},
    "a service that is a clerk too": {
        "id": "zhang",
        "roles": [{"role": "service", "node": "kith"}, {"role": "clerk", "node": "BJ01"}],
    },
    "operator and compliance": {
        "id": "zhang",
        "roles": [{"role": "operator", "node": "kith"}, {"role": "compliance", "node": "kith"}],
    },
    "operator and clerk": {
        "id": "zhang",
        "roles": [{"role": "clerk", "node": "BJ01"}, {"role": "operator", "node": "kith"}],
    },
    "an operator in capitals": {"id": "OPERATOR", "role": "compliance", "node": "kith"},
    "a phone as an id": {"id": "13912346789", "role": "clerk", "node": "BJ01"},
    "an address of mail": {"id": "zhang@example.com", "role": "clerk", "node": "BJ01"},
    "an id with a slash": {"id": "zhang/clerk@BJ01", "role": "clerk", "node": "BJ01"},
    "an id in full width": {"id": "ｚｈａｎｇ", "role": "clerk", "node": "BJ01"},
}


@pytest.mark.parametrize("what", sorted(BAD_ENTRIES))
def test_a_principal_that_is_not_whole_is_refused(tmp_path: Path, what: str) -> None:
    """Principals 3 and separation of duties: the load stops, names the rule and says what to do."""
    content = declaration()
    content["principals"] = [*content["principals"], BAD_ENTRIES[what]]
    with pytest.raises(Stop, match="next: "):
        parse(content, tmp_path / "cdp.yaml")
