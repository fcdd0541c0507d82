"""What a stored policy means for whoever decides by it: readers, runs, masks, older releases."""

import dataclasses
import json
from collections.abc import Sequence

import pytest
import sqlalchemy as sa

from cdp.access.gate import Gate
from cdp.keys.usage import in_use, refuse_from_now_on
from cdp.policy import content, live
from cdp.policy.changing import Author
from cdp.policy.errors import PolicyUntrusted
from cdp.policy.seen import Link
from cdp.policy.signed import Version, sign
from cdp.policy.versions import trust_of
from cdp.resolution.permission import Permission
from cdp.storage.key_schema import SealedUnderRetiredKey
from cdp.storage.schema import policy_version
from cdp.vault import primitives, ring_edits
from cdp.vault.ring_editing import RingEditor
from cdp.vault.roles import COUNTER
from policies.decision import Subject
from policies.vocabulary import Action
from tests.integration.policy.office import NOW, WHY, Office, narrower, sees, wider
from tests.integration.policy.test_following import followed, until

pytestmark = pytest.mark.integration


def author(office: Office, key: int | None = None) -> Author:
    """Somebody who holds the signing key, the newest or an older one, and asks nobody."""
    keyring = office.workspace.keyring
    return Author(trust_of(keyring), keyring.signer(version=key), NOW)


def forced(
    office: Office, who: Sequence[str], after: Link | None, text: str, key: int | None = None
) -> None:
    """Sign and store an activation past every rule."""
    by = author(office, key)
    with office.engine.begin() as connection:
        name = by.store(connection, text, who[0])
        by._activate(connection, name, (who[0], who[1]), WHY, after)


def rotated(office: Office) -> None:
    """The ring has a second signing key; every process opened from now on has it."""
    editor = RingEditor(office.settings.key_ring, office.workspace.id, office.workspace.providers)
    random = primitives.system_randomness
    editor.edit(lambda d: ring_edits.add_version(d, "audit-signing", {}, random, NOW))
    office.workspace = office.process()


@pytest.mark.parametrize(
    "who",
    [("officer", "officer"), ("deputy", " DEPUTY "), ("ｄｅｐｕｔｙ", "deputy"), ("init", "init")],
)
def test_one_person_alone_puts_nothing_in_force(office: Office, who: tuple[str, str]) -> None:
    """Versions 3: well signed or not, a link of one person is refused by whoever reads it."""
    running = office.process()
    _ = running.policy
    forced(office, who, running.policies._held.link, wider())
    assert not running.policies.refresh()
    assert "policy_not_approved_by_another" in str(running.policies.status().refusal)
    assert sees(running, "postcode") == "omit"
    with pytest.raises(PolicyUntrusted, match="policy_not_approved_by_another"):
        _ = office.process().policy


@pytest.mark.parametrize("wrong", ["serial", "previous"])
def test_a_signed_link_stands_in_its_place_or_nowhere(office: Office, wrong: str) -> None:
    """Versions 2: one that leaves a gap, or names another link before it, is no link here."""
    running = office.process()
    _ = running.policy
    link = running.policies._held.link
    other = Link(5, link.mark) if wrong == "serial" else Link(1, b"x" * 32)
    forced(office, ("operator", "officer"), other, wider())
    assert not running.policies.refresh()
    assert "policy_chain" in str(running.policies.status().refusal)
    assert sees(running, "postcode") == "omit"
    with pytest.raises(PolicyUntrusted, match="policy_chain"):
        _ = office.process().policy


def test_a_link_is_not_exchanged_for_another_signed_one(office: Office) -> None:
    """Versions 2 and 4: what was signed on a restored backup does not take a newer one's place."""
    running = office.process()
    _ = running.policy
    first = running.policies._held.link
    office.change_in(running, narrower())
    office.forced("DELETE FROM kith.policy_activation WHERE serial = 2")
    forced(office, ("operator", "officer"), first, wider())
    assert not running.policies.refresh()
    assert (sees(running, "phone"), sees(running, "postcode")) == ("omit", "omit")
    with pytest.raises(PolicyUntrusted, match="policy_older_than_seen"):
        _ = office.process().policy


