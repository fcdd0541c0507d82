"""How a ring file is written and read, and what an edit and an extract ask of the providers."""

import datetime as dt
import os
import stat
from pathlib import Path

import pytest

from cdp.vault import ring_document, ring_edits, ring_file
from cdp.vault.errors import KeyRingGarbled, RootOfAnotherPlace, RootProviderUnknown
from cdp.vault.keyring import KeyRing
from cdp.vault.primitives import NONCE_BYTES
from cdp.vault.ring_editing import RingEditor
from cdp.vault.ring_source import RingSource
from cdp.vault.roots.environment import EnvironmentRoot
from cdp.vault.roots.file import FILE, ONLY_FILE
from cdp.vault.roots.provider import RootProviders
from cdp.vault.secret import Secret
from cdp.vault.signing import verify
from tests.unit.vault.sealed_rings import text_of

NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
OUTSIDE = EnvironmentRoot(Secret(text_of(bytes(range(32))).encode()))
OTHERS = 0o077


@pytest.fixture
def path(tmp_path):
    return tmp_path / "keyring.json"


# ── the file ────────────────────────────────────────────────────────────────


def test_a_disk_that_takes_a_few_bytes_at_a_time_loses_none(path, monkeypatch):
    """File invariant 3: whatever a single write takes, the whole content is there."""
    real, content = os.write, bytes(range(256)) * 3
    monkeypatch.setattr(os, "write", lambda handle, rest: real(handle, rest[:7]))
    ring_file.write_new(path, content)
    assert ring_file.read(path) == content
    ring_file.replace(path, ring_file.digest(content), content[::-1])
    assert ring_file.read(path) == content[::-1]


def test_a_ring_is_at_no_moment_open_to_others(path, monkeypatch):
    """A new ring is private from its first byte on, not only once its mode is set."""
    modes, real = [], os.fchmod

    def watched(handle, mode):
        modes.append(stat.S_IMODE(os.fstat(handle).st_mode))
        real(handle, mode)

    monkeypatch.setattr(os, "fchmod", watched)
    ring_file.write_new(path, b"{}")
    assert len(modes) == 1
    assert modes[0] & OTHERS == 0


def test_the_largest_ring_is_read_whole(path):
    """1 MiB is not too large; a byte more is."""
    path.touch(mode=0o600)
    os.truncate(path, 2**20)
    assert ring_file.read(path) == bytes(2**20)


def test_what_a_killed_writer_left_is_removed_and_nothing_else(path):
    """File invariant 4: leavings of this ring go; those of another ring in the folder stay."""
    own = [path.parent / f".{path.name}.{name}.new" for name in ("0123456789abcdef", "b")]
    foreign = [
        path.parent / name
        for name in (".other.json.0123.new", f".{path.name}.bak", f"{path.name}.0123.new")
    ]
    for one in (*own, *foreign):
        one.touch()
    ring_file.write_new(path, b"{}")
    assert sorted(path.parent.iterdir()) == sorted([*foreign, path])


@pytest.mark.parametrize("other", ["geteuid", "getegid", None])
def test_a_replaced_ring_stays_its_owners(path, monkeypatch, other):
    """Root may rotate the keys of a service: the file goes on belonging to the service."""
    ring_file.write_new(path, b"one")
    owner, given = (os.geteuid(), os.getegid()), []
    if other:
        mine = getattr(os, other)()
        monkeypatch.setattr(os, other, lambda: mine + 1)
    real = os.chown

    def watched(beside, *to):
        given.append((beside.read_bytes(), to))
        real(beside, *to)

    monkeypatch.setattr(os, "chown", watched)
    ring_file.replace(path, ring_file.digest(b"one"), b"two")
    assert given == ([(b"two", owner)] if other else [])
    assert (path.stat().st_uid, path.stat().st_gid) == owner
    assert ring_file.read(path) == b"two"


def test_the_stamp_is_of_the_name_and_not_of_what_it_leads_to(path):
    """A changed mode and a link in the ring's place are seen; a missing file has no stamp."""
    assert ring_file.stamp(path) is None
    ring_file.write_new(path, b"{}")
    before = ring_file.stamp(path)
    assert ring_file.stamp(path) == before
    path.chmod(0o640)
    assert ring_file.stamp(path) != before
    link = path.parent / "link"
    link.symlink_to(path)
    assert ring_file.stamp(link) != ring_file.stamp(path)
    link.unlink()
    link.symlink_to(path.parent / "nothing")
    assert ring_file.stamp(link) is not None


# ── edits ───────────────────────────────────────────────────────────────────


