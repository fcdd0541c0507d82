"""A ring for a process that must not hold every key: extracts, and keys left wrapped."""

import base64
import datetime as dt
import json
import os
from pathlib import Path

import pytest

from cdp.vault import ring_document, ring_edits
from cdp.vault.errors import (
    KeyMissing,
    KeyRingGarbled,
    KeyWithheld,
    NotRotatable,
    OtherWorkspace,
)
from cdp.vault.keyring import KeyRing
from cdp.vault.ring_editing import RingEditor
from cdp.vault.roles import COUNTER
from cdp.vault.roots.file import FILE, ONLY_FILE

NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)


@pytest.fixture
def whole(tmp_path, workspace):
    """The whole ring in its file."""
    return KeyRing.create(tmp_path / "ring", workspace)


@pytest.fixture
def extract(tmp_path, workspace, whole):
    """A counter's extract of it, opened."""
    editor = RingEditor(tmp_path / "ring", workspace, ONLY_FILE)
    editor.extract(COUNTER.purposes, tmp_path / "counter", FILE, NOW)
    return KeyRing.open(tmp_path / "counter", workspace, withheld=COUNTER.withheld)


def test_an_extract_has_the_keys_that_were_asked_for_and_no_other(tmp_path, whole, extract):
    """Edits 6: the file holds the purposes of its role, the same keys, and nothing of the root."""
    text = (tmp_path / "counter").read_text()
    document = ring_document.decode(text.encode(), tmp_path / "counter")
    assert set(document.keys) == COUNTER.purposes
    before = ring_document.decode((tmp_path / "ring").read_bytes(), tmp_path / "ring")
    roots = {one.expose() for one in before.roots.secrets.values()}
    assert roots.isdisjoint(one.expose() for one in document.roots.secrets.values())
    assert set(document.roots.secrets).isdisjoint(before.roots.secrets)
    for purpose in COUNTER.purposes:
        assert extract.secret(purpose).expose() == whole.secret(purpose).expose()
    assert (tmp_path / "counter").stat().st_mode & 0o777 == 0o600


def test_a_database_knows_an_extract_of_its_ring(workspace, whole, extract, tmp_path):
    """Ring 5: an extract is of the database's own ring, although it names no record."""
    extract.confirm(workspace, whole.key_check(workspace))
    stranger = KeyRing.create(tmp_path / "other", workspace)
    with pytest.raises(OtherWorkspace):
        extract.confirm(workspace, stranger.key_check(workspace))


def test_an_extract_is_not_changed(tmp_path, workspace, extract):
    """Editing 3: a key that is rotated in an extract would be another one in the whole ring."""
    editor = RingEditor(tmp_path / "counter", workspace, ONLY_FILE)
    before = (tmp_path / "counter").read_bytes()
    with pytest.raises(NotRotatable, match="next: change keys where the whole ring is"):
        editor.edit(lambda document: ring_edits.rotate_root(document, os.urandom, NOW))
    assert (tmp_path / "counter").read_bytes() == before


def test_an_extract_of_what_is_not_there_is_refused(document, tmp_path):
    """Edits 6: a purpose that the ring lacks is named."""
    keys = {name: held for name, held in document.keys.items() if name != "masked"}
    less = ring_document.RingDocument(document.workspace, document.roots, keys)
    with pytest.raises(KeyMissing, match=r"key masked.*next: run: cdp key upgrade"):
        ring_edits.extract(less, COUNTER.purposes, os.urandom, NOW)


def test_a_ring_opened_for_a_role_leaves_other_keys_wrapped(tmp_path, workspace, whole):
    """Ring 4: what a process must not hold is not in its ring, nor after it looks again."""
    ring = KeyRing.open(tmp_path / "ring", workspace, withheld=COUNTER.withheld)
    ring.confirm(workspace, whole.key_check(workspace))
    assert set(ring._keys) == COUNTER.purposes
    editor = RingEditor(tmp_path / "ring", workspace, ONLY_FILE)
    editor.edit(lambda d: ring_edits.add_version(d, "masked", {}, os.urandom, NOW))
    editor.edit(lambda d: ring_edits.add_version(d, "contact", {}, os.urandom, NOW))
    assert ring.secret("masked", 2)
    assert set(ring._keys) == COUNTER.purposes
    with pytest.raises(KeyWithheld):
        ring.secret("contact", 2)


