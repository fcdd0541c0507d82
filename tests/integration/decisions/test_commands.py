"""``cdp identity``: the verbs by which people decide, as they type them."""

import pytest

from cdp.workspace import Workspace
from tests.integration.decisions.town import (
    AGAIN,
    ANNA,
    BELLA,
    CARLA,
    homes,
    own_id,
    settle,
    stored,
    tag,
)
from tests.journeys.commands import Shell

pytestmark = pytest.mark.integration
HEADQUARTERS = ("--as", "headquarters", "--reason", "seen at the till")


@pytest.fixture
def shell(shop: Workspace) -> Shell:
    """A terminal in the shop."""
    settings = shop.settings
    return Shell(settings.declaration.parent, settings.database_url, settings.home)


def test_a_merge_from_rehearsal_to_undo(shop: Workspace, shell: Shell) -> None:
    """Rehearse, merge, list, look back and undo; everybody is as before."""
    settle(shop, ANNA, BELLA, CARLA)
    before, anna, bella = stored(shop), own_id(shop, ANNA), own_id(shop, BELLA)
    would = shell.run("identity", "merge", anna, bella, *HEADQUARTERS, "--dry-run", "--json").json
    merged = [{"into": anna, "gone": bella}]
    assert would == {
        "decision": None, "kind": "merge", "dry_run": True, "merged": merged, "split": [],
        "holds": [{"profile_id": anna, "records": 2}],
    }  # fmt: skip
    assert stored(shop) == before
    shown = shell.run("identity", "merge", anna, bella, *HEADQUARTERS)
    assert bella in shown.out
    assert f"{anna}: 2 records." in shown.err
    assert "To take it back: cdp identity undo" in shown.err
    listed = shell.run("identity", "decisions", "--as", "headquarters", "--json").json
    assert [(one["kind"], one["by"], one["reason"]) for one in listed] == [
        ("merge", "headquarters", "seen at the till")
    ]
    number = str(listed[0]["number"])
    now = shell.run("identity", "history", bella, "--as", "headquarters", "--json").json
    assert (now["led_to"], len(now["members"])) == (anna, 2)
    early = shell.run("identity", "history", bella, "--as", "headquarters", "--as-of", "2001-01-01")
    assert "this id meant nobody" in early.err
    undone = shell.run("identity", "undo", number, *HEADQUARTERS, "--json").json
    assert undone["split"] == [{"new": bella, "out_of": anna}]
    tag(shop)
    assert stored(shop) == before
    again = shell.run("identity", "undo", number, *HEADQUARTERS, code=1)
    assert "already_undone" in again.err


def test_a_split_and_not_the_same_by_the_names_of_the_source(shop: Workspace, shell: Shell) -> None:
    """Records are named as their source names them; a contradiction says what to undo."""
    settle(shop, ANNA, AGAIN, BELLA)
    anna, again = own_id(shop, ANNA), own_id(shop, AGAIN)
    name = f"app:{AGAIN['openid']}"
    split = shell.run("identity", "split", anna, name, *HEADQUARTERS, "--json").json
    assert split["split"] == [{"new": again, "out_of": anna}]
    assert homes(shop, ANNA, AGAIN) == [anna, again]
    refused = shell.run("identity", "merge", anna, again, *HEADQUARTERS, code=1)
    assert "contradicts an earlier decision (split)" in refused.err
    assert f"cdp identity undo {split['decision']}" in refused.err
    said = ("identity", "not-same", name, f"app:{BELLA['openid']}", *HEADQUARTERS)
    assert "No profile changes" in shell.run(*said).err


def test_who_may_not_is_told_why(shop: Workspace, shell: Shell) -> None:
    """Clerk and operator see no queue, no decision and no history; nor is a reason optional."""
    settle(shop, ANNA, BELLA)
    anna, bella = own_id(shop, ANNA), own_id(shop, BELLA)
    outcomes = shell.run_all(
        ("identity", "merge", anna, bella, "--as", "clerk", "--reason", "seen"),
        ("identity", "review", "list", "--as", "wires"),
        ("identity", "decisions", "--as", "officer"),
        ("identity", "history", anna, "--as", "wires"),
    )
    assert [one.code for one in outcomes] == [1, 1, 1, 1]
    assert all("No policy line allows it." in one.err for one in outcomes)
    assert shell.run("identity", "merge", anna, bella, "--as", "headquarters", code=2).out == ""


def test_the_queue_can_be_listed_and_taken_one_by_one(copied: Workspace) -> None:
    """The first of the list is the next, with its evidence and the two ways to decide."""
    settings = copied.settings
    shell = Shell(settings.declaration.parent, settings.database_url, settings.home)
    listed, first, shown = shell.run_all(
        ("identity", "review", "list", "--as", "headquarters", "--limit", "3", "--json"),
        ("identity", "review", "next", "--as", "headquarters", "--json"),
        ("identity", "review", "next", "--as", "headquarters"),
    )
    assert 1 <= len(listed.json) <= 3
    assert first.json == listed.json[0]
    assert first.json["findings"]
    both = f"{first.json['one']} {first.json['other']}"
    assert f"cdp identity merge {both}" in shown.err
    assert f"cdp identity not-same {both}" in shown.err
