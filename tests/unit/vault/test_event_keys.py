"""Names of messages and write keys: invariants of `cdp/vault/event_keys.py`."""

import datetime as dt
import hashlib
import hmac
import pickle
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.vault.event_keys import LONGEST, EventKeys, WriteKeys, signed
from cdp.vault.keyring import KeyRing
from cdp.vault.ring_document import RingDocument
from connectors.record import Sensitive

NOW = dt.datetime(2026, 5, 4, 9, tzinfo=dt.UTC)
SECRET = "identity-key-13912346789"


def signature(key: str, source: str, user: str, now: dt.datetime, seconds: float) -> str:
    """What a back end computes, with Python's own library."""
    expiry = int(now.timestamp() + seconds)
    told = f"v1:{source}:{expiry}:{user}".encode()
    return f"v1.{expiry}.{hmac.new(key.encode(), told, hashlib.sha256).hexdigest()}"


@pytest.fixture
def keys(tmp_path):
    return EventKeys(KeyRing.create(tmp_path / "ring", uuid4()))


def test_equal_messages_have_equal_names(keys, tmp_path):
    """Invariant 1: of one source; another source, ring or content gives another."""
    names = {keys.named("web", "m1"), keys.named("bag", "m1"), keys.named("web", "m2"),
             keys.unnamed("web", b"m1"), EventKeys(KeyRing.create(tmp_path / "b", uuid4())).named(
                 "web", "m1")}  # fmt: skip
    assert len(names) == 5
    assert keys.named("web", "m1") in names
    assert {len(one) for one in names} == {16}


def test_names_of_messages_stay():
    """Invariant 1: what a release has stored, every later one knows again."""
    drawn = iter(range(1, 255))
    ring = KeyRing.of(RingDocument.fresh(UUID(int=7), lambda count: bytes([next(drawn)]) * count))
    pinned = EventKeys(ring)
    assert pinned.named("web", "m1").hex() == "e19c793347dc07addf7062f65efcfba1"
    assert pinned.unnamed("web", b"m1").hex() == "c0e91330a34bddcad99ffcc8a37df2ac"
    assert pinned.unnamed("bag", b"m1") != pinned.unnamed("web", b"m1")


def test_a_write_key_is_found():
    """Invariant 2: by what it is, and only whole."""
    found = WriteKeys(
        {"web": [Sensitive("key-1"), Sensitive("key-2")], "bag": [Sensitive("key-3")]}
    )
    asked = {key: found.source(key) for key in ("key-1", "key-2", "key-3", "key-", "", "\ud800")}
    assert list(asked.values()) == ["web", "web", "bag", None, None, None]


def test_a_key_of_two_sources_lets_nobody_in():
    """Which of the two would be chance."""
    found = WriteKeys({"web": [Sensitive("same")], "bag": [Sensitive("same"), Sensitive("own")]})
    assert (found.source("same"), found.source("own")) == (None, "bag")


@given(st.text(min_size=1), st.integers(1, 86_400))
def test_a_signed_id_holds(user, seconds):
    """Invariant 3: for its time."""
    text = signature(SECRET, "web", user.encode(errors="ignore").decode() or "u", NOW, seconds)
    assert signed(
        Sensitive(SECRET), "web", Sensitive(user.encode(errors="ignore").decode() or "u"), text, NOW
    )


def test_a_signed_id_holds_to_its_last_moment():
    """Invariant 3: a day at the most, to the second."""
    text = signature(SECRET, "web", "u1", NOW, LONGEST.total_seconds())
    assert signed(Sensitive(SECRET), "web", Sensitive("u1"), text, NOW)
    early = NOW - dt.timedelta(seconds=1)
    assert not signed(Sensitive(SECRET), "web", Sensitive("u1"), text, early)


def test_an_id_that_is_no_text_is_judged_too():
    """Half a surrogate pair comes through JSON: it is another user, and no crash."""
    text = signature(SECRET, "web", "u1", NOW, 600)
    assert not signed(Sensitive(SECRET), "web", Sensitive("\ud800"), text, NOW)


@pytest.mark.parametrize(
    "changed",
    [
        signature(SECRET, "bag", "u1", NOW, 600),
        signature(SECRET, "web", "u2", NOW, 600),
        signature("another", "web", "u1", NOW, 600),
        signature(SECRET, "web", "u1", NOW, 0),
        signature(SECRET, "web", "u1", NOW, -9),
        signature(SECRET, "web", "u1", NOW, LONGEST.total_seconds() + 60),
        signature(SECRET, "web", "u1", NOW, 600).upper(),
        signature(SECRET, "web", "u1", NOW, 600) + "0",
        signature(SECRET, "web", "u1", NOW, 600).replace("v1.1", "v1.2"),
        "", "v1..", "v1.1." + "0" * 64, "v1.١." + "0" * 64,
    ],
)  # fmt: skip
def test_anything_else_does_not(changed):
    """Invariant 3: another source, user, key or time, or another form."""
    assert not signed(Sensitive(SECRET), "web", Sensitive("u1"), changed, NOW)


def test_nothing_shows(keys):
    """Invariant 4: in no repr and no pickle."""
    several = WriteKeys({"web": [Sensitive(SECRET)]})
    assert SECRET not in repr(several) + repr(keys)
    assert (repr(several), repr(keys)) == ("<1 write keys>", "<event keys>")
    for one, what in ((several, "write keys"), (keys, "event keys")):
        with pytest.raises(TypeError) as caught:
            pickle.dumps(one)
        assert str(caught.value) == f"{what} cannot be pickled; make them in each process"
