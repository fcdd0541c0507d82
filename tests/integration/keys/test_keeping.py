"""Keys looked after by command: what changes, what goes on, and what is refused."""

import base64
import datetime as dt
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cdp.access.principals import subject_of
from cdp.errors import Refused
from cdp.keys import keeping
from cdp.keys.keeping import KeyKeeper
from cdp.keys.purposes import ALL, ROTATIONS
from cdp.storage import schema
from cdp.vault import ring_check, ring_document, ring_file
from cdp.vault.errors import KeyMissing, VersionInUse
from cdp.vault.ring_document import PURPOSES
from cdp.workspace import open_workspace
from tests.journeys import tills
from tests.journeys.commands import Outcome
from tests.journeys.databases import Databases

pytestmark = pytest.mark.integration
Cdp = Callable[..., Outcome]
BY = ("--as", "operator")


def ring_path(folder: Path) -> Path:
    return folder / "home" / "keyring.json"


def events(engine: sa.Engine) -> list[str]:
    with engine.connect() as connection:
        columns = schema.audit_event.c
        lines = connection.scalars(sa.select(columns.line).order_by(columns.id))
        return [line for line in lines if '"action":"key.' in line]


def lines_of(status: Any, purpose: str) -> list[tuple[int, bool, bool, int]]:
    return [
        (one["version"], one["current"], one["held"], one["rows"])
        for one in status["versions"]
        if one["purpose"] == purpose
    ]


def test_every_purpose_says_how_it_is_rotated() -> None:
    """No key is without a rule for its rotation, and none is made up."""
    assert set(ROTATIONS) == set(PURPOSES)


def test_the_status_counts_what_needs_each_key(cdp: Cdp) -> None:
    """Each version is listed with the rows that need it; a new workspace has no problem."""
    cdp("source", "sync")
    status = cdp("key", "status", "--json").json
    assert (status["provider"], status["root_version"], status["problems"]) == ("file", 1, [])
    assert lines_of(status, "contact") == [(1, True, True, 2)]
    assert lines_of(status, "sensitive") == [(1, True, True, 1)]
    assert lines_of(status, "blind-index")[0][3] > 0
    shown = cdp("key", "status")
    assert "contact" in shown.out


def test_a_rotated_key_seals_what_comes_and_opens_what_was(cdp: Cdp, folder: Path) -> None:
    """After a rotation new records are under the new version, and old ones are still read."""
    cdp("source", "sync")
    told = cdp("key", "rotate", "contact", *BY, "--later", "--json").json
    assert told == {"key": "contact", "version": 2, "rows": 0, "waiting": 2}
    tills.write_till(folder, [tills.member("C3", phone="13957140288")])
    cdp("source", "sync")
    status = cdp("key", "status", "--json").json
    assert lines_of(status, "contact") == [(1, False, True, 2), (2, True, True, 1)]
    cdp("identity", "resolve")  # opens the features of all three
    assert "2 rows wait" in cdp("key", "status").err
    told = cdp("key", "rotate", "contact", *BY, "--resume", "--json").json
    assert told == {"key": "contact", "version": 2, "rows": 2, "waiting": 0, "refused": {}}
    status = cdp("key", "status", "--json").json
    assert lines_of(status, "contact") == [(1, False, True, 0), (2, True, True, 3)]
    cdp("identity", "resolve", "--full")


def test_everything_is_rotated_by_one_command(cdp: Cdp, folder: Path) -> None:
    """``all`` rotates every key whose rotation disturbs nobody, the root last; nobody changes."""
    cdp("source", "sync")
    cdp("identity", "resolve")
    done = cdp("key", "rotate", "all", *BY, "--json").json
    assert [one["key"] for one in done] == list(ALL)
    assert all(one["version"] == 2 and not one["waiting"] for one in done)
    cdp("audit", "verify")
    again = cdp("identity", "resolve", "--full", "--json").json
    assert (again["created"], again["merged"], again["split"], again["updated"]) == (0, 0, 0, 0)
    assert [one["key"] for one in cdp("key", "rotate", "all", *BY, "--resume", "--json").json] == [
        "contact", "sensitive", "masked", "rejects", "features",
    ]  # fmt: skip
    assert "nothing_to_resume" in cdp("key", "rotate", "root", *BY, "--resume", code=1).err
    assert "In force" in cdp("key", "rotate", "rejects", *BY).out
    assert "build on the older ones" in cdp("key", "retire", "features", "1", *BY, code=1).err