class Drawn:
    """Randomness that remembers how much was drawn."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, size: int) -> bytes:
        """Draw."""
        self.sizes.append(size)
        return os.urandom(size)


@pytest.fixture
def guarded(path, workspace):
    """A ring whose root another provider than `file` guards."""
    return KeyRing.create(path, workspace, provider=OUTSIDE, now=NOW)


def test_a_ring_is_created_under_its_provider_with_what_was_given(path, workspace):
    """Keys and nonces are of the given randomness; the time is the given one; it looks again."""
    draw = Drawn()
    ring = KeyRing.create(path, workspace, draw, OUTSIDE, NOW)
    assert ring.facts == (2, "environment", 1, NOW)
    assert (draw.sizes.count(32), draw.sizes.count(NONCE_BYTES)) == (14, 13)
    providers = ONLY_FILE.adding(OUTSIDE)
    RingEditor(path, workspace, providers).edit(
        lambda d: ring_edits.add_version(d, "contact", {}, os.urandom, NOW)
    )
    assert ring.secret("contact", 2).expose() == (
        KeyRing.open(path, workspace, providers).secret("contact").expose()
    )


def test_an_edit_goes_on_with_the_provider_that_the_ring_has(path, guarded, workspace):
    """Without another provider the root stays where it is; nonces are of the given randomness."""
    draw, providers = Drawn(), ONLY_FILE.adding(OUTSIDE)
    editor = RingEditor(path, workspace, providers, draw)
    written = editor.edit(lambda d: ring_edits.rotate_root(d, os.urandom, NOW))
    assert (written.provider, written.roots.current, list(written.roots.secrets)) == (
        "environment",
        2,
        [2],
    )
    assert draw.sizes == [NONCE_BYTES] * len(written.keys)
    opened = KeyRing.open(path, workspace, providers)
    assert opened.secret("contact").expose() == guarded.secret("contact").expose()
    moved = editor.edit(lambda document: document, FILE)
    assert (moved.provider, KeyRing.open(path, workspace).facts.provider) == ("file", "file")


def test_an_edit_may_be_finished_without_a_change(path, guarded, workspace):
    """What was begun without a change and finished without one is the same ring, sealed anew."""
    before = path.read_bytes()
    written = RingEditor(path, workspace, ONLY_FILE.adding(OUTSIDE)).begin().finish()
    assert path.read_bytes() != before
    assert written.keys["contact"].secrets[1].expose() == guarded.secret("contact").expose()
    assert written.roots.made == {1: NOW}


def test_an_extract_is_guarded_by_its_own_provider(path, guarded, workspace):
    """The whole ring is read with its providers, the extract written under the one it is given."""
    target, draw = path.parent / "part", Drawn()
    editor = RingEditor(path, workspace, RootProviders([OUTSIDE]), draw)
    editor.extract(["contact"], target, FILE, NOW.replace(day=2))
    part = KeyRing.open(target, workspace)
    assert part.facts == (2, "file", 2, NOW.replace(day=2))
    assert part.versions("contact") == {1: NOW}
    assert sorted(draw.sizes) == [NONCE_BYTES, 32]
    part.confirm(workspace, guarded.key_check(workspace))
    back = RingEditor(path, workspace, RootProviders([OUTSIDE]))
    with pytest.raises(RootProviderUnknown, match=rf"^provider file, key ring {target}: .*"):
        RingEditor(target, workspace, RootProviders([OUTSIDE])).begin()
    back.extract(["contact"], path.parent / "two", OUTSIDE, NOW)
    with pytest.raises(RootProviderUnknown, match=r"it has file;"):
        KeyRing.open(path.parent / "two", workspace)


class Forgetful:
    """A provider that takes a root and gives none back."""

    name, needs = "forgetful", "nothing"

    def wrap(self, *_):
        """Keep nothing."""
        return {}

    def unwrap(self, *_):
        """Give nothing."""
        raise RootOfAnotherPlace("it is gone", "ask another provider")


def test_an_extract_that_cannot_be_opened_is_not_written(path, workspace):
    """Editing invariant 1 holds of extracts too; the error names the extract, not the ring."""
    KeyRing.create(path, workspace)
    target = path.parent / "part"
    editor = RingEditor(path, workspace, ONLY_FILE)
    with pytest.raises(RootOfAnotherPlace) as caught:
        editor.extract(["contact"], target, Forgetful(), NOW)
    assert str(caught.value) == f"key ring {target}: it is gone; next: ask another provider"
    with pytest.raises(RootOfAnotherPlace, match="key ring " + str(target)):
        KeyRing.create(target, workspace, provider=Forgetful())
    assert not target.exists()


def test_a_root_drawn_while_the_edit_is_finished_is_opened_again_too(path, workspace):
    """Editing invariant 1: whatever was asked beforehand, a new root is got back or not written."""
    KeyRing.create(path, workspace)
    before, guard = path.read_bytes(), Forgetful()
    guard.wrap, guard.unwrap = FILE.wrap, FILE.unwrap
    edit = RingEditor(path, workspace, ONLY_FILE).begin(to=guard)
    del guard.unwrap  # from now on it forgets
    with pytest.raises(RootOfAnotherPlace) as caught:
        edit.finish(lambda d: ring_edits.rotate_root(d, os.urandom, NOW))
    assert str(caught.value) == f"key ring {path}: it is gone; next: ask another provider"
    assert path.read_bytes() == before


def test_errors_of_reading_name_the_ring_that_was_read(path, workspace):
    """An edit, an extract and an opening name the ring's file and no other."""
    path.write_bytes(b"{")
    path.chmod(0o600)
    editor = RingEditor(path, workspace, ONLY_FILE)
    for do in (
        editor.begin,
        lambda: editor.extract(["contact"], path.parent / "part", FILE, NOW),
        lambda: KeyRing.open(path),
        RingSource(path, ONLY_FILE).read,
    ):
        with pytest.raises(KeyRingGarbled) as caught:
            do()
        assert dict(caught.value.where) == {"key_ring": path}


