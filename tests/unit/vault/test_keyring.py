"""The key ring: created once, refused when anything about it is wrong."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cdp.vault import ring_document, ring_file
from cdp.vault.errors import (
    KeyMissing,
    KeyRingExists,
    KeyRingExposed,
    KeyRingGarbled,
    KeyRingMissing,
    KeyRingUnwritable,
    KeyWithheld,
    OtherWorkspace,
)
from cdp.vault.keyring import KeyRing
from cdp.vault.ring_document import PURPOSES, RingDocument

ROOT = Path(__file__).resolve().parents[3]

CREATE = """
import sys, uuid, pathlib
from cdp.vault.keyring import KeyRing
from cdp.vault.errors import KeyRingExists
sys.stdout.write("ready\\n"); sys.stdout.flush(); sys.stdin.readline()
try:
    print(KeyRing.create(pathlib.Path(sys.argv[1]), uuid.UUID(sys.argv[2])).workspace)
except KeyRingExists:
    print("exists")
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "key-ring.json"


@pytest.fixture
def written(path, document):
    ring_file.write_new(path, document.encode(os.urandom))
    return path


def rewrite(path, change):
    body = json.loads(path.read_bytes())
    change(body)
    path.write_bytes(json.dumps(body).encode())


# ── creation ────────────────────────────────────────────────────────────────


def test_a_ring_comes_back_as_it_was_made(path, workspace):
    """What was created opens again with the same key for every purpose."""
    made = KeyRing.create(path, workspace)
    opened = KeyRing.open(path, workspace)
    for purpose in PURPOSES:
        assert opened.secret(purpose).expose() == made.secret(purpose).expose()
        assert opened.current(purpose) == 1
    assert len({opened.secret(purpose).expose() for purpose in PURPOSES}) == len(PURPOSES)
    assert opened.key_check(workspace) == made.key_check(workspace)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_a_ring_is_for_its_owner_only(path, workspace, umask):
    """Whatever the umask, a new ring has mode 0600, and nothing is left beside it."""
    before = os.umask(umask)
    try:
        KeyRing.create(path, workspace)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o7777 == 0o600
    assert path.stat().st_nlink == 1
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_ring_is_created_once(path, workspace, other_workspace):
    """Ring invariant 1: a second creation is refused and leaves the ring as it is."""
    KeyRing.create(path, workspace)
    content = path.read_bytes()
    with pytest.raises(KeyRingExists, match="never overwritten"):
        KeyRing.create(path, other_workspace)
    assert path.read_bytes() == content
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_ring_is_not_created_through_a_dangling_link(path, workspace):
    """A symbolic link in the ring's place counts as taken, and is not followed."""
    path.symlink_to(path.parent / "elsewhere")
    with pytest.raises(KeyRingExists):
        KeyRing.create(path, workspace)
    assert not (path.parent / "elsewhere").exists()


def test_two_processes_create_one_ring(path):
    """Of several processes that create at once one wins, the others learn it, the ring is whole."""
    ids = [f"{n}{n}{n}{n}{n}{n}{n}{n}-0000-4000-8000-000000000000" for n in range(1, 5)]
    started = [
        subprocess.Popen(
            [sys.executable, "-c", CREATE, str(path), one],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for one in ids
    ]
    for process in started:
        assert process.stdout.readline() == "ready\n"
    for process in started:
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate(timeout=30)[0].strip() for process in started]
    winners = [one for one in said if one != "exists"]
    assert len(winners) == 1
    assert str(KeyRing.open(path).workspace) == winners[0]


def test_a_folder_that_is_missing_is_named(tmp_path, workspace):
    """A ring in a folder that does not exist stops with a next step."""
    with pytest.raises(KeyRingUnwritable, match=r"cannot be created.*next: make its folder"):
        KeyRing.create(tmp_path / "none" / "key-ring.json", workspace)


def test_a_full_disk_leaves_no_ring(path, workspace, monkeypatch):
    """When the disk is full, neither a ring nor a part of one is left behind."""

    def full(_handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(KeyRingUnwritable, match="No space left on device"):
        KeyRing.create(path, workspace)
    assert list(path.parent.iterdir()) == []


# ── opening ─────────────────────────────────────────────────────────────────


def test_a_missing_ring_is_named(path):
    """Without a ring the message names the path and how to go on."""
    with pytest.raises(KeyRingMissing, match=r"key-ring\.json.*next: restore it"):
        KeyRing.open(path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o644, 0o777])
def test_a_ring_that_others_can_use_is_refused(written, mode):
    """Ring invariant 2: any right for group or others is refused, and the mode is named."""
    written.chmod(mode)
    with pytest.raises(KeyRingExposed, match=f"{mode:04o}.*chmod 600"):
        KeyRing.open(written)


def test_a_stricter_mode_opens(written, workspace):
    """A ring that even its owner may only read opens."""
    written.chmod(0o400)
    assert KeyRing.open(written, workspace).workspace == workspace