def test_the_log_verifies_over_a_rotation_of_its_key(cdp: Cdp, folder: Path) -> None:
    """Checkpoints from before and after verify, and the older key is kept for those before."""
    cdp("source", "sync")
    cdp("audit", "verify")
    cdp("key", "rotate", "audit-signing", *BY)
    cdp("audit", "verify")
    cdp("audit", "verify")
    status = cdp("key", "status", "--json").json
    assert [one[0] for one in lines_of(status, "audit-signing")] == [1, 2]
    assert (
        "rows of the database still need"
        in cdp("key", "retire", "audit-signing", "1", *BY, code=1).err
    )


def test_a_clock_set_back_retires_nothing(cdp: Cdp, folder: Path, database_url: str) -> None:
    """What was made in the future is not old enough: the version stays until the clock is right."""
    shop = open_workspace(tills.settings(folder, database_url))
    KeyKeeper(shop, subject_of(shop, "operator")).rotate("rejects")
    back = replace(shop, now=lambda: shop.now() - dt.timedelta(days=400))
    with pytest.raises(VersionInUse, match="less than 10 minutes"):
        KeyKeeper(back, subject_of(back, "operator")).retire("rejects", 1)
    assert set(back.keyring.versions("rejects")) == {1, 2}
    shop.engine.dispose()


def test_a_new_root_leaves_every_record_readable(cdp: Cdp, folder: Path, engine: sa.Engine) -> None:
    """A new root is in the file, the old one is not, and the database knows its ring."""
    cdp("source", "sync")
    old = ring_document.decode(ring_file.read(ring_path(folder)), ring_path(folder))
    assert cdp("key", "rotate", "root", *BY, "--json").json["version"] == 2
    secret = base64.b64encode(old.roots.secrets[1].expose())
    assert secret not in ring_path(folder).read_bytes()
    cdp("identity", "resolve")
    assert len(events(engine)) == 1


def test_who_may_not_configure_changes_nothing(cdp: Cdp, folder: Path, engine: sa.Engine) -> None:
    """Invariant 1: a clerk is refused, the ring stays, and the refusal is in the log."""
    before = ring_path(folder).read_bytes()
    cdp("key", "rotate", "contact", "--as", "clerk", code=1)
    cdp("key", "move", "--to", "file", "--as", "clerk", code=1)
    assert ring_path(folder).read_bytes() == before
    assert [('"decision":"deny"' in line) for line in events(engine)] == [True, True]


