"""What may be done to a key ring, and what of it survives."""

import base64
import datetime as dt
import json
import os
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdp.vault import primitives, ring_check, ring_document, ring_edits
from cdp.vault.context import frame, number
from cdp.vault.errors import KeyMissing, KeyRingGarbled, NotRotatable, OtherWorkspace, VersionInUse
from cdp.vault.keyring import KeyRing
from cdp.vault.ring_document import ADDED, MAX_VERSION, PURPOSES, RingDocument

WORKSPACE = UUID(int=7)
NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


def first_format(document, left_out=ADDED):
    """The bytes that the first release wrote for this document."""
    [(root, secret)] = document.roots.secrets.items()
    cipher = primitives.key_cipher(primitives.expand(secret, frame(b"kith/key-ring/wrap/1")))
    keys = {}
    for purpose, held in document.keys.items():
        if purpose in left_out:
            continue
        parts = (document.workspace.bytes, purpose.encode(), number(1), number(root), number(1))
        nonce = os.urandom(12)
        sealed = cipher.encrypt(
            nonce, held.secrets[1].expose(), frame(b"kith/key-ring/key", *parts)
        )
        wrapped = base64.b64encode(nonce + sealed).decode()
        keys[purpose] = {"current": 1, "versions": {"1": {"root": root, "wrapped": wrapped}}}
    text = base64.b64encode(secret.expose()).decode()
    body = {
        "format": "kith-key-ring",
        "version": 1,
        "workspace": str(document.workspace),
        "root": {"provider": "file", "current": root, "versions": {str(root): text}},
        "keys": keys,
    }
    return json.dumps(body).encode()


def again(document):
    """Written and read back."""
    return ring_document.decode(document.encode(os.urandom), Path("ring"))


@pytest.fixture
def older(document):
    """The document as the first release left it, without the keys it did not have."""
    return ring_document.decode(first_format(document), Path("ring"))


# ── format 1 ────────────────────────────────────────────────────────────────


def test_a_ring_of_the_first_format_opens(older, document):
    """A ring of format 1 opens with the same keys, and says what it is."""
    assert (older.format, older.provider) == (1, "file")
    for purpose in set(PURPOSES) - set(ADDED):
        expected = document.keys[purpose].secrets[1].expose()
        assert older.keys[purpose].secrets[1].expose() == expected


def test_a_ring_of_the_first_format_becomes_the_second_when_written(older):
    """Writing a ring brings it to format 2; its keys and the time of no key change."""
    newer = again(older)
    assert newer.format == 2
    assert newer.keys.keys() == older.keys.keys()
    assert newer.keys["contact"].made == {}


def test_a_database_of_the_first_format_knows_its_ring_for_ever(older, workspace):
    """Edit invariant 5: the check of root 1 is accepted before and after every rotation."""
    stored = ring_check.of_root(older.roots.secrets[1], workspace, 1)
    KeyRing.of(older).confirm(workspace, stored)
    for _ in range(3):
        older = again(ring_edits.rotate_root(older, os.urandom, NOW))
        KeyRing.of(older).confirm(workspace, stored)
    with pytest.raises(OtherWorkspace):
        KeyRing.of(RingDocument.fresh(workspace, os.urandom)).confirm(workspace, stored)


def test_missing_keys_are_added_on_request_only(older):
    """A ring that lacks keys names `cdp key upgrade`; adding them changes no other key."""
    with pytest.raises(KeyMissing, match=r"key masked.*next: run: cdp key upgrade"):
        KeyRing.of(older).secret("masked")
    with pytest.raises(KeyMissing, match=r"key shreds.*next: run: cdp key upgrade"):
        ring_edits.add_version(older, "shreds", {}, os.urandom, NOW)
    assert ring_edits.missing(older.keys) == list(ADDED)
    full = again(ring_edits.add_purposes(older, {}, os.urandom, NOW))
    assert set(full.keys) == set(PURPOSES)
    assert full.keys["masked"].made == {1: NOW}
    assert full.keys["contact"].secrets[1].expose() == older.keys["contact"].secrets[1].expose()
    twice = ring_edits.add_purposes(full, {}, os.urandom, NOW)
    assert twice.keys["masked"] is full.keys["masked"]


def test_a_key_that_the_database_uses_is_not_made_up(older, document):
    """Edit invariant 3: an old copy of the ring is given no second key for a purpose in use."""
    with pytest.raises(KeyMissing, match=r"key masked, versions 1.*old copy"):
        ring_edits.add_purposes(older, {"masked": {1: 7}}, os.urandom, NOW)
    left = {name: held for name, held in document.keys.items() if name != "contact"}
    with pytest.raises(KeyRingGarbled, match="every release had: contact"):
        ring_edits.add_purposes(replace(document, keys=left), {}, os.urandom, NOW)


# ── roots ───────────────────────────────────────────────────────────────────


def test_a_new_root_replaces_the_old_one(document, workspace):
    """Edit invariant 4: every key is the same under a new root, and the old root is gone."""
    old = document.roots.secrets[1].expose()
    content = ring_edits.rotate_root(document, os.urandom, NOW).encode(os.urandom)
    assert base64.b64encode(old) not in content
    newer = ring_document.decode(content, Path("ring"))
    assert (newer.roots.current, list(newer.roots.secrets)) == (2, [2])
    for purpose in PURPOSES:
        assert newer.keys[purpose].secrets[1].expose() == document.keys[purpose].secrets[1].expose()
    assert KeyRing.of(newer).key_check(workspace) == KeyRing.of(document).key_check(workspace)
    assert KeyRing.of(newer).facts == (2, "file", 2, NOW)


