"""A ring is changed whole or not at all, whatever fails and whenever it is killed."""

import base64
import datetime as dt
import os
import signal
import threading
import traceback

import pytest

from cdp.errors import KithError
from cdp.vault import ring_document, ring_edits, ring_file, ring_source
from cdp.vault.errors import (
    KeyMissing,
    KeyRingChanged,
    KeyRingMissing,
    KeyRingUnwritable,
    OtherWorkspace,
    RootOfAnotherPlace,
)
from cdp.vault.keyring import KeyRing
from cdp.vault.primitives import Stretching
from cdp.vault.ring_editing import RingEditor
from cdp.vault.roots.file import ONLY_FILE
from cdp.vault.roots.passphrase import PassphraseRoot
from cdp.vault.roots.provider import RootPlace
from cdp.vault.secret import Secret

NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
# Every call through which a ring is written; each is made to fail, and to be the last.
CALLS = ("open", "fchmod", "write", "fsync", "replace", "close", "unlink")


@pytest.fixture
def path(tmp_path, workspace):
    path = tmp_path / "keyring.json"
    KeyRing.create(path, workspace)
    return path


@pytest.fixture
def editor(path, workspace):
    return RingEditor(path, workspace, ONLY_FILE)


def rotate(document):
    return ring_edits.add_version(document, "contact", {}, os.urandom, NOW)


class Nth:
    """Let something happen at the n-th of the calls that write a ring."""

    def __init__(self, monkeypatch, happening, at):
        self.seen, self.at, self.happening, self.close = 0, at, happening, os.close
        for name in CALLS:
            monkeypatch.setattr(os, name, self.wrapped(getattr(os, name)))

    def wrapped(self, call):
        """Return ``call``, counted."""

        def instead(*arguments, **named):
            self.seen += 1
            due = self.seen == self.at
            if due and call is not self.close:
                self.happening()
            answer = call(*arguments, **named)
            if due:  # a close that fails has closed all the same
                self.happening()
            return answer

        return instead


def no_room():
    raise OSError(28, "No space left on device")


def swap(path, content):
    ring_file.replace(path, ring_file.digest(ring_file.read(path)), content)


def calls_of_a_replacement(path, document):
    read, content = ring_file.digest(ring_file.read(path)), document.encode(os.urandom)
    with pytest.MonkeyPatch.context() as patch:
        counting = Nth(patch, no_room, 0)
        ring_file.replace(path, read, content)
    return counting.seen


def test_a_ring_is_replaced_whole(path, editor, workspace):
    """An edit is in the file with mode 0600, and nothing is left beside it."""
    editor.edit(rotate)
    assert KeyRing.open(path, workspace).current("contact") == 2
    assert path.stat().st_mode & 0o7777 == 0o600
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_a_failure_at_any_call_leaves_a_readable_ring(path, document, workspace):
    """File invariant 3: whichever call fails, as on a full disk, a whole ring is there."""
    calls = calls_of_a_replacement(path, document)
    assert calls >= 8
    failed = 0
    for at in range(1, calls + 1):
        newer = rotate(ring_document.decode(ring_file.read(path), path))
        before, content = ring_file.read(path), newer.encode(os.urandom)
        with pytest.MonkeyPatch.context() as patch:
            Nth(patch, no_room, at)
            try:
                ring_file.replace(path, ring_file.digest(before), content)
            except KithError:
                failed += 1
        there = ring_file.read(path)
        assert there in (before, content)
        assert KeyRing.open(path, workspace).workspace == workspace
    assert failed == calls
    swap(path, document.encode(os.urandom))
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_a_kill_at_any_call_leaves_a_readable_ring(path, document, workspace):
    """File invariants 3 and 4: killed at any call, the ring is whole; the next edit tidies up."""
    for at in range(1, calls_of_a_replacement(path, document) + 1):
        before = ring_file.read(path)
        content = document.encode(os.urandom)
        child = os.fork()
        if child == 0:  # never returns
            with pytest.MonkeyPatch.context() as patch:
                Nth(patch, lambda: os.kill(os.getpid(), signal.SIGKILL), at)
                ring_file.replace(path, ring_file.digest(before), content)
            os._exit(7)
        _, how = os.waitpid(child, 0)
        assert os.WTERMSIG(how) == signal.SIGKILL
        assert ring_file.read(path) in (before, content)
        assert KeyRing.open(path, workspace).workspace == workspace
    swap(path, document.encode(os.urandom))
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_who_read_another_ring_does_not_write(path, document):
    """File invariant 2: a ring that changed since it was read is not replaced."""
    read = ring_file.read(path)
    swap(path, document.encode(os.urandom))
    there = ring_file.read(path)
    with pytest.raises(KeyRingChanged, match=r"somebody else.*next: run the same"):
        ring_file.replace(path, ring_file.digest(read), document.encode(os.urandom))
    assert ring_file.read(path) == there


