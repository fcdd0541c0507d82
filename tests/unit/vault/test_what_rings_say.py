"""What a key ring says when it refuses: the words, the place and the next step, exactly.

Whoever reads these sentences has a shop that stands still and a ring that is not to be
lost, so they are held to the letter, as those of cells are (`test_what_is_said.py`).
"""

import base64
import copy
import datetime as dt
import json
import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from cdp.errors import KithError
from cdp.vault import ring_document, ring_edits, ring_file
from cdp.vault.errors import (
    KeyMissing,
    KeyRingChanged,
    KeyRingExists,
    KeyRingExposed,
    KeyRingGarbled,
    KeyRingMissing,
    KeyRingUnwritable,
    KeyWithheld,
    NotRotatable,
    OtherWorkspace,
    VersionInUse,
)
from cdp.vault.keyring import KeyRing
from cdp.vault.ring_document import MAX_VERSION, PURPOSES, RingDocument
from cdp.vault.ring_editing import RingEditor
from cdp.vault.roots.file import FILE, ONLY_FILE
from tests.unit.vault.sealed_rings import put

NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
OWN_COPY = "restore the key ring from your own copy of it"
NEWEST = "restore the newest copy of the key ring"
IN_PLACE = "put the key ring of this workspace in its place"


def said(kind: type[KithError], do: Callable[[], object]) -> str:
    """The sentence of the error that ``do`` ends in."""
    with pytest.raises(kind) as caught:
        do()
    assert type(caught.value) is kind
    return str(caught.value)


def fails(reason: OSError) -> Callable[..., None]:
    """A call of the system that ends in ``reason``."""

    def call(*_: object, **__: object) -> None:
        raise reason

    return call


# ── the file ────────────────────────────────────────────────────────────────


def test_a_file_that_is_not_a_private_plain_file_says_so(tmp_path):
    """Ring invariant 2: the path, what was found there, and the command that puts it right."""
    open_to_others, link, through = (tmp_path / name for name in ("open", "link", "open/ring"))
    open_to_others.touch(mode=0o600)
    open_to_others.chmod(0o2640)
    link.symlink_to(open_to_others)
    for path, rule in (
        (tmp_path, "it is not a plain file"),
        (open_to_others, "its mode is 2640, others than its owner may use it"),
        (link, "it is a symbolic link"),
        (through, "it cannot be opened (Not a directory)"),
    ):
        step = f"put the plain file there, owned by you, and run `chmod 600 {path}`"
        assert said(KeyRingExposed, lambda path=path: ring_file.read(path)) == (
            f"key ring {path}: {rule}; next: {step}"
        )


def test_a_file_that_is_missing_or_far_too_large_says_so(tmp_path):
    """A ring that is not there is to be restored; a file of more than 1 MiB is the wrong one."""
    path = tmp_path / "ring"
    assert said(KeyRingMissing, lambda: ring_file.read(path)) == (
        f"key ring {path}: there is no key ring here; "
        "next: restore it from your own copy: without it nothing in this database opens"
    )
    path.touch(mode=0o600)
    os.truncate(path, 2**20 + 1)
    assert said(KeyRingGarbled, lambda: ring_file.read(path)) == (
        f"key ring {path}: it is too large for a key ring; next: name the right file"
    )


def test_a_ring_that_cannot_be_created_says_why(tmp_path, monkeypatch):
    """The system's reason is given, or where it gives none the kind of its error."""
    path, none = tmp_path / "ring", tmp_path / "none" / "ring"
    step = "next: make its folder writable, on a local disk with room, and try again"
    assert said(KeyRingUnwritable, lambda: ring_file.write_new(none, b"{}")) == (
        f"key ring {none}: it cannot be created (No such file or directory); {step}"
    )
    monkeypatch.setattr(os, "link", fails(PermissionError("no words of the system")))
    assert said(KeyRingUnwritable, lambda: ring_file.write_new(path, b"{}")) == (
        f"key ring {path}: it cannot be created (PermissionError); {step}"
    )
    path.touch()
    monkeypatch.undo()
    assert said(KeyRingExists, lambda: ring_file.write_new(path, b"{}")) == (
        f"key ring {path}: there is a key ring already, and one is never overwritten; "
        "next: open it, or move it to a safe place first"
    )


def test_a_ring_that_cannot_be_replaced_says_why(tmp_path, monkeypatch):
    """Somebody who was faster, a disk without room, and an error without words are told apart."""
    path = tmp_path / "ring"
    ring_file.write_new(path, b"one")
    read = ring_file.digest(b"one")
    assert said(KeyRingChanged, lambda: ring_file.replace(path, bytes(32), b"two")) == (
        f"key ring {path}: somebody else changed the key ring in the meantime; "
        "next: run the same command again"
    )
    step = (
        "next: make its folder writable, with room, and see with cdp key status which ring is there"
    )
    for reason, words in (
        (OSError(28, "No space left on device"), "No space left on device"),
        (BlockingIOError("no words of the system"), "BlockingIOError"),
    ):
        monkeypatch.setattr(os, "replace", fails(reason))
        assert said(KeyRingUnwritable, lambda: ring_file.replace(path, read, b"two")) == (
            f"key ring {path}: it cannot be written ({words}); {step}"
        )
    path.chmod(0o644)
    assert said(KeyRingExposed, lambda: ring_file.replace(path, read, b"two")).startswith(
        f"key ring {path}: its mode is 0644"
    )
    assert path.read_bytes() == b"one"