def test_a_symbolic_link_is_refused(written, tmp_path):
    """Ring invariant 2: a link in the ring's place is refused, even to a good ring."""
    link = tmp_path / "link.json"
    link.symlink_to(written)
    with pytest.raises(KeyRingExposed, match="symbolic link"):
        KeyRing.open(link)


def test_what_is_not_a_file_is_refused(tmp_path):
    """A folder or a pipe in the ring's place is refused, and a pipe does not hold us up."""
    os.mkfifo(tmp_path / "pipe", 0o600)
    for place in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(KeyRingExposed, match="not a plain file"):
            KeyRing.open(place)


def test_a_path_through_a_file_is_refused(written):
    """A path that leads through a file is refused with what the system says."""
    with pytest.raises(KeyRingExposed, match=r"cannot be opened \(Not a directory\)"):
        KeyRing.open(written / "key-ring.json")


def test_a_file_far_too_large_is_refused(path):
    """A file that is far too large for a ring is not read into memory."""
    path.touch(mode=0o600)
    os.truncate(path, ring_file.MAX_BYTES + 1)
    with pytest.raises(KeyRingGarbled, match="too large"):
        KeyRing.open(path)


def test_a_ring_cut_short_is_refused(written):
    """Ring invariant 2: at whatever byte a ring is cut, it is refused."""
    content = written.read_bytes().rstrip()
    for end in range(0, len(content), 7):
        written.write_bytes(content[:end])
        with pytest.raises(KeyRingGarbled):
            KeyRing.open(written)


def test_a_changed_ring_is_refused(document):
    """Ring invariant 2: a change of any secret or wrapped key, or of what they are bound to."""
    body = json.loads(document.encode(os.urandom))

    def flipped(text):
        raw = bytearray(base64.b64decode(text))
        raw[len(raw) // 2] ^= 1
        return base64.b64encode(bytes(raw)).decode()

    changes = [
        lambda b: b["root"]["versions"]["1"]["held"].update(
            secret=flipped(b["root"]["versions"]["1"]["held"]["secret"])
        ),
        lambda b: b["root"].update(latest=2),
        lambda b: b["root"].update(latest="1"),
        lambda b: b["keys"]["contact"]["versions"]["1"].update(made="2026-01-01T00:00:00+00:00"),
        lambda b: b["keys"]["contact"]["versions"]["1"].update(made="yesterday"),
        lambda b: b["checks"].update({"1": base64.b64encode(bytes(34)).decode()}),
        lambda b: b["checks"].update({"1": "c2hvcnQ="}),
        lambda b: b["keys"].pop("contact"),
        lambda b: b.pop("mac"),
        lambda b: b.update(mac=flipped(b["mac"])),
        lambda b: b.update(more="than is sealed"),
        lambda b: b.update(workspace="22222222-2222-4222-8222-222222222222"),
        lambda b: b["keys"]["contact"]["versions"].update(
            {"2": b["keys"]["contact"]["versions"]["1"]}
        ),
        lambda b: b["keys"].update(contact=b["keys"]["sensitive"]),
        lambda b: b["keys"]["contact"].update(current=2),
        lambda b: b["root"].update(current=9),
        lambda b: b["root"]["versions"].update({"1": "c2hvcnQ="}),
        lambda b: b["root"]["versions"]["1"]["held"].update(secret="not base64!"),
        lambda b: b["root"]["versions"]["1"]["held"].update(secret="c2hvcnQ="),
        lambda b: b["keys"]["contact"]["versions"]["1"].pop("wrapped"),
        lambda b: b["keys"]["contact"]["versions"]["1"].update(wrapped=""),
        lambda b: b["keys"]["contact"]["versions"]["1"].update(root=3),
        lambda b: b["keys"]["contact"].update(versions={"01": {}}),
        lambda b: b["keys"]["contact"].update(versions={"65536": {}}),
        lambda b: b["keys"].update(contact=[]),
        lambda b: b.update(workspace=7),
        lambda b: b.update(workspace="x"),
        lambda b: b.pop("keys"),
        lambda b: b.update(root={"provider": "file"}),
    ]
    for purpose in PURPOSES:
        wrong = flipped(body["keys"][purpose]["versions"]["1"]["wrapped"])
        changes.append(
            lambda b, p=purpose, w=wrong: b["keys"][p]["versions"]["1"].update(wrapped=w)
        )
    for change in changes:
        copy = json.loads(json.dumps(body))
        change(copy)
        assert copy != body
        with pytest.raises(KeyRingGarbled, match="next: restore"):
            ring_document.decode(json.dumps(copy).encode(), Path("ring"))


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "not a whole JSON object"),
        (b"\xff\xfe\x00", "not a whole JSON object"),
        (b"[]", "not a whole JSON object"),
        (b"[" * 100_000, "not a whole JSON object"),
        (b'{"format": "kith-key-ring", "format": "kith-key-ring"}', "not a whole JSON object"),
        (b'{"format": "other"}', "not a key ring"),
        (b'{"format": "kith-key-ring", "version": 3, "root": {"provider": "file"}}', "release"),
        (b'{"format": "kith-key-ring", "version": 1, "root": {"provider": "kms"}}', "release"),
        (b'{"format": "kith-key-ring", "version": 1}', "release"),
    ],
    ids=["empty", "binary", "list", "deep", "twice", "other", "newer", "kms", "no-root"],
)
def test_what_is_no_ring_is_refused(written, content, rule):
    """A file that is no ring, or of another release, is refused with what is wrong."""
    written.write_bytes(content)
    with pytest.raises(KeyRingGarbled, match=rule):
        KeyRing.open(written)


