"""``cdp vault`` as an officer types it."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner, Result

from cdp.cli import session
from cdp.cli.app import app
from cdp.erasure import scrubbing
from cdp.errors import KithError
from cdp.workspace import Workspace
from tests.integration.erasure.backups import dump, restore
from tests.integration.erasure.household import (
    BELLA_NAME,
    CANARIES,
    CARD_NAME,
    key,
    stored_keys,
)

pytestmark = pytest.mark.integration

Run = Callable[..., Result]
BY = ("--as", "officer", "--reason", "asked for, ticket L-7")


@pytest.fixture
def run(shop: Workspace, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command on the shop; what it prints names nothing of a person."""
    monkeypatch.setattr(session, "settings", lambda: shop.settings)
    runner = CliRunner()

    def invoke(*words: str, code: int = 0, keys: str = "") -> Result:
        done = runner.invoke(app, ["vault", *words], input=keys)
        if code == 0 and done.exception is not None:
            raise done.exception
        assert done.exit_code == code, done.output
        assert not [one for one in CANARIES if one in done.output]
        return done

    return invoke


def recycles(workspace: Workspace) -> bool:
    """Whether the server keeps old log files, as PostgreSQL does unless it is told not to."""
    with workspace.engine.connect() as connection:
        return bool(connection.scalar(sa.text("SHOW wal_recycle")) == "on")


def content(done: Result) -> Any:
    return json.loads(done.stdout)


def test_from_freezing_to_scrubbing(run: Run, shop: Workspace) -> None:
    """Every command of the group, in the order of the howto."""
    assert content(run("freeze", CARD_NAME, *BY, "--json"))["records"] == 1
    assert content(run("status", "--json"))["frozen"] == 1
    assert content(run("unfreeze", CARD_NAME, *BY, "--json"))["records"] == 1
    rehearsed = content(run("shred", CARD_NAME, *BY, "--dry-run", "--json"))
    assert (rehearsed["dry_run"], rehearsed["lines"]) == (True, [])
    assert rehearsed["rows"]["record"] == 1
    assert key(shop, CARD_NAME) in stored_keys(shop)
    done = content(run("shred", CARD_NAME, *BY, "--yes", "--json"))
    assert (done["lines"], done["rows"], done["repaired"]) == ([1], rehearsed["rows"], True)
    assert content(run("status", "--json"))["not_scrubbed"]
    if recycles(shop):
        # Old log files stay under new names: the command says so, and that is still to do.
        with pytest.raises(KithError, match="wal_recycle"):
            run("scrub", *BY, "--json")
        left = [scrubbing.WAL]
    else:
        scrubbed = content(run("scrub", *BY, "--json"))
        assert scrubbed["kept"] == ""
        assert all(one["seconds"] >= 0 for one in scrubbed["rewritten"])
        left = []
    after = content(run("status", "--json"))
    assert (after["not_scrubbed"], after["shredded"], after["lines"]) == (left, 1, 1)
    assert content(run("readmit", CARD_NAME, *BY, "--json"))["line"] == 2
    assert run("status").output
    assert left or run("scrub", *BY).exit_code == 0


def test_it_asks_before_it_destroys(run: Run, shop: Workspace) -> None:
    """Without --yes a person has to say so; anything else leaves all as it is."""
    run("shred", BELLA_NAME, *BY, code=1, keys="n\n")
    run("shred", BELLA_NAME, *BY, code=1)
    assert key(shop, BELLA_NAME) in stored_keys(shop)
    assert "Destroyed" in run("shred", BELLA_NAME, *BY, keys="y\n").output
    assert key(shop, BELLA_NAME) not in stored_keys(shop)


def test_a_restored_database_is_refused_until_it_is_replayed(
    run: Run, shop: Workspace, tmp_path: Any
) -> None:
    """Every command but replay names replay as the next step."""
    archive = dump(shop, tmp_path / "monday.dump")
    run("shred", CARD_NAME, *BY, "--yes")
    restore(shop, archive)
    for words in (("status",), ("freeze", BELLA_NAME, *BY), ("shred", BELLA_NAME, *BY, "--yes")):
        with pytest.raises(KithError, match="cdp vault replay"):
            run(*words)
    done = content(run("replay", *BY, "--json"))
    assert (done["to_database"], done["destroyed"]["rows"]["record"]) == (1, 1)
    assert run("replay", *BY).exit_code == 0
    assert content(run("status", "--json"))["shredded"] == 1


def test_who_may_not_is_refused(run: Run) -> None:
    """Each command says no with the policy's sentence."""
    reason = ("--as", "manager", "--reason", "asked for")
    for words in (
        ("freeze", CARD_NAME, *reason),
        ("unfreeze", CARD_NAME, *reason),
        ("shred", CARD_NAME, *reason, "--yes"),
        ("readmit", CARD_NAME, *reason),
        ("replay", *reason),
        ("scrub", *reason),
    ):
        with pytest.raises(KithError):
            run(*words)
