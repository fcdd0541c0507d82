"""A ring read again: after a failure that passes, and never an older one."""

import datetime as dt
import os

import pytest

from cdp.vault import ring_document, ring_edits, ring_file, ring_source
from cdp.vault.errors import (
    KeyMissing,
    KeyRingExposed,
    KeyRingGarbled,
    RootNeeds,
    RootOfAnotherPlace,
    RootRefused,
    RootUnreachable,
)
from cdp.vault.keyed import ApiKeyDigests
from cdp.vault.keyring import KeyRing
from cdp.vault.ring_editing import RingEditor
from cdp.vault.ring_source import LONGEST_WAIT, LOOK_AGAIN
from cdp.vault.roots.file import FILE, ONLY_FILE

NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)


class Clock:
    """The monotonic clock of a source, set by hand."""

    def __init__(self) -> None:
        self.at = 1000.0

    def monotonic(self) -> float:
        """Return the time."""
        return self.at


class Moody:
    """The `file` provider, which now and then says no."""

    name = FILE.name
    needs = FILE.needs

    def __init__(self) -> None:
        self.failure = None
        self.asked = 0

    def wrap(self, root, place):
        """Wrap as `file` does."""
        self.asked += 1
        return FILE.wrap(root, place)

    def unwrap(self, held, place):
        """Give the root, or raise what is set."""
        self.asked += 1
        if self.failure:
            raise self.failure
        return FILE.unwrap(held, place)


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(ring_source, "time", clock)
    return clock


@pytest.fixture
def path(tmp_path, workspace):
    path = tmp_path / "keyring.json"
    KeyRing.create(path, workspace)
    return path


@pytest.fixture
def editor(path, workspace):
    return RingEditor(path, workspace, ONLY_FILE)


def add(purpose):
    return lambda document: ring_edits.add_version(document, purpose, {}, os.urandom, NOW)


@pytest.mark.parametrize("mode", [0o644, 0o640])
def test_a_mode_that_was_put_right_is_seen(path, editor, workspace, clock, mode) -> None:
    """A ring that others could read for a moment is taken as soon as it is its owner's again."""
    ring = KeyRing.open(path, workspace)
    editor.edit(add("contact"))
    path.chmod(mode)
    with pytest.raises(KeyMissing):
        ring.secret("contact", 2)
    path.chmod(0o600)
    assert ring.secret("contact", 2).expose()  # without waiting: the file is another one
    assert ring.current("contact") == 2


@pytest.mark.parametrize(
    "failure",
    [
        RootRefused("KMS refuses (AccessDeniedException)", "let it"),
        RootRefused("KMS refuses (ExpiredTokenException)", "renew it"),
        RootNeeds("boto3 has no account", "give one"),
        RootUnreachable("KMS does not answer", "wait"),
    ],
    ids=["denied", "expired", "needs", "unreachable"],
)
def test_a_provider_that_answers_again_is_asked_again(
    path, editor, workspace, clock, failure
) -> None:
    """What the provider refuses for a while is read afterwards, though the file stays as it is."""
    moody = Moody()
    ring = KeyRing.open(path, workspace, ONLY_FILE.adding(moody))
    editor.edit(add("contact"))
    moody.failure = failure
    clock.at += LOOK_AGAIN
    assert ring.current("contact") == 1
    moody.failure = None
    clock.at += LOOK_AGAIN
    assert ring.current("contact") == 2


def test_who_waits_asks_less_and_less_often(path, editor, workspace, clock) -> None:
    """In an hour of refusals the provider is asked some hundred times, whatever is looked for."""
    moody = Moody()
    ring = KeyRing.open(path, workspace, ONLY_FILE.adding(moody))
    editor.edit(add("contact"))
    moody.failure, moody.asked = RootRefused("no", "ask"), 0
    begun, waits, last = clock.at, [], clock.at
    while clock.at < begun + 3600:
        clock.at += 0.5
        before = moody.asked
        with pytest.raises(KeyMissing):
            ring.secret("contact", 2)
        if moody.asked > before:
            waits.append(clock.at - last)
            last = clock.at
    assert waits[1:6] == [1, 2, 4, 8, 16]
    assert set(waits[6:]) == {LONGEST_WAIT}
    # Another file is another matter: it is read at once.
    moody.failure = None
    editor.edit(add("contact"))
    assert ring.secret("contact", 3).expose()


def test_another_file_that_cannot_be_read_is_waited_for_anew(
    path, editor, workspace, clock
) -> None:
    """The long wait is of one state of the file; the next state is tried after a second again."""
    moody = Moody()
    ring = KeyRing.open(path, workspace, ONLY_FILE.adding(moody))
    moody.failure = RootRefused("no", "ask")
    editor.edit(add("contact"))
    for _ in range(8):
        clock.at += LONGEST_WAIT
        assert ring.current("contact") == 1
    editor.edit(add("contact"))
    clock.at += LOOK_AGAIN
    assert ring.current("contact") == 1  # another file, read in vain
    moody.failure = None
    clock.at += LOOK_AGAIN
    assert ring.current("contact") == 3


def test_a_garbled_file_is_read_once_and_its_successor_taken(
    path, editor, workspace, clock, monkeypatch
) -> None:
    """A file that is no ring is not read over and over; the ring that follows it is taken."""
    ring = KeyRing.open(path, workspace)
    editor.edit(add("contact"))
    good = path.read_bytes()
    reads = []
    read = ring_file.read
    monkeypatch.setattr(ring_file, "read", lambda path: reads.append(path) or read(path))
    path.write_bytes(b"{")
    for _ in range(5):
        clock.at += 60
        assert ring.current("contact") == 1
    assert len(reads) == 1
    path.write_bytes(good)
    clock.at += LOOK_AGAIN
    assert ring.current("contact") == 2