def test_an_older_key_does_not_go_on_with_a_chain(office: Office) -> None:
    """Versions 5: what a rotated key signs behind a link of the new one is refused by everybody."""
    rotated(office)
    running = office.process()
    office.change_in(running, narrower())
    forced(office, ("operator", "officer"), running.policies._held.link, wider(), key=1)
    assert not running.policies.refresh()
    assert "policy_signed_by_an_older_key" in str(running.policies.status().refusal)
    assert (sees(running, "phone"), sees(running, "postcode")) == ("omit", "omit")
    office.settings.policy_seen.unlink()
    with pytest.raises(PolicyUntrusted, match="policy_signed_by_an_older_key"):
        _ = office.process().policy


@pytest.mark.parametrize("anew", [False, True], ids=["running", "started later"])
def test_a_rotated_key_signs_nothing_new(office: Office, *, anew: bool) -> None:
    """Versions 5: also where no link of the new key is there yet, once this machine has looked."""
    running = office.process()
    _ = running.policy
    rotated(office)
    running.keyring._source._looked = 0.0  # as if a second had passed
    assert not running.policies.refresh()
    assert json.loads(office.settings.policy_seen.read_text())["key"] == 2
    forced(office, ("operator", "officer"), running.policies._held.link, wider(), key=1)
    if anew:
        with pytest.raises(PolicyUntrusted, match="policy_signed_by_an_older_key"):
            _ = office.process().policy
        return
    assert not running.policies.refresh()
    assert "policy_signed_by_an_older_key" in str(running.policies.status().refusal)
    assert sees(running, "postcode") == "omit"


def test_a_rotated_key_exchanges_no_version(office: Office) -> None:
    """Versions 5: other content under the id that is in force is not what this machine saw."""
    office.change(narrower())
    rotated(office)
    one = Version(office.process().policy.version, content.FORMAT, wider(), "operator", NOW)
    signed = sign(office.workspace.id, one, office.workspace.keyring.signer(version=1))
    with office.engine.begin() as connection:
        changed = {"content": one.content, "at": one.at, "signature": signed.value}
        row = sa.update(policy_version).where(policy_version.c.id == one.id)
        assert connection.execute(row.values(**changed)).rowcount == 1
    with pytest.raises(PolicyUntrusted, match="policy_version_exchanged"):
        _ = office.process().policy


def test_a_version_that_decides_otherwise_is_not_taken_for_another(office: Office) -> None:
    """Changing 1: an id that is stored already stands for what was stored, or nothing is done."""
    name = content.compiled(narrower()).version
    one = Version(name, content.FORMAT, wider(), "operator", NOW)
    signed = sign(office.workspace.id, one, office.workspace.keyring.signer())
    parts = {each.name: getattr(one, each.name) for each in dataclasses.fields(one)}
    with office.engine.begin() as connection:
        signature = {"key_version": signed.key_version, "signature": signed.value}
        connection.execute(policy_version.insert().values(**parts, **signature))
    with pytest.raises(PolicyUntrusted, match="policy_version_decides_otherwise"):
        office.by("operator").propose(narrower(), WHY)
    assert office.sql("SELECT id FROM kith.policy_proposal") == []


def test_a_chain_begins_with_what_was_shipped(office: Office) -> None:
    """Versions 3: a first link that two persons signed is a chain that begins somewhere else."""
    office.settings.policy_seen.unlink(missing_ok=True)
    office.forced("DELETE FROM kith.policy_activation")
    forced(office, ("operator", "officer"), None, wider())
    with pytest.raises(PolicyUntrusted):
        _ = office.process().policy