def test_of_many_who_edit_at_once_none_is_lost(path, editor, workspace):
    """File invariant 2: edits at the same time follow each other, or are said to have failed."""
    refused = []

    def edit():
        try:
            editor.edit(rotate)
        except KeyRingChanged as error:
            refused.append(error)

    threads = [threading.Thread(target=edit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert KeyRing.open(path, workspace).current("contact") == 1 + 8 - len(refused)


def test_a_ring_that_is_gone_is_not_made_anew(path, document):
    """Where the ring vanished, an edit stops and writes none."""
    content = document.encode(os.urandom)
    path.unlink()
    with pytest.raises(KeyRingMissing):
        ring_file.replace(path, bytes(32), content)
    assert list(path.parent.iterdir()) == []


def test_the_ring_of_another_workspace_is_not_edited(path, other_workspace):
    """A ring that was put there by mistake stays as it is."""
    before = ring_file.read(path)
    with pytest.raises(OtherWorkspace):
        RingEditor(path, other_workspace, ONLY_FILE).edit(rotate)
    assert ring_file.read(path) == before


class Forgetful:
    """A provider that takes a root and does not give it back."""

    name = "forgetful"
    needs = "nothing"

    def wrap(self, *_):
        """Keep nothing."""
        return {}

    def unwrap(self, *_):
        """Give nothing."""
        raise RootOfAnotherPlace("it is gone", "ask another provider")


def test_a_root_that_cannot_be_got_back_takes_nobodys_place(path, editor):
    """Editing invariant 1: a provider that cannot open what it sealed leaves the ring as it was."""
    before = ring_file.read(path)
    with pytest.raises(RootOfAnotherPlace):
        editor.edit(lambda d: ring_edits.rotate_root(d, os.urandom, NOW), Forgetful())
    assert ring_file.read(path) == before


def test_a_moved_root_is_not_the_old_one(path, editor, workspace):
    """Whoever kept the old ring, and with it the old root, cannot open the new ring."""
    old = ring_document.decode(ring_file.read(path), path).roots.secrets[1]
    guard = PassphraseRoot(lambda: Secret(b"a long enough phrase"), Stretching(19 * 1024, 1, 1))
    editor.edit(lambda d: ring_edits.rotate_root(d, os.urandom, NOW), guard)
    moved = KeyRing.open(path, workspace, ONLY_FILE.adding(guard))
    assert moved.facts.provider == "passphrase"
    content = ring_file.read(path)
    new = ring_document.decode(content, path, ONLY_FILE.adding(guard)).roots.secrets[2]
    assert new.expose() != old.expose()
    assert base64.b64encode(new.expose()) not in content
    assert RootPlace(workspace, 2).bound("passphrase") != RootPlace(workspace, 1).bound(
        "passphrase"
    )


def test_a_failed_edit_shows_no_key(path, editor, monkeypatch):
    """Editing invariant 4: neither the error nor the frames it passed show a root or a key."""
    document = ring_document.decode(ring_file.read(path), path)
    material = [document.roots.secrets[1].expose(), document.keys["contact"].secrets[1].expose()]
    forms = [base64.b64encode(one).decode()[:40] for one in material]
    forms += [repr(one)[2:20] for one in material]
    monkeypatch.setattr(os, "replace", lambda *_: no_room())
    with pytest.raises(KeyRingUnwritable, match="No space left") as full:
        editor.edit(rotate)
    with pytest.raises(KeyRingMissing) as gone:
        editor.edit(lambda document: path.unlink() or rotate(document))
    for caught in (full, gone):
        for frame, _ in traceback.walk_tb(caught.value.__traceback__):
            if "/cdp/" in frame.f_code.co_filename:
                assert not [form for form in forms if form in repr(frame.f_locals)]


# ── a process that goes on ──────────────────────────────────────────────────


def test_a_process_learns_of_a_new_version(path, editor, workspace, monkeypatch):
    """Ring invariant 7: a missing version is looked for at once, the one in force soon."""
    ring = KeyRing.open(path, workspace)
    counter = ring.without("sensitive")
    editor.edit(rotate)
    assert ring.current("contact") == 1  # looked a moment ago
    assert ring.secret("contact", 2).expose()
    assert ring.current("contact") == 2
    monkeypatch.setattr(ring_source, "LOOK_AGAIN", 0.0)
    assert counter.current("contact") == 2
    editor.edit(lambda d: ring_edits.add_version(d, "sensitive", {}, os.urandom, NOW))
    assert ring.current("sensitive") == 2
    assert counter.current("contact") == 2
    assert not counter.holds("sensitive")


def test_a_process_goes_on_when_the_file_is_no_ring(path, workspace, other_workspace, monkeypatch):
    """Ring invariant 8: a missing, garbled or foreign file takes no key from who has them."""
    monkeypatch.setattr(ring_source, "LOOK_AGAIN", 0.0)
    ring = KeyRing.open(path, workspace)
    expected = ring.secret("contact").expose()
    path.unlink()
    assert ring.secret("contact", ring.current("contact")).expose() == expected
    path.write_bytes(b"{")
    path.chmod(0o600)
    assert ring.secret("contact", ring.current("contact")).expose() == expected
    for other in (other_workspace, workspace):
        path.unlink()
        KeyRing.create(path, other)
        assert ring.secret("contact", ring.current("contact")).expose() == expected
    with pytest.raises(KeyMissing, match="version 9"):
        ring.secret("contact", 9)