def test_a_change_that_fails_is_in_the_log_twice(
    cdp: Cdp, folder: Path, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariant 2: the event comes before the change, and another says that it failed."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    before = ring_path(folder).read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        assert "No space left" in cdp("key", "rotate", "contact", *BY, code=1).err
    assert ring_path(folder).read_bytes() == before
    assert ['"reason":"failed"' in line for line in events(engine)] == [False, True]
    cdp("key", "rotate", "contact", *BY)


def test_a_key_in_use_is_not_retired(
    cdp: Cdp, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariants 3 and 6: neither while rows need it nor soon after the rotation; then it goes."""
    cdp("source", "sync")
    cdp("key", "rotate", "contact", *BY, "--later")
    assert "2 rows" in cdp("key", "retire", "contact", "1", *BY, code=1).err
    assert "in force" in cdp("key", "retire", "contact", "2", *BY, code=1).err
    cdp("key", "rotate", "rejects", *BY)
    assert "cdp key retire rejects 1" in cdp("key", "status").err
    assert "less than 10 minutes" in cdp("key", "retire", "rejects", "1", *BY, code=1).err
    monkeypatch.setattr(keeping, "GRACE", dt.timedelta(0))
    cdp("key", "retire", "rejects", "1", *BY)
    assert lines_of(cdp("key", "status", "--json").json, "rejects") == [(2, True, True, 0)]
    with engine.begin() as connection:
        retired = connection.execute(sa.select(schema.retired_key)).all()
        assert [(row.purpose, row.version) for row in retired] == [("rejects", 1)]


def test_a_ring_older_than_the_database_is_not_edited(cdp: Cdp, folder: Path) -> None:
    """Invariant 5: with an old copy the status says what is missing, and nothing is rotated."""
    copy = ring_path(folder).read_bytes()
    cdp("key", "rotate", "contact", *BY, "--later")
    cdp("source", "sync")
    ring_path(folder).write_bytes(copy)
    assert "2 rows need it and the ring lacks it" in cdp("key", "status").err
    assert "old copy" in cdp("key", "rotate", "contact", *BY, code=1).err
    assert ring_path(folder).read_bytes() == copy
    assert "restore the newest copy" in cdp("identity", "resolve", code=1).err


def test_killed_between_ring_and_commit_both_still_fit(
    cdp: Cdp, folder: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariant 4: the ring is new, the database is not; everything opens, and it can be repeated.

    The database holds the check of the first root, as those of the first release do.
    """
    shop = open_workspace(tills.settings(folder, database_url))
    document = ring_document.decode(ring_file.read(ring_path(folder)), ring_path(folder))
    check = ring_check.of_root(document.roots.secrets[1], shop.id, 1)
    with shop.engine.begin() as connection:
        connection.execute(sa.update(schema.workspace).values(key_check=check))
    keeper = KeyKeeper(shop, subject_of(shop, "operator"))
    with monkeypatch.context() as patch:
        patch.setattr(keeping, "workspace_table", None)  # dies where the database is told
        with pytest.raises(Exception, match="None"):
            keeper.rotate("root")
    shop.engine.dispose()
    cdp("source", "sync")
    assert cdp("key", "status", "--json").json["root_version"] == 2
    assert cdp("key", "rotate", "root", *BY, "--json").json["version"] == 3
    cdp("source", "sync")


def test_what_changes_at_once_is_confirmed(cdp: Cdp) -> None:
    """A key whose rotation stops others asks for a yes; one that must stay says why."""
    assert "every API key stops" in cdp("key", "rotate", "api-keys", *BY, code=1).err
    cdp("key", "rotate", "api-keys", "--yes", *BY)
    assert "not rotated" in cdp("key", "rotate", "records", *BY, code=1).err
    assert "run: cdp index rotate" in cdp("key", "rotate", "blind-index", *BY, code=1).err
    assert "name one of root" in cdp("key", "rotate", "contacts", *BY, code=1).err
    cdp("audit", "verify")


def test_the_root_moves_to_a_key_outside_and_back(cdp: Cdp, folder: Path, tmp_path: Path) -> None:
    """After a move a process needs the key outside, is told so, and opens with it."""
    key = tmp_path / "root-key"
    key.write_bytes(base64.b64encode(os.urandom(32)) + b"\n")
    environment = {"CDP_ROOT_KEY": key.read_text(encoding="ascii").strip()}
    cdp("key", "move", "--to", "environment", "--root-key-file", str(key), *BY)
    assert "CDP_ROOT_KEY is not set" in cdp("source", "sync", code=1).err
    wrong = base64.b64encode(bytes(32)).decode()
    refused = cdp("source", "sync", code=1, CDP_ROOT_KEY=wrong)
    assert "is not the key that this root was sealed with" in refused.err
    assert wrong not in refused.err
    cdp("source", "sync", **environment)
    cdp("key", "rotate", "root", *BY, **environment)
    cdp("key", "move", "--to", "file", *BY, **environment)
    assert cdp("key", "status", "--json").json["root_version"] == 4


def test_a_new_workspace_begins_under_a_passphrase(
    cdp: Cdp, tmp_path: Path, databases: Databases
) -> None:
    """CDP_ROOT_PROVIDER says who guards the root of a new ring."""
    phrase = tmp_path / "phrase"
    phrase.write_text("four words and more\n", encoding="utf-8")
    phrase.chmod(0o600)
    where = {
        "CDP_HOME": str(tmp_path / "fresh"),
        "CDP_DATABASE_URL": databases.copy(None),
        "CDP_ROOT_PROVIDER": "passphrase",
        "CDP_PASSPHRASE_FILE": str(phrase),
    }
    cdp("init", **where)
    cdp("source", "sync", **where)
    assert cdp("key", "status", "--json", **where).json["provider"] == "passphrase"
    phrase.write_text("some other words\n", encoding="utf-8")
    assert "passphrase is wrong" in cdp("source", "sync", code=1, **where).err


def test_the_keeper_raises_what_it_says(folder: Path, database_url: str) -> None:
    """In code the refusals are typed."""
    shop = open_workspace(tills.settings(folder, database_url))
    keeper = KeyKeeper(shop, subject_of(shop, "operator"))
    with pytest.raises(KeyMissing):
        keeper.retire("rejects", 9)
    with pytest.raises(VersionInUse):
        keeper.retire("rejects", 1)
    with pytest.raises(Refused, match="no such key"):
        keeper.rotate("nothing")
    assert keeper.upgrade() == []
    shop.engine.dispose()
