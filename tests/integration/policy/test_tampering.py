"""A rogue administrator of the database changes what is stored: `cdp/policy/versions.py`."""

import json
import os
import stat
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
import structlog

from cdp.access.policy_looks import status
from cdp.errors import Stop
from cdp.policy import content
from cdp.policy.errors import PolicyUntrusted
from cdp.policy.seen import Link, SeenFile
from cdp.vault import primitives, ring_edits
from cdp.vault.ring_editing import RingEditor
from cdp.vault.roles import CONTACT, COUNTER
from cdp.vault.roots.file import FILE
from tests.integration.policy.office import NOW, WHY, Office, narrower, sees, wider
from tests.journeys import tills

pytestmark = pytest.mark.integration
NEWEST = "serial = (SELECT max(serial) FROM kith.policy_activation)"
# Each is what one could try in order to bring another policy into force, or an older one back.
CHANGES = {
    "content": "UPDATE kith.policy_version SET content = replace(content, 'clerk, read', "
    "'clerk,  read') WHERE stored_by = 'operator'",
    "content of another version": "UPDATE kith.policy_version SET content = (SELECT content FROM "
    "kith.policy_version WHERE stored_by = 'init') WHERE stored_by = 'operator'",
    "signature of the version": "UPDATE kith.policy_version SET signature = set_byte(signature, 5, "
    "get_byte(signature, 5) # 1) WHERE stored_by = 'operator'",
    "no signature": f"UPDATE kith.policy_activation SET signature = '' WHERE {NEWEST}",
    "signature of the activation": "UPDATE kith.policy_activation SET signature = "
    f"set_byte(signature, 63, get_byte(signature, 63) # 128) WHERE {NEWEST}",
    "version of the activation": "UPDATE kith.policy_activation SET version = (SELECT id FROM "
    f"kith.policy_version WHERE stored_by = 'init') WHERE {NEWEST}",
    "who approved": f"UPDATE kith.policy_activation SET approved_by = 'deputy' WHERE {NEWEST}",
    "who proposed": f"UPDATE kith.policy_activation SET proposed_by = 'deputy' WHERE {NEWEST}",
    "reason": f"UPDATE kith.policy_activation SET reason = 'another' WHERE {NEWEST}",
    "time": f"UPDATE kith.policy_activation SET at = at + interval '1 microsecond' WHERE {NEWEST}",
    "serial": f"UPDATE kith.policy_activation SET serial = 9 WHERE {NEWEST}",
    "previous": "UPDATE kith.policy_activation SET previous = set_byte(previous, 0, "
    f"get_byte(previous, 0) # 1) WHERE {NEWEST}",
    "key version": f"UPDATE kith.policy_activation SET key_version = 2 WHERE {NEWEST}",
    "format": "UPDATE kith.policy_version SET format = 2 WHERE stored_by = 'operator'",
    "who stored": "UPDATE kith.policy_version SET stored_by = 'x' WHERE stored_by = 'operator'",
    "version gone": "DELETE FROM kith.policy_version WHERE stored_by = 'operator'",
    "copied to the end": "INSERT INTO kith.policy_activation SELECT serial + 2, version, "
    "proposed_by, approved_by, reason, at, previous, key_version, signature "
    "FROM kith.policy_activation WHERE serial = 1",
}
EARLIER = {
    "first link gone": "DELETE FROM kith.policy_activation WHERE serial = 1",
    "first link altered": "UPDATE kith.policy_activation SET reason = 'x' WHERE serial = 1",
    "first by somebody": "UPDATE kith.policy_activation SET approved_by = 'x' WHERE serial = 1",
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_changed_is_refused_and_the_old_one_stays(office: Office, change: str) -> None:
    """Versions 1 to 3, Live 2: one byte more or less, and no running process takes it."""
    running = office.process()
    before = running.policy
    office.change(wider(), "operator", "officer")
    office.forced(CHANGES[change])
    with structlog.testing.capture_logs() as said:
        assert not running.policies.refresh()
        assert not running.policies.refresh()
    assert running.policy is before
    assert sees(running, "postcode") == "omit"
    found = running.policies.status()
    assert (found.serial, found.version) == (1, before.version)
    assert found.refusal
    assert [one["event"] for one in said] == ["policy_refused"]


@pytest.mark.parametrize("change", CHANGES | EARLIER)
def test_a_process_is_not_started_on_what_was_changed(office: Office, change: str) -> None:
    """Live 3: without an old one it does not fall back to a policy that may be wider."""
    office.change(narrower())
    office.forced((CHANGES | EARLIER)[change])
    late = office.process()
    with pytest.raises(PolicyUntrusted):
        _ = late.policy
    assert status(late).refusal
    assert status(late).in_force is None


def test_what_was_put_right_is_followed_again(office: Office) -> None:
    """Live 2: the refusal ends with its cause, and the newest policy is in force."""
    running = office.process()
    _ = running.policy
    office.change(wider())
    office.forced("UPDATE kith.policy_activation SET reason = 'x' WHERE serial = 2")
    assert not running.policies.refresh()
    assert running.policies.status().refusal
    office.forced(f"UPDATE kith.policy_activation SET reason = '{WHY}' WHERE serial = 2")
    assert running.policies.refresh()
    assert (sees(running, "postcode"), running.policies.status().refusal) == ("clear", None)


@pytest.mark.parametrize("rows", ["serial = 2", "serial > 0"], ids=["newest", "all"])
def test_a_chain_cut_short_is_refused(office: Office, rows: str) -> None:
    """Versions 4: neither a running process nor one started later goes back to an older policy."""
    running = office.process()
    office.change_in(running, narrower())
    assert sees(running, "phone") == "omit"
    office.forced(f"DELETE FROM kith.policy_activation WHERE {rows}")
    assert not running.policies.refresh()
    assert sees(running, "phone") == "omit"
    assert running.policies.status().serial == 2
    with pytest.raises(PolicyUntrusted, match=r"policy_older_than_seen|policy_chain_cut"):
        _ = office.process().policy


def test_another_chain_of_the_same_length_is_refused(office: Office) -> None:
    """Seen 1: the link that this machine saw is another one: a backup was restored and went on."""
    office.change(narrower())
    path = office.settings.policy_seen
    seen = json.loads(path.read_text())
    path.write_text(json.dumps(seen | {"mark": "00" * 32}))
    with pytest.raises(PolicyUntrusted, match="policy_older_than_seen"):
        _ = office.process().policy


@pytest.mark.parametrize("text", ["", "{", '{"serial": 1}', "[]", '{"workspace": 1}'])
def test_a_file_that_cannot_be_read_is_no_absent_one(office: Office, text: str) -> None:
    """Seen 1: emptying the file of this machine opens no way back."""
    office.change(narrower())
    path = office.settings.policy_seen
    body = json.loads(path.read_text())
    path.write_text(text.replace('"workspace": 1', f'"workspace": "{body["workspace"]}"'))
    with pytest.raises(PolicyUntrusted, match="policy_seen_unreadable"):
        _ = office.process().policy


def test_the_file_only_moves_forward(office: Office, tmp_path: Path) -> None:
    """Seen 2: an older link does not take the place of a newer one, and the file is private."""
    file = SeenFile(tmp_path / "seen", office.workspace.id)
    file.note(Link(3, b"3" * 32))
    file.note(Link(2, b"2" * 32))
    assert file.newest() == Link(3, b"3" * 32)
    file.note(Link(4, b"4" * 32))
    assert file.newest() == Link(4, b"4" * 32)
    file.note(Link(4, b"4" * 32, 2))
    file.note(Link(4, b"4" * 32, 1))
    file.note(Link(4, b"x" * 32, 3))
    assert (file.newest(), file.newest().key) == (Link(4, b"4" * 32), 2)
    assert (tmp_path / "seen").stat().st_mode & 0o777 == 0o600
    assert replace(file, workspace=UUID(int=1)).newest() is None


def test_the_file_is_on_the_disk_before_it_takes_the_other_s_place(
    office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen 4: the new content is forced out first, and the folder after it."""
    done: list[str] = []
    real_sync, real_replace = os.fsync, Path.replace

    def sync(handle: int) -> None:
        done.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        real_sync(handle)

    def replacing(self: Path, target: Path) -> Path:
        done.append("replaced")
        return real_replace(self, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "replace", replacing)
    SeenFile(tmp_path / "seen", office.workspace.id).note(Link(3, b"3" * 32))
    assert done == ["file", "replaced", "folder"]


def test_a_spoilt_file_keeps_no_narrower_policy_out(office: Office) -> None:
    """Live 2: a running process takes what it verified, tells of the file, and is of one mind."""
    running = office.process()
    _ = running.policy
    office.settings.policy_seen.write_text("{")
    with structlog.testing.capture_logs() as said:
        proposal = office.by("operator", running).propose(narrower(), WHY)
        serial = office.by("officer", running).approve(proposal.id, proposal.version).serial
    status = running.policies.status()
    assert (sees(running, "phone"), status.serial, status.refusal) == ("omit", serial, None)
    assert {one["event"] for one in said} == {"policy_seen_not_noted"}


def test_a_folder_that_cannot_be_written_to_stops_nobody(office: Office, tmp_path: Path) -> None:
    """Seen 3: the file is a second look; without its folder the policy is in force all the same."""
    process = office.process()
    process.policies._seen = SeenFile(tmp_path / "gone" / "seen", office.workspace.id)
    office.change(wider())
    assert sees(process, "postcode") == "clear"


LOST = {
    "everything": "DROP SCHEMA kith, kith_vault, kith_keys CASCADE",
    "every activation": "DELETE FROM kith.policy_activation",
}


@pytest.mark.parametrize("lost", LOST)
def test_init_begins_anew_only_where_somebody_says_so(
    office: Office, tmp_path: Path, lost: str
) -> None:
    """Changing 4: with the ring that is there, an emptied database is no new one."""
    office.change(narrower())
    office.forced(LOST[lost])
    office.workspace.engine.dispose()
    address = str(office.settings.database_url)
    for _ in range(2):  # a second try finds what the first one left
        with pytest.raises(PolicyUntrusted, match=r"policy_older_than_seen.*--begin-anew"):
            Office(tmp_path, address)
    assert office.settings.policy_seen.exists()
    again = Office(tmp_path, address, anew=True)
    assert again.workspace.policies.status().serial == 1
    assert sees(again.workspace, "phone") == "mask"
    again.close()
    assert json.loads(office.settings.policy_seen.read_text())["serial"] == 1


@pytest.mark.parametrize("anew", [False, True])
def test_a_database_without_its_workspace_is_not_initialised(
    office: Office, tmp_path: Path, *, anew: bool
) -> None:
    """Changing 4: a row or two taken away do not make init sign the shipped policy again."""
    office.change(narrower())
    office.forced("DELETE FROM kith.policy_activation")
    office.forced("DELETE FROM kith.workspace")
    with pytest.raises(Stop, match="workspace_row_missing"):
        Office(tmp_path, str(office.settings.database_url), anew=anew)
    assert office.sql("SELECT FROM kith.policy_activation") == []
    assert json.loads(office.settings.policy_seen.read_text())["serial"] == 2


def test_beginning_anew_takes_nothing_away(office: Office, tmp_path: Path) -> None:
    """Changing 4: where there is a policy, saying so changes nothing."""
    office.change(narrower())
    again = Office(tmp_path, str(office.settings.database_url), anew=True)
    assert sees(again.workspace, "phone") == "omit"
    again.close()
    assert json.loads(office.settings.policy_seen.read_text())["serial"] == 2


def test_a_ring_drawn_now_has_seen_nothing(office: Office, tmp_path: Path, databases) -> None:
    """Changing 4: a file of another workspace, or a spoilt one, does not stop a new one."""
    folder = tmp_path / "other"
    folder.mkdir()
    settings = tills.settings(folder, databases.copy(None))
    settings.home.mkdir(parents=True, exist_ok=True)
    settings.policy_seen.write_text("{")
    other = Office(folder, str(settings.database_url))
    assert other.workspace.policies.status().serial == 1
    other.close()


@pytest.mark.parametrize(
    "change",
    [
        "proposed_by = 'officer'",
        "base = 7",
        "reason = 'x'",
        "at = at + interval '1 second'",
        "version = '0' || version",
    ],
)
def test_a_changed_proposal_is_not_approved(office: Office, change: str) -> None:
    """Versions 1: whoever proposed cannot be made to look like somebody else."""
    proposal = office.by("operator").propose(wider(), WHY)
    office.forced(f"UPDATE kith.policy_proposal SET {change}")
    with pytest.raises(PolicyUntrusted):
        office.by("deputy").approve(proposal.id, proposal.version)
    assert office.workspace.policies.status().serial == 1


def test_a_proposal_in_its_approver_s_name_does_not_help(office: Office) -> None:
    """Versions 3: an officer cannot approve their own by having the row say otherwise."""
    proposal = office.by("deputy").propose(wider(), WHY)
    office.forced("UPDATE kith.policy_proposal SET proposed_by = 'operator'")
    with pytest.raises(PolicyUntrusted):
        office.by("deputy").approve(proposal.id, proposal.version)
    assert office.events()[-1] == ("deputy", "policy.approve", "deny", "failed")


def test_what_another_workspace_signed_is_refused(office: Office, databases, tmp_path) -> None:
    """Versions 1: a chain brought over from another workspace is not this one's."""
    running = office.workspace
    _ = running.policy
    other = Office(tmp_path / "other", databases.copy(None))
    other.change(wider())
    names = (
        "serial, version, proposed_by, approved_by, reason, at, previous, key_version, signature"
    )
    (theirs,) = other.sql(f"SELECT {names} FROM kith.policy_activation WHERE serial = 2")
    (version,) = other.sql("SELECT * FROM kith.policy_version WHERE stored_by = 'operator'")
    for table, row in (("policy_version", version), ("policy_activation", theirs)):
        columns = ", ".join(row._fields)
        given = ", ".join(f":{name}" for name in row._fields)
        office.sql(f"INSERT INTO kith.{table} ({columns}) VALUES ({given})", dict(row._mapping))
    assert not running.policies.refresh()
    assert sees(running, "postcode") == "omit"
    other.close()


@pytest.mark.parametrize("role", [COUNTER, CONTACT], ids=lambda role: role.name)
def test_a_process_without_the_signing_key_verifies(office: Office, role, tmp_path) -> None:
    """Versions 1: with an extract on another machine it follows what is signed, and no more."""
    editor = RingEditor(office.settings.key_ring, office.workspace.id, office.workspace.providers)
    away = replace(office.settings, home=tmp_path / "away")
    away.home.mkdir()
    editor.extract(sorted(role.purposes), away.key_ring, FILE, NOW)
    held = office.settings
    office.settings = away
    counter = office.process(role=role)
    office.settings = held
    assert sees(counter, "postcode") == "omit"
    office.change(wider())
    assert counter.policies.refresh()
    assert sees(counter, "postcode") == "clear"
    office.change(narrower())
    office.forced(f"UPDATE kith.policy_activation SET reason = 'x' WHERE {NEWEST}")
    assert not counter.policies.refresh()
    assert sees(counter, "postcode") == "clear"
    counter.engine.dispose()


def test_an_extract_of_an_earlier_release_is_told_to_be_taken_again(office: Office) -> None:
    """Versions 5: without the public half nothing is verified, and nothing else is in force."""
    process = office.process()
    ring = process.keyring.without("audit-signing")
    ring._public, ring._source = {}, None
    with pytest.raises(PolicyUntrusted, match=r"public_key_missing.*cdp key extract"):
        _ = replace(process, keyring=ring).policy


def test_a_newer_key_is_trusted_by_who_holds_it(office: Office) -> None:
    """After rotating the signing key, what the older one signed holds, and new links are of it."""
    office.change(wider())
    editor = RingEditor(office.settings.key_ring, office.workspace.id, office.workspace.providers)
    random = primitives.system_randomness
    editor.edit(lambda d: ring_edits.add_version(d, "audit-signing", {}, random, NOW))
    running = office.workspace
    office.change(narrower())
    versions = office.sql("SELECT key_version FROM kith.policy_activation ORDER BY serial")
    assert [one.key_version for one in versions] == [1, 1, 2]
    running.keyring._source._looked = 0.0  # as if a second had passed
    running.policies.refresh()
    assert (sees(running, "phone"), running.policies.status().refusal) == ("omit", None)


def test_where_nothing_is_stored_the_shipped_policy_is_in_force(office: Office) -> None:
    """Live 4: as in a workspace of an earlier release that was not initialised again."""
    office.settings.policy_seen.unlink(missing_ok=True)
    office.forced("DELETE FROM kith.policy_activation")
    found = office.process().policies.status()
    assert (found.serial, found.version) == (None, content.compiled(content.shipped()).version)