# ── its contents ────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("content", "rule", "step"),
    [
        (b"{", "the file is not a whole JSON object", OWN_COPY),
        (b"{}", "the file is not a key ring", "name the right file"),
        (
            b'{"format": "kith-key-ring"}',
            "its format version is not one this release reads",
            "use the release that wrote it, or a newer one",
        ),
    ],
    ids=["cut", "other", "release"],
)
def test_a_file_that_is_no_ring_says_what_it_is_not(content, rule, step):
    """The ring is named, what it is not, and what to do."""
    done = said(KeyRingGarbled, lambda: ring_document.decode(content, Path("ring")))
    assert done == f"key ring ring: {rule}; next: {step}"


@pytest.mark.parametrize(
    ("place", "value", "rule"),
    [
        (("workspace",), "x", "its workspace or root cannot be read"),
        (("root", "current"), 9, "its workspace or root cannot be read"),
        (("keys", "contact", "current"), 9, "a key in it does not unwrap"),
        (("checks", "7"), "c2hvcnQ=", "a key in it does not unwrap"),
        (("keys", "contact", "latest"), 9, "it was altered: its seal does not fit"),
        (("mac",), None, "it was altered: its seal does not fit"),
    ],
    ids=str,
)
def test_a_changed_ring_says_which_part_is_wrong(document, place, value, rule):
    """Root, key or seal: the first part that cannot be what was written is named."""
    body = json.loads(document.encode(os.urandom))
    put(body, place, value)
    content = json.dumps(body).encode()
    done = said(KeyRingGarbled, lambda: ring_document.decode(content, Path("ring")))
    assert done == f"key ring ring: {rule}; next: {OWN_COPY}"


# ── edits ───────────────────────────────────────────────────────────────────


def rotate(document: RingDocument, purpose: str, **in_use: int) -> RingDocument:
    """Give ``purpose`` another version; ``in_use`` as v1=3."""
    used = {int(name[1:]): rows for name, rows in in_use.items()}
    return ring_edits.add_version(document, purpose, used, os.urandom, NOW)


def test_a_key_that_is_not_rotated_says_why(document):
    """The key that names records keeps one version; after 65535 a number is not given again."""
    assert said(NotRotatable, lambda: rotate(document, "records")) == (
        "key records: record keys and profile ids derive from this key and must stay what they "
        "are; next: rotate the others; this one opens nothing"
    )
    held = replace(document.keys["contact"], latest=MAX_VERSION)
    full = replace(
        document,
        keys={**document.keys, "contact": held},
        roots=replace(document.roots, latest=MAX_VERSION),
    )
    rest = (
        "its number of versions is used up: there are 65535; "
        "next: begin a new workspace and sync every source"
    )
    assert said(NotRotatable, lambda: rotate(full, "contact")) == f"key contact: {rest}"
    for edit in (
        lambda: ring_edits.rotate_root(full, os.urandom, NOW),
        lambda: ring_edits.extract(full, ["contact"], os.urandom, NOW),
    ):
        assert said(NotRotatable, edit) == f"key root: {rest}"
    last = replace(document.roots, latest=MAX_VERSION - 1)
    assert ring_edits.rotate_root(replace(document, roots=last), os.urandom, NOW).roots.current == (
        MAX_VERSION
    )


def test_a_version_that_is_not_retired_says_why(document):
    """In force, needed by rows, or not there: each with its key, version and command."""
    newer = rotate(document, "contact")

    def retire(version: int, in_use: dict[int, int]) -> Callable[[], object]:
        return lambda: ring_edits.retire(newer, "contact", version, in_use)

    assert said(VersionInUse, retire(2, {})) == (
        "key contact, version 2: this version is in force; "
        "next: put a newer one in force first: cdp key rotate contact"
    )
    assert said(VersionInUse, retire(1, {1: 1})) == (
        "key contact, version 1: 1 rows of the database still need this version; "
        "next: see what waits with cdp key status, and retire it when nothing does"
    )
    assert said(KeyMissing, retire(7, {})) == (
        "key contact, version 7: the key ring has no such version; "
        "next: see which there are with: cdp key status"
    )


def test_an_old_copy_of_a_ring_says_what_it_lacks(document):
    """Edit invariant 3: every version that the database uses and the ring lacks, in order."""
    assert said(KeyMissing, lambda: rotate(document, "contact", v3=1, v1=9, v2=1)) == (
        "key contact, versions 2, 3: the database uses versions of this key that the key ring "
        f"lacks: it is an old copy; next: {NEWEST}"
    )
    assert said(KeyMissing, lambda: ring_edits.retire(document, "contact", 1, {2: 1})).startswith(
        "key contact, versions 2: the database uses versions of this key"
    )
    keys = {name: held for name, held in document.keys.items() if name != "masked"}
    less = replace(document, keys=keys)
    used = {"masked": {2: 1, 1: 1}}
    assert said(KeyMissing, lambda: ring_edits.add_purposes(less, used, os.urandom, NOW)) == (
        "key masked, versions 1, 2: the database uses versions of this key that the key ring "
        f"lacks: it is an old copy; next: {NEWEST}"
    )