def test_the_ring_of_another_workspace_is_refused(written, other_workspace):
    """Ring invariant 5: a ring opened for another workspace is refused, with both ids."""
    with pytest.raises(OtherWorkspace, match=r"22222222.*belongs to workspace 11111111"):
        KeyRing.open(written, other_workspace)


# ── keys ────────────────────────────────────────────────────────────────────


def test_a_missing_version_is_named(ring):
    """A version that the ring does not hold stops with its purpose and version."""
    with pytest.raises(
        KeyMissing, match=r"key contact, version 7: .*next: restore the newest copy"
    ):
        ring.secret("contact", 7)


def test_a_missing_purpose_is_named(document, ring):
    """A purpose that the ring does not hold stops; nothing is made up in its place."""
    keys = {name: held for name, held in document.keys.items() if name != "published"}
    older = KeyRing.of(RingDocument(document.workspace, document.roots, keys))
    with pytest.raises(KeyMissing, match="key published"):
        older.secret("published")
    assert ring.holds("published")
    assert not older.holds("published")


def test_older_versions_stay_readable(second):
    """A ring with two versions writes with the newer one and still gives the older one."""
    ring = KeyRing.of(second)
    assert ring.current("contact") == 2
    assert ring.secret("contact").expose() == second.keys["contact"].secrets[2].expose()
    assert ring.secret("contact", 1).expose() == second.keys["contact"].secrets[1].expose()


def test_two_versions_survive_the_file(second, workspace, path):
    """Every version of every key comes back from the file."""
    ring_file.write_new(path, second.encode(os.urandom))
    opened = KeyRing.open(path, workspace)
    for purpose in PURPOSES:
        for version in (1, 2):
            expected = second.keys[purpose].secrets[version].expose()
            assert opened.secret(purpose, version).expose() == expected


def test_a_withheld_key_cannot_be_got(ring):
    """Ring invariant 4: a ring without a purpose gives back the rest and not that."""
    less = ring.without("sensitive")
    assert not less.holds("sensitive")
    assert ring.holds("sensitive")
    with pytest.raises(KeyWithheld, match="key sensitive: this process works without"):
        less.secret("sensitive")
    with pytest.raises(KeyWithheld):
        less.without("contact").secret("sensitive", 1)
    assert less.secret("contact").expose() == ring.secret("contact").expose()
    material = ring.secret("sensitive").expose()
    assert all(
        material != secret.expose()
        for held in less._keys.values()
        for secret in held.secrets.values()
    )


def test_withholding_nothing_is_a_mistake(ring):
    """To withhold a purpose that does not exist is an error, for it would withhold nothing."""
    with pytest.raises(ValueError, match="sensitiv"):
        ring.without("sensitiv")


def test_the_root_is_gone_once_the_keys_are_unwrapped(document):
    """Ring invariant 3: the opened ring holds no root secret."""
    root = document.roots.secrets[1].expose()
    ring = KeyRing.of(document)
    held = [s.expose() for versions in ring._keys.values() for s in versions.secrets.values()]
    held += list(ring._checks.values())
    assert all(root not in material for material in held)


def test_a_ring_shows_purposes_and_versions(second):
    """Ring invariant 6: a ring turned to text tells its workspace, purposes and versions."""
    shown = repr(KeyRing.of(second))
    assert shown.startswith("<key ring of 11111111-1111-4111-8111-111111111111: contact 2, ")
    for held in second.keys.values():
        for secret in held.secrets.values():
            assert secret.expose().hex() not in shown
            assert base64.b64encode(secret.expose()).decode() not in shown


def test_the_key_check_knows_its_ring(ring, workspace, other_workspace):
    """Ring invariant 5: the database's key check accepts its own ring and no other."""
    stored = ring.key_check(workspace)
    ring.confirm(workspace, stored)
    stranger = KeyRing.of(RingDocument.fresh(workspace, os.urandom))
    with pytest.raises(OtherWorkspace, match="another key ring"):
        stranger.confirm(workspace, stored)
    with pytest.raises(OtherWorkspace, match="belongs to workspace"):
        ring.confirm(other_workspace, stored)
    with pytest.raises(OtherWorkspace):
        ring.key_check(other_workspace)
    for wrong in (b"", stored[:-1], stored + b"\0", bytes([stored[0] ^ 1]) + stored[1:]):
        with pytest.raises(OtherWorkspace):
            ring.confirm(workspace, wrong)
