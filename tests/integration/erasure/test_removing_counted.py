"""What a look at a source says is what its removal then does, as a compliance officer counts."""

import csv
import json
from typing import Any

import pytest
from typer.testing import CliRunner

from cdp.access.principals import subject_of
from cdp.cli import session
from cdp.cli.app import app
from cdp.erasure import removing
from cdp.erasure.removing import Remover
from cdp.ingest.sync import sync
from cdp.publish.run import run as publish
from cdp.resolution.run import resolve
from cdp.storage import schema
from cdp.workspace import Workspace
from tests.integration.erasure.household import (
    ACCOUNT,
    BELLA,
    SECOND,
    SECOND_NAME,
    WHY,
    count,
    shred,
    stored_keys,
)
from tests.integration.erasure.test_rejected_rows import folder_of
from tests.journeys.tills import write_app

pytestmark = pytest.mark.integration
SAME = {"records": "records", "known_only_by_it": "ended"}


@pytest.fixture
def remove(shop: Workspace, monkeypatch: pytest.MonkeyPatch) -> Any:
    """``cdp source remove app ... --json``, and what it tells."""
    monkeypatch.setattr(session, "settings", lambda: shop.settings)

    def invoke(*words: str, code: int = 0) -> Any:
        asked = ["source", "remove", "app", *words, "--as", "officer", "--reason", WHY, "--json"]
        done = CliRunner().invoke(app, asked)
        assert done.exit_code == code, done.output
        return json.loads(done.stdout) if done.stdout else None

    return invoke


def told_outside(workspace: Workspace) -> set[str]:
    """The names that the destination has of people."""
    publish(workspace)
    with (folder_of(workspace) / "exports" / "crm.csv").open(encoding="utf-8-sig") as file:
        return {row["name"] for row in csv.DictReader(file)}


def test_a_look_says_what_the_removal_does(shop: Workspace, remove: Any) -> None:
    """Records, people and rows by table: values set aside, a shred before and a kill included."""
    phoneless = {**BELLA, "phones": "12"}  # a value that is set aside hangs at its record
    write_app(folder_of(shop), [ACCOUNT, SECOND, phoneless, {"name": "no id"}])
    sync(shop, "app")
    resolve(shop)
    shred(shop, SECOND_NAME)
    assert told_outside(shop) == {"欧阳晓梅", "陈思远"}
    plan = remove()
    assert plan["rows"]["reject"] >= 2
    assert remove("--erase", "--dry-run") == plan
    done = remove("--erase", "--yes")
    assert {one: plan[one] for one in SAME} == {one: done[two] for one, two in SAME.items()}
    assert done["changed"] == plan["people"] - plan["known_only_by_it"]
    assert {name: done["rows"][name] for name in plan["rows"]} == plan["rows"]
    assert told_outside(shop) == {"欧阳晓梅"}


def test_both_halves_of_a_removal_that_was_killed_are_what_was_planned(
    shop: Workspace, remove: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the first half did is gone from the look; together they are the whole."""
    monkeypatch.setattr(removing, "BATCH", 1)
    plan = remove()

    def pull(done: int, _: int | None) -> None:
        if done == 1:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        Remover(shop, subject_of(shop, "officer"), "app").erase(WHY, pull)
    left = remove("--erase", "--dry-run")
    assert (left["begun"], left["removed"]) == (True, False)
    assert left["records"] == plan["records"] - 1
    done = remove("--erase", "--yes")
    assert done["records"] == left["records"]
    assert count(shop, schema.shred) == plan["records"]


def test_what_was_removed_is_told_as_removed(
    shop: Workspace, remove: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is asked to finish what is finished; a check says that nothing comes in any more."""
    monkeypatch.setattr(session, "settings", lambda: shop.settings)
    remove("--erase", "--yes")
    plan = remove()
    assert (plan["records"], plan["begun"], plan["removed"]) == (0, False, True)
    assert not any(plan["rows"].values())
    words = ["source", "remove", "app", "--as", "officer", "--reason", WHY]
    shown = CliRunner().invoke(app, words)
    assert "It was removed" in shown.stderr
    assert "finish it" not in shown.output
    checked = CliRunner().invoke(app, ["source", "check", "--json"])
    assert checked.exit_code == 1
    assert [(one["source"], one["rule"]) for one in json.loads(checked.stdout)] == [
        ("app", "source_removed")
    ]


def test_a_rehearsal_destroys_nothing(shop: Workspace, remove: Any) -> None:
    """Whatever else is said: --dry-run is stronger than --erase and --yes."""
    before = stored_keys(shop)
    assert remove("--erase", "--yes", "--dry-run")["dry_run"] is True
    assert stored_keys(shop) == before
    assert count(shop, schema.source_removal) == 0