def test_a_purpose_that_is_not_there_says_what_to_do(document):
    """A newer purpose is added by upgrade, a misspelt one is named, a lost one is restored."""
    rule = "the key ring has no key for this purpose"
    keys = {n: held for n, held in document.keys.items() if n not in ("masked", "rejects", "audit")}
    less = replace(document, keys=keys)
    assert said(KeyMissing, lambda: rotate(less, "masked")) == (
        f"key masked: {rule}; next: run: cdp key upgrade"
    )
    assert said(KeyMissing, lambda: rotate(less, "contacts")) == (
        f"key contacts: {rule}; next: name one of {', '.join(PURPOSES)}"
    )
    for purpose, step in (("masked", "run: cdp key upgrade"), ("rejects", NEWEST)):
        done = said(KeyMissing, lambda one=purpose: KeyRing.of(less).secret(one))
        assert done == f"key {purpose}: {rule}; next: {step}"
    del keys["api-keys"]
    less = replace(document, keys=keys)
    assert said(KeyRingGarbled, lambda: ring_edits.add_purposes(less, {}, os.urandom, NOW)) == (
        f"it lacks keys that every release had: api-keys, rejects; next: {OWN_COPY}"
    )


def test_a_ring_that_is_not_edited_says_why(tmp_path, workspace, other_workspace):
    """An extract is changed where the whole ring is; a foreign ring is not changed at all."""
    path, part = tmp_path / "ring", tmp_path / "part"
    KeyRing.create(path, workspace)
    RingEditor(path, workspace, ONLY_FILE).extract(["contact"], part, FILE, NOW)
    editor = RingEditor(part, workspace, ONLY_FILE)
    assert said(NotRotatable, editor.begin) == (
        f"key ring {part}: this key ring is an extract for one kind of process; "
        "next: change keys where the whole ring is, then run: cdp key extract"
    )
    foreign = RingEditor(path, other_workspace, ONLY_FILE)
    target = tmp_path / "target"
    for do in (foreign.begin, lambda: foreign.extract(["contact"], target, FILE, NOW)):
        assert said(OtherWorkspace, do) == (
            f"workspace {other_workspace}: the key ring belongs to workspace {workspace}; "
            f"next: {IN_PLACE}"
        )
    assert not target.exists()
    assert repr(foreign) == f"<editor of {path}>"
    assert repr(RingEditor(path, workspace, ONLY_FILE).begin()) == f"<edit of {path}>"


# ── an opened ring ──────────────────────────────────────────────────────────


def test_an_opened_ring_says_what_it_does_not_give(ring):
    """A version that is not there, and a purpose that this process must not hold."""
    assert said(KeyMissing, lambda: ring.secret("contact", 7)) == (
        "key contact, version 7: the key ring does not hold this key version; "
        "next: restore the newest copy of the key ring, which has every version in use"
    )
    less = ring.without("contact", "masked")
    assert said(KeyWithheld, lambda: less.secret("masked")) == (
        "key masked: this process works without that key; "
        "next: ask a process that is meant to hold it"
    )
    with pytest.raises(ValueError, match=r"^no such key purpose: contacts, mask$"):
        ring.without("mask", "contacts", "contact")


def test_a_ring_of_something_else_says_so(document, ring, workspace, other_workspace):
    """Ring invariant 5: another workspace is named with both ids; another ring is put back."""
    assert said(OtherWorkspace, lambda: ring.require(other_workspace)) == (
        f"workspace {other_workspace}: the key ring belongs to workspace {workspace}; "
        f"next: {IN_PLACE}"
    )
    assert said(OtherWorkspace, lambda: ring.confirm(workspace, bytes(34))) == (
        f"workspace {workspace}: the database was written with another key ring; "
        "next: put the key ring that was made with this database in its place"
    )
    keys = {name: held for name, held in document.keys.items() if name != "records"}
    nameless = KeyRing.of(replace(document, keys=keys))
    assert said(KeyMissing, lambda: nameless.key_check(workspace)) == (
        "key records, version 1: the key ring lacks the key that its check derives from; "
        f"next: {NEWEST}"
    )


def test_a_ring_is_told_by_its_purposes_and_does_not_travel(second):
    """Ring invariant 6: the text of a ring, and what pickling it answers."""
    keys = {name: second.keys[name] for name in ("contact", "records")}
    ring = KeyRing.of(replace(second, keys=keys))
    assert repr(ring) == f"<key ring of {UUID(int=second.workspace.int)}: contact 2, records 2>"
    for door in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError) as caught:
            door(ring)
        assert str(caught.value) == "a key ring cannot be pickled; open it in each process"
    material = base64.b64encode(second.keys["contact"].secrets[2].expose()).decode()
    assert material not in repr(ring)