def test_a_ring_with_two_roots_is_read_and_written(second):
    """A ring that has two roots keeps both, and wraps its keys under the newer one."""
    newer = again(second)
    assert newer.roots.secrets.keys() == {1, 2}
    body = json.loads(second.encode(os.urandom))
    roots = {v["root"] for key in body["keys"].values() for v in key["versions"].values()}
    assert roots == {2}


# ── versions ────────────────────────────────────────────────────────────────


def test_a_new_version_is_in_force_and_the_old_one_stays(document):
    """A rotated purpose writes with the new key and still gives the old one; the rest stays."""
    newer = again(ring_edits.add_version(document, "contact", {1: 5}, os.urandom, NOW))
    ring = KeyRing.of(newer)
    assert ring.current("contact") == 2
    assert ring.versions("contact") == {1: None, 2: NOW}
    assert ring.secret("contact", 1).expose() == document.keys["contact"].secrets[1].expose()
    assert ring.secret("contact").expose() != ring.secret("contact", 1).expose()
    assert ring.current("sensitive") == 1


def test_the_key_of_the_records_is_never_rotated(document):
    """Record keys and profile ids derive from one key that has no second version."""
    with pytest.raises(NotRotatable, match="profile ids"):
        ring_edits.add_version(document, "records", {}, os.urandom, NOW)


def test_a_number_is_given_once(document):
    """Edit invariant 1: the number of a retired version is not given again, nor after a write."""
    one = ring_edits.add_version(document, "contact", {}, os.urandom, NOW)
    two = ring_edits.add_version(one, "contact", {}, os.urandom, NOW)
    only = again(ring_edits.retire(ring_edits.retire(two, "contact", 1, {}), "contact", 2, {}))
    assert list(only.keys["contact"].secrets) == [3]
    assert ring_edits.add_version(only, "contact", {}, os.urandom, NOW).keys["contact"].current == 4
    used_up = replace(only.keys["contact"], latest=MAX_VERSION)
    full = replace(only, keys={**only.keys, "contact": used_up})
    with pytest.raises(NotRotatable, match="used up"):
        ring_edits.add_version(full, "contact", {}, os.urandom, NOW)


def test_a_version_in_use_is_not_retired(document):
    """Edit invariant 2: the version in force stays, and one that rows need, with their number."""
    newer = ring_edits.add_version(document, "contact", {}, os.urandom, NOW)
    with pytest.raises(VersionInUse, match="in force"):
        ring_edits.retire(newer, "contact", 2, {})
    with pytest.raises(VersionInUse, match="41 rows"):
        ring_edits.retire(newer, "contact", 1, {1: 41, 2: 9})
    with pytest.raises(KeyMissing, match="no such version"):
        ring_edits.retire(newer, "contact", 7, {})
    with pytest.raises(KeyMissing, match="name one of"):
        ring_edits.retire(newer, "contacts", 1, {})
    left = ring_edits.retire(newer, "contact", 1, {2: 9})
    with pytest.raises(KeyMissing, match="key contact, version 1"):
        KeyRing.of(left).secret("contact", 1)


def test_an_old_copy_of_a_ring_is_not_edited(document):
    """Edit invariant 3: a ring that lacks a version in use takes no new version of its own."""
    said = r"versions 2.*old copy.*next: restore the newest"
    with pytest.raises(KeyMissing, match=said):
        ring_edits.add_version(document, "contact", {1: 3, 2: 1}, os.urandom, NOW)
    with pytest.raises(KeyMissing, match=said):
        ring_edits.retire(document, "contact", 1, {2: 1})


MOVES = st.lists(st.sampled_from(["root", "contact", "masked", "retire"]), max_size=12)


@settings(max_examples=40, deadline=None)
@given(MOVES)
def test_whatever_is_done_what_was_sealed_can_be_opened(moves):
    """Edit laws: after any edits each version in use is there, unchanged, and the ring is known."""
    document = RingDocument.fresh(WORKSPACE, os.urandom, NOW)
    check = KeyRing.of(document).key_check(WORKSPACE)
    seen = {1: document.keys["contact"].secrets[1].expose()}
    for move in moves:
        if move == "root":
            document = ring_edits.rotate_root(document, os.urandom, NOW)
        elif move == "retire":
            gone = [v for v in document.keys["contact"].secrets if v not in (1, max(seen))]
            for version in gone:
                document = ring_edits.retire(document, "contact", version, {1: 1})
        else:
            document = ring_edits.add_version(document, move, {}, os.urandom, NOW)
        held = document.keys["contact"]
        assert held.current not in seen or move != "contact"
        seen.setdefault(held.current, held.secrets[held.current].expose())
        document = again(document)
    ring = KeyRing.of(document)
    ring.confirm(WORKSPACE, check)
    for version in document.keys["contact"].secrets:
        assert ring.secret("contact", version).expose() == seen[version]
    assert {1, max(seen)} <= set(document.keys["contact"].secrets)
