"""What the file of credentials says when it refuses, and which keys it asks for."""

import datetime as dt
import os
from uuid import UUID

import pytest

from cdp.errors import Stop
from cdp.vault import ring_edits
from cdp.vault.credentials import MAX_SECRET, PURPOSE, SealedCredentials
from cdp.vault.errors import KeyRingChanged
from cdp.vault.keyring import KeyRing
from cdp.vault.ring_document import RingDocument
from cdp.vault.secret import Secret

OWNER = UUID(int=7)
NOW = dt.datetime(2026, 5, 4, 9, tzinfo=dt.UTC)


@pytest.fixture
def document():
    """A ring in memory."""
    return RingDocument.fresh(OWNER, os.urandom)


@pytest.fixture
def path(tmp_path):
    """Where the file is."""
    return tmp_path / "credentials.json"


@pytest.fixture
def kept(path, document):
    """A store that holds one secret."""
    found = SealedCredentials(path, KeyRing.of(document))
    found.put("till", Secret(b"first"))
    return found


def said(do):
    """Everything that a refusal says."""
    with pytest.raises((Stop, KeyRingChanged)) as caught:
        do()
    return caught.value.rule, caught.value.next_step, dict(caught.value.where)


def test_a_rotated_key_still_opens_what_it_sealed(path, document, kept):
    """The version stands before the secret; what is stored now is under the newest."""
    newer = KeyRing.of(ring_edits.add_version(document, PURPOSE, {}, os.urandom, NOW))
    after = SealedCredentials(path, newer)
    assert newer.current(PURPOSE) == 2
    assert after.get("till").expose() == b"first"
    assert after.versions() == {1: 1}
    after.put("shop", Secret(b"second"))
    assert after.get("shop").expose() == b"second"
    step = "store it again: cdp credential set"
    assert said(lambda: kept.get("shop")) == ("credential_refused", step, {"credential": "shop"})


def test_secrets_come_under_the_newest_key(path, document, kept):
    """Invariant 4: all that open, once; the older version is then needed by none of them."""
    kept.put("shop", Secret(b"second"))
    ring = ring_edits.add_version(document, PURPOSE, {}, os.urandom, NOW)
    after = SealedCredentials(path, KeyRing.of(ring))
    assert after.versions() == {1: 2}
    assert after.renew() == 2
    before = path.read_bytes()
    assert after.renew() == 0
    assert path.read_bytes() == before
    assert after.versions() == {2: 2}
    assert [after.get(name).expose() for name in after.names()] == [b"second", b"first"]


def test_a_secret_that_does_not_open_is_left_as_it_is(path, document, kept):
    """It was refused before, and the others are renewed all the same."""
    kept.put("shop", Secret(b"second"))
    path.write_text(path.read_text().replace('"shop"', '"moved"'))
    ring = ring_edits.add_version(document, PURPOSE, {}, os.urandom, NOW)
    after = SealedCredentials(path, KeyRing.of(ring))
    assert after.renew() == 1
    assert after.versions() == {1: 1, 2: 1}
    assert said(lambda: after.get("moved"))[0] == "credential_refused"
    assert after.get("till").expose() == b"first"


def test_storing_a_secret_renews_the_others(path, document, kept):
    """Invariant 4: so that a rotation that was killed is made good."""
    ring = ring_edits.add_version(document, PURPOSE, {}, os.urandom, NOW)
    SealedCredentials(path, KeyRing.of(ring)).put("shop", Secret(b"second"))
    assert SealedCredentials(path, KeyRing.of(ring)).versions() == {2: 2}


def test_the_largest_secret_is_stored(kept):
    """One byte more is refused, by name."""
    kept.put("key", Secret(b"x" * MAX_SECRET))
    assert len(kept.get("key").expose()) == MAX_SECRET
    assert said(lambda: kept.put("key", Secret(b"x" * (MAX_SECRET + 1)))) == (
        "credential_too_large", "use at most 65536 bytes", {"credential": "key"}
    )  # fmt: skip


def test_a_file_that_others_may_read_names_itself(kept, path):
    """With the mode it should have."""
    path.chmod(0o644)
    step = "make it a file of mode 0600"
    assert said(kept.names) == ("credentials_unusable", step, {"path": path})


@pytest.mark.parametrize("sealed", ["AQAB!bm5u", "AQABbm5u\\n", "AQAB bm5u"])
def test_what_is_not_base_64_is_garbled(kept, path, sealed):
    """Letters that base 64 does not have are not passed over."""
    text = path.read_text()
    old = text.split('"till": "')[1].split('"')[0]
    path.write_text(text.replace(old, sealed))
    step = "put a copy of it back, or remove it and store the credentials again"
    assert said(kept.names) == ("credentials_garbled", step, {"path": path})


def test_the_file_of_another_workspace_names_itself(kept, path):
    """Its secrets are not looked at."""
    path.write_text(path.read_text().replace(str(OWNER), str(UUID(int=8))))
    step = "put the file of this workspace, written by this release, in its place"
    assert said(kept.names) == ("credentials_of_another_workspace", step, {"path": path})


def test_a_folder_that_is_not_there_is_named(tmp_path, document):
    """Nothing is stored, and the next step says what to do."""
    path = tmp_path / "none" / "credentials.json"
    lost = SealedCredentials(path, KeyRing.of(document))
    step = "make its folder writable, with room, and try again"
    assert said(lambda: lost.put("a", Secret(b"x"))) == (
        "credentials_unwritable", step, {"path": path}
    )  # fmt: skip


def test_a_second_writer_is_told_to_run_again(kept, monkeypatch):
    """What the first one wrote stays."""
    before = kept._content()
    kept.put("b", Secret(b"2"))
    monkeypatch.setattr(SealedCredentials, "_content", lambda _: before)
    rule, step, _ = said(lambda: kept.put("c", Secret(b"3")))
    assert (rule, step) == (
        "somebody else changed the credentials", "run the same command again"
    )  # fmt: skip


def test_it_shows_as_what_it_is(kept):
    """And names no secret."""
    assert repr(kept) == "<sealed credentials>"