# ── an opened ring ──────────────────────────────────────────────────────────


def test_every_version_of_a_signing_key_can_be_verified_with(second):
    """What an older key signed is verified with that key's own public half."""
    ring = KeyRing.of(second)
    public = ring.public_keys()
    assert list(public) == [1, 2]
    for version in (1, 2):
        signer = ring.signer(version=version)
        signature = signer.sign(b"checkpoint")
        assert signer.version == version
        assert verify(public[version], signature, b"checkpoint")
        assert not verify(public[3 - version], signature, b"checkpoint")
    newest = ring.signer()
    assert (newest.version, newest.public_bytes()) == (2, public[2])
    rejects = ring.public_keys("rejects")
    assert set(rejects.values()).isdisjoint(public.values())
    assert rejects[2] == ring.signer("rejects").public_bytes()


def test_versions_are_told_in_order_with_their_times(document):
    """However they stand in the file, versions are listed from the oldest."""
    held = document.keys["contact"]
    turned = {3: held.secrets[1], 1: held.secrets[1], 2: held.secrets[1]}
    keys = {**document.keys, "contact": type(held)(2, turned, {2: NOW}, 3)}
    ring = KeyRing.of(ring_document.RingDocument(document.workspace, document.roots, keys))
    assert list(ring.versions("contact").items()) == [(1, None), (2, NOW), (3, None)]


def test_a_ring_with_less_shares_what_is_known_of_the_whole(second, workspace):
    """A ring without some purposes has the same workspace, facts and checks as the whole one."""
    ring = KeyRing.of(second)
    less = ring.without("records").without("contact")
    assert (less.workspace, less.facts) == (workspace, ring.facts)
    assert less.key_check(workspace) == ring.key_check(workspace)
    assert [less.holds(one) for one in ("records", "contact", "masked")] == [False, False, True]
    assert less.current("masked") == 2


def test_a_ring_looks_in_the_file_it_was_opened_from_with_its_providers(path, guarded, workspace):
    """Ring invariants 4 and 7: what is read later is read with the same providers, and no more."""
    providers = RootProviders([OUTSIDE])
    ring = KeyRing.open(Path(path), workspace, providers, ["contact"])
    less = ring.without("masked")
    RingEditor(path, workspace, providers).edit(
        lambda d: ring_edits.add_version(d, "rejects", {}, os.urandom, NOW)
    )
    assert ring.secret("rejects", 2).expose() == less.secret("rejects", 2).expose()
    assert not ring.holds("contact")
    assert ring.holds("masked")
    assert not less.holds("contact")
    assert not less.holds("masked")


def test_a_source_of_the_same_file_knows_what_was_read_and_leaves_more_wrapped(path, workspace):
    """Ring invariant 4: what was withheld stays so; an unchanged file is not read again."""
    KeyRing.create(path, workspace)
    source = RingSource(path, ONLY_FILE, frozenset({"contact"}))
    less = source.another(frozenset({"masked"}))
    assert less.newer(at_once=True) is None
    assert {"contact", "masked"}.isdisjoint(less.read().keys)
    assert "masked" in source.read().keys
    assert set(source.another().read().keys) == set(source.read().keys)
    RingEditor(path, workspace, ONLY_FILE).edit(
        lambda d: ring_edits.add_version(d, "rejects", {}, os.urandom, NOW)
    )
    for one in (source, less, less.another()):
        found = one.newer(at_once=True)
        assert found is not None
        assert found.keys["rejects"].current == 2
        assert one.newer(at_once=True) is None
