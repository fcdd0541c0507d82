"""Crowds are shown to people: how many, of which kind, and what to do; never the value."""

from typing import Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from cdp.cli.app import app
from cdp.resolution import repair
from cdp.resolution.crowded import crowded, large_components
from cdp.resolution.run import resolve
from cdp.storage import schema
from cdp.workspace import Workspace
from identity import batch, blocking, clusters, components
from policies.decision import Scope
from tests.integration.decisions.town import (
    ANNA,
    BELLA,
    CARLA,
    homes,
    merge,
    own_id,
    settle,
)
from tests.journeys.commands import Shell

pytestmark = pytest.mark.integration
EVERYBODY = Scope(all=True, stores=frozenset())
ACCOUNTS = [{**ANNA, "openid": f"oAnna{n:04}"} for n in range(10, 18)]
OTHERS = [{**BELLA, "openid": f"oBella{n:03}"} for n in range(10, 17)]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six records are a crowd, and a value on six of them joins nobody."""
    for module in (clusters, components, repair):
        monkeypatch.setattr(module, "LARGEST", 5)
    monkeypatch.setattr(blocking, "MOST", 7)


def test_what_clustering_calls_crowded_is_shown(
    shop: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariant 1: of a full run, of a repair, and of a merge, which makes one of two crowds."""
    told: list[int] = []
    decide = clusters.decide

    def noted(*given: Any) -> clusters.Decided:
        found = decide(*given)
        told.append(len(found.crowded))
        return found

    monkeypatch.setattr(batch, "decide", noted)
    settle(shop, *ACCOUNTS, *OTHERS, CARLA)
    with shop.engine.connect() as connection:
        assert [len(ids) for ids in large_components(connection)] == [8, 7]
    assert told.pop() == 2
    merge(shop, own_id(shop, ACCOUNTS[0]), own_id(shop, OTHERS[0]))
    with shop.engine.connect() as connection:
        assert [len(ids) for ids in large_components(connection)] == [15]
    resolve(shop, full=True)
    assert told.pop() == 1


def test_counts_kinds_and_profiles_are_told(shop: Workspace) -> None:
    """Invariant 2: how many records and people, the commonest kinds, whom one may look at."""
    settle(shop, *ACCOUNTS, *OTHERS, CARLA)
    with shop.engine.connect() as connection:
        found = crowded(connection, 20, EVERYBODY)
        hidden = crowded(connection, 1)
    first, second = found.components
    assert (first.records, first.profiles, first.largest) == (8, 1, 8)
    assert {(one.kind, one.records) for one in first.shared} >= {("phone", 8), ("unionid", 8)}
    assert first.examples == (own_id(shop, ACCOUNTS[0]),)
    assert (second.records, second.examples) == (7, (own_id(shop, OTHERS[0]),))
    assert [(one.shared[0].kind, one.records) for one in found.values] == [
        ("phone", 8), ("unionid", 8),
    ]  # fmt: skip
    assert [len(hidden.components), len(hidden.values)] == [1, 1]
    assert hidden.components[0].examples == ()


def test_people_see_crowds_as_they_may(shop: Workspace) -> None:
    """Head office is told whom to look at, an operator how many; a clerk nothing. All is logged."""
    settle(shop, *ACCOUNTS, CARLA)
    settings = shop.settings
    environment = Shell(
        settings.declaration.parent, settings.database_url, settings.home
    ).environment()

    def run(who: str, *more: str) -> Any:
        words = ["identity", "crowded", "--as", who, *more]
        return CliRunner().invoke(app, words, env=environment)

    told = run("headquarters")
    assert told.exit_code == 0, told.output
    for word in (own_id(shop, ACCOUNTS[0]), "phone: 8", "cdp source sync"):
        assert word in told.output
    counted = run("wires", "--json")
    assert own_id(shop, ACCOUNTS[0]) not in counted.stdout
    assert '"records": 8' in counted.stdout
    assert "identity/identifiers.yaml" in counted.stdout
    for secret in (ANNA["phones"], ANNA["unionid"], ANNA["name"]):
        assert secret not in told.output + counted.output
    refused = run("clerk")
    assert refused.exit_code == 1
    event = schema.audit_event
    with shop.engine.connect() as connection:
        rows = connection.execute(
            sa.select(event.c.actor, event.c.line)
            .where(event.c.action == "identity.crowded")
            .order_by(event.c.id)
        ).all()
    decisions = [(row.actor, '"decision":"allow"' in row.line) for row in rows]
    assert decisions == [
        ("headquarters", True), ("headquarters", True), ("wires", True), ("clerk", False),
    ]  # fmt: skip
    assert homes(shop, ACCOUNTS[0])[0] in rows[1].line


def test_nothing_crowded_is_said(shop: Workspace) -> None:
    """A shop without crowds is told so."""
    settle(shop, ANNA, BELLA, CARLA)
    with shop.engine.connect() as connection:
        found = crowded(connection, 20, EVERYBODY)
    assert (found.components, found.values) == ((), ())
