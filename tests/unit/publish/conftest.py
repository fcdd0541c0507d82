"""The house policy, a small organisation, and destinations as cdp.yaml declares them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cdp.declaration import Declaration, parse
from cdp.publish.contract import contract_of, subject_for
from policies.decision import Policy
from policies.enforcer import load_policy

ORGANISATION = [
    {"id": "kith", "kind": "brand", "name": "Kith"},
    {"id": "north", "kind": "region", "parent": "kith", "name": "North"},
    {"id": "BJ01", "kind": "store", "parent": "north", "name": "One"},
    {"id": "SZ01", "kind": "store", "parent": "kith", "name": "Two"},
]


@pytest.fixture(scope="session")
def compiled():
    """The policy that ships with Kith."""
    return load_policy()


@pytest.fixture
def declare() -> Callable[..., Declaration]:
    """Make a declaration with one destination, crm, and whatever else is given."""

    def make(*, principals: Any = (), organisation: Any = ORGANISATION, **crm: Any) -> Declaration:
        entry = {
            "connector": "webhook",
            "location": "http://127.0.0.1:9000/hook",
            "purpose": "marketing",
            "fields": ["profile_id", "name", "tags"],
            "secret": "crm",
            **crm,
        }
        content = {
            "version": 1,
            "organisation": list(organisation),
            "destinations": {"crm": {k: v for k, v in entry.items() if v is not None}},
            "principals": list(principals),
        }
        return parse(content, Path("cdp.yaml"))

    return make


@pytest.fixture
def contracted(compiled, declare):
    """Make the contract of crm."""

    def make(**parts: Any):
        declaration = declare(**parts)
        policy = Policy(compiled, declaration.organisation)
        return contract_of(policy, declaration.destinations["crm"], subject_for(declaration, "crm"))

    return make