def test_a_purpose_that_does_not_exist_withholds_nothing_by_mistake(tmp_path, workspace, whole):
    """Ring 4: a misspelt purpose is an error, not a key that is kept."""
    with pytest.raises(ValueError, match="contakt"):
        KeyRing.open(Path(tmp_path / "ring"), workspace, withheld=["contakt"])


def test_an_extract_verifies_what_it_cannot_sign(whole, extract, tmp_path, workspace):
    """Edits 6: it has the public half of each signing key, and no other part of the key."""
    assert extract.public_keys() == whole.public_keys()
    with pytest.raises(KeyWithheld):
        extract.signer()
    seed = whole.secret("audit-signing").expose()
    document = ring_document.decode((tmp_path / "counter").read_bytes(), tmp_path / "counter")
    assert "audit-signing" not in document.keys
    assert seed not in [
        s.expose() for held in document.keys.values() for s in held.secrets.values()
    ]
    assert set(document.public) == {"audit-signing"}


def test_an_extract_of_a_rotated_ring_has_every_public_half(tmp_path, workspace, whole):
    """Edits 6: what an older key signed can be verified at a counter too."""
    editor = RingEditor(tmp_path / "ring", workspace, ONLY_FILE)
    editor.edit(lambda d: ring_edits.add_version(d, "audit-signing", {}, os.urandom, NOW))
    editor.extract(COUNTER.purposes, tmp_path / "counter", FILE, NOW)
    extract = KeyRing.open(tmp_path / "counter", workspace, withheld=COUNTER.withheld)
    found = KeyRing.open(tmp_path / "ring").public_keys()
    assert list(found) == [1, 2]
    assert extract.public_keys() == found


@pytest.mark.parametrize("change", ["other half", "left out", "short", "one more"])
def test_a_changed_public_half_is_noticed(tmp_path, workspace, extract, change):
    """Edits 6: public halves are under the extract's seal: another in their place is refused."""
    path = tmp_path / "counter"
    body = json.loads(path.read_text())
    halves = body["public"]["audit-signing"]
    other = base64.b64encode(bytes(32)).decode()
    if change == "other half":
        halves["1"] = other
    elif change == "left out":
        del body["public"]
    elif change == "short":
        halves["1"] = base64.b64encode(bytes(31)).decode()
    else:
        halves["2"] = other
    path.write_text(json.dumps(body))
    with pytest.raises(KeyRingGarbled):
        KeyRing.open(path, workspace, withheld=COUNTER.withheld)


def test_a_ring_opened_for_a_role_keeps_the_public_half_alone(tmp_path, workspace, whole):
    """Ring 4: of the signing key that is left wrapped only the public half stays in memory."""
    ring = KeyRing.open(tmp_path / "ring", workspace, withheld=COUNTER.withheld)
    assert ring.public_keys() == whole.public_keys()
    assert whole.without("audit-signing").public_keys() == whole.public_keys()
    assert "audit-signing" not in ring._keys
    with pytest.raises(KeyWithheld):
        ring.public_keys("features")


def test_a_public_half_comes_with_a_newer_ring(tmp_path, workspace, whole):
    """Ring 7: a process that only verifies learns of a key that was rotated meanwhile."""
    ring = KeyRing.open(tmp_path / "ring", workspace, withheld=COUNTER.withheld)
    editor = RingEditor(tmp_path / "ring", workspace, ONLY_FILE)
    editor.edit(lambda d: ring_edits.add_version(d, "audit-signing", {}, os.urandom, NOW))
    ring._source._looked = 0.0  # as if a second had passed
    assert list(ring.public_keys()) == [1, 2]