def test_an_unreadable_disk_takes_no_key(path, editor, workspace, clock, monkeypatch) -> None:
    """Ring invariant 8: a disk that gives an error is no end of a process that has keys."""
    ring = KeyRing.open(path, workspace)
    editor.edit(add("contact"))

    def broken(_):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(ring_file, "read", broken)
        clock.at += LOOK_AGAIN
        assert ring.current("contact") == 1
    clock.at += LOOK_AGAIN
    assert ring.current("contact") == 2


def test_a_ring_with_less_learns_what_came_while_it_was_made(path, editor, workspace) -> None:
    """What was put there since the keys were read is news to a ring that was made of them."""
    ring = KeyRing.open(path, workspace)
    editor.edit(add("contact"))
    less = ring.without("sensitive")
    assert less.secret("contact", 2).expose()


# ── an older copy ───────────────────────────────────────────────────────────


def test_an_older_copy_takes_no_key(path, editor, workspace, clock) -> None:
    """Ring invariant 8: a copy from before a rotation is not taken, and a newer ring then is."""
    copy = path.read_bytes()
    editor.edit(add("contact"))
    ring = KeyRing.open(path, workspace)
    expected = ring.secret("contact", 2).expose()
    newest = path.read_bytes()
    path.write_bytes(copy)
    clock.at += LOOK_AGAIN
    assert ring.current("contact") == 2
    assert ring.secret("contact", 2).expose() == expected
    path.write_bytes(newest)
    editor.edit(add("contact"))
    clock.at += LOOK_AGAIN
    assert ring.current("contact") == 3


def test_one_older_key_is_enough(path, editor, workspace, clock) -> None:
    """Ring invariant 8: a copy that is newer in one key and older in another is not taken."""
    copy = path.read_bytes()
    editor.edit(add("contact"))
    ring = KeyRing.open(path, workspace)
    path.write_bytes(copy)
    editor.edit(add("rejects"))
    clock.at += LOOK_AGAIN
    assert (ring.current("contact"), ring.current("rejects")) == (2, 1)


def test_a_part_of_the_ring_takes_no_key(path, editor, workspace, clock, tmp_path) -> None:
    """Ring invariant 8: an extract in the place of the whole ring leaves the process its keys."""
    ring = KeyRing.open(path, workspace)
    editor.edit(add("contact"))
    editor.extract(["contact", "masked"], tmp_path / "part", FILE, NOW)
    (tmp_path / "part").replace(path)
    clock.at += LOOK_AGAIN
    assert ring.current("contact") == 1
    assert ring.holds("sensitive")


def test_a_retired_version_is_no_sign_of_age(path, editor, workspace, clock) -> None:
    """A ring that lost a version to `retire` is a newer one, and is taken."""
    editor.edit(add("contact"))
    ring = KeyRing.open(path, workspace)
    editor.edit(lambda document: ring_edits.retire(document, "contact", 1, {}))
    clock.at += LOOK_AGAIN
    assert ring.current("contact") == 2
    assert set(ring.versions("contact")) == {2}


# ── who waits for the provider ──────────────────────────────────────────────


def test_after_the_beginning_of_an_edit_nobody_is_asked(path, workspace) -> None:
    """Editing invariant 5: the rest of an edit goes on without the provider of the root."""
    moody = Moody()
    editor = RingEditor(path, workspace, ONLY_FILE.adding(moody))
    for first in (None, lambda document: ring_edits.rotate_root(document, os.urandom, NOW)):
        edit = editor.begin(first)
        assert moody.asked
        moody.asked = 0
        edit.finish(add("contact"))
        assert moody.asked == 0
    there = ring_document.decode(ring_file.read(path), path)
    assert (there.roots.current, there.keys["contact"].current) == (2, 3)


class Faulty(Moody):
    """A provider that gives back what its ``gives`` says."""

    def __init__(self, gives) -> None:
        super().__init__()
        self.gives = gives

    def unwrap(self, held, place):
        """Give something else."""
        return self.gives(held, place)


@pytest.mark.parametrize(
    "gives",
    [
        lambda _held, place: FILE.unwrap({"secret": "AAAA"}, place),
        lambda held, _place: held["nothing"],
        lambda _held, _place: int("none"),
    ],
    ids=["another", "lacks", "garbled"],
)
def test_a_provider_that_gives_no_root_back_guards_none(path, editor, gives) -> None:
    """Editing invariant 1: whatever comes back in the root's place, nothing is written."""
    before = ring_file.read(path)
    with pytest.raises(RootOfAnotherPlace):
        editor.begin(to=Faulty(gives))
    assert ring_file.read(path) == before


def test_errors_that_stop_a_new_process_are_the_same(path, workspace) -> None:
    """Who has no keys yet is told what is wrong with the file."""
    path.chmod(0o644)
    with pytest.raises(KeyRingExposed):
        KeyRing.open(path, workspace)
    path.chmod(0o600)
    path.write_bytes(b"{")
    with pytest.raises(KeyRingGarbled):
        KeyRing.open(path, workspace)


# ── API keys ────────────────────────────────────────────────────────────────


def test_api_keys_are_those_of_the_version_in_force(path, editor, workspace, clock) -> None:
    """A process that goes on forgets the API keys of before the rotation, as a new one does."""
    digests = ApiKeyDigests(KeyRing.open(path, workspace))
    before = digests.api_key_digest("secret")
    editor.edit(add("api-keys"))
    clock.at += LOOK_AGAIN
    after = digests.api_key_digest("secret")
    assert after != before
    assert after == ApiKeyDigests(KeyRing.open(path, workspace)).api_key_digest("secret")
    assert digests.api_key_digest("secret") == after