def test_a_policy_of_an_earlier_release_stays_in_force(office: Office) -> None:
    """Content 3: under the id that was signed, and what it does not know of is hidden."""
    files = dict(content.files(content.shipped()))
    lines = files["masking.yaml"].splitlines()
    files["masking.yaml"] = "\n".join(line for line in lines if not line.startswith("  phone"))
    older = content._CANONICAL.encode({"format": content.FORMAT, "files": files})
    running = office.process()
    _ = running.policy
    one = Version("0123" * 16, content.FORMAT, older, "operator", NOW)
    signed = sign(office.workspace.id, one, office.workspace.keyring.signer())
    with office.engine.begin() as connection:
        connection.execute(
            policy_version.insert().values(
                id=one.id,
                format=one.format,
                content=one.content,
                stored_by=one.stored_by,
                at=one.at,
                key_version=signed.key_version,
                signature=signed.value,
            )
        )
        link = running.policies._held.link
        author(office)._activate(connection, one.id, ("operator", "officer"), WHY, link)
    assert running.policies.refresh()
    for process in (running, office.process()):
        assert process.policy.version == one.id
        assert process.policy.mask("phone", "13957140286") == "***"
        assert process.policy.mask("name", "张敏") == "张**"
        assert process.forms.masking["phone"] == "whole"


def test_forms_are_of_the_masks_in_force(office: Office) -> None:
    """Other masks are another version of forms: what was stored under the old ones is not shown."""
    running = office.process()
    before = running.forms.version
    pinned = running.pinned()
    office.change(content.shipped().replace("phone: phone", "phone: whole"))
    assert running.policies.refresh()
    assert running.forms.version != before
    assert running.forms.masking["phone"] == "whole"
    assert pinned.forms.version == before
    assert running.pinned().forms.version == running.forms.version
    assert office.process().forms.version == running.forms.version


def test_a_run_keeps_the_policy_that_it_began_with(office: Office) -> None:
    """Live 1: what is pinned stays, whatever comes into force; the next one takes the new one."""
    running = office.process()
    pinned, gate = running.pinned(), Gate(running)
    permission = Permission(running, Subject("office", "headquarters", "kith"), Action.MERGE, "x")
    before = pinned.policy
    office.change(wider())
    assert running.policies.refresh()
    assert pinned.policy is pinned.pinned().policy is before
    assert permission.workspace.policy is before
    assert gate._policy is before
    newer = running.policy
    assert newer.version != before.version
    assert gate.for_request("r")._policy is running.pinned().policy is newer
    assert pinned.repinned().policy is newer
    assert pinned.vault is running.vault


def test_what_was_refused_is_looked_at_again_soon(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Following 1: once it is put right, nobody waits for the next look of thirty seconds."""
    monkeypatch.setattr(live, "SOON", 0.1)
    with followed(office.process()) as process:
        office.change(wider())
        assert until(lambda: sees(process, "postcode") == "clear")
        office.forced("UPDATE kith.policy_activation SET reason = 'x' WHERE serial = 2")
        office.sql("SELECT pg_notify('kith_policy', '')")
        assert until(lambda: process.policies.status().refusal is not None)
        office.forced(f"UPDATE kith.policy_activation SET reason = '{WHY}' WHERE serial = 2")
        assert until(lambda: process.policies.status().refusal is None)
    process.engine.dispose()


@pytest.mark.parametrize(
    "text",
    [
        "DELETE FROM kith.policy_activation",
        "UPDATE kith.policy_version SET content = ''",
        "INSERT INTO kith.policy_activation SELECT * FROM kith.policy_activation",
        "SELECT * FROM kith.policy_proposal",
    ],
)
def test_who_serves_clerks_reads_what_is_in_force_and_writes_nothing(
    office: Office, text: str
) -> None:
    """The database's role of a counter may verify the policy and touch none of it."""
    counter = office.process(role=COUNTER)
    assert sees(counter, "phone") == "mask"
    with counter.engine.connect() as connection, pytest.raises(sa.exc.ProgrammingError) as caught:
        connection.execute(sa.text(text))
    assert caught.value.orig.pgcode == "42501"
    counter.engine.dispose()


def test_a_key_that_signed_a_link_is_not_retired(office: Office) -> None:
    """Its versions are counted as in use, and nothing is stored under one that was retired."""
    office.change(wider())
    with office.engine.connect() as connection:
        assert in_use(connection)["audit-signing"] == {1: 5}
    refuse_from_now_on(office.engine, "audit-signing", 1, NOW)
    with pytest.raises(SealedUnderRetiredKey):
        office.change(narrower())
    assert len(office.sql("SELECT id FROM kith.policy_version")) == 2
