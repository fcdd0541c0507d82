"""A ring for a process that must not hold every key: extracts, and keys left wrapped."""

import datetime as dt
import os
from pathlib import Path

import pytest

from cdp.vault import ring_document, ring_edits
from cdp.vault.errors import KeyMissing, KeyWithheld, NotRotatable, OtherWorkspace
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
