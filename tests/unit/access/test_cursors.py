"""Where a page ended says nothing and is good for one question: `cdp/access/cursors.py`."""

import base64
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.access.cursors import LONGEST, Cursors
from cdp.vault.keyring import KeyRing

PLACE = [1, "1280.5", "", "p4t0k9v2m8x7c1q5zr3jd"]


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> KeyRing:
    """A ring."""
    return KeyRing.create(tmp_path_factory.mktemp("ring") / "keyring.json", uuid4())


def test_a_cursor_opens_for_its_question_alone(ring: KeyRing) -> None:
    """Invariant 2: another question, another key, and no question at all open nothing."""
    cursors = Cursors(ring)
    text = cursors.made(b"who asks what", tuple(PLACE))
    assert cursors.opened(b"who asks what", text) == tuple(PLACE)
    assert Cursors(ring).opened(b"who asks what", text) == tuple(PLACE)
    for other in (b"", b"who asks what else", b"who asks what\0"):
        assert cursors.opened(other, text) is None


def test_a_cursor_of_another_ring_opens_nothing(ring: KeyRing, tmp_path: Path) -> None:
    """Invariant 1: nobody makes one without the key."""
    other = Cursors(KeyRing.create(tmp_path / "keyring.json", uuid4()))
    assert Cursors(ring).opened(b"q", other.made(b"q", tuple(PLACE))) is None


def test_a_cursor_says_nothing(ring: KeyRing) -> None:
    """Invariant 1: no value and no id can be read, and one place looks different each time."""
    cursors = Cursors(ring)
    first, second = (cursors.made(b"q", ("amount 1280.5", "p4t0k")) for _ in range(2))
    assert first != second
    content = base64.urlsafe_b64decode(first + "==")
    assert not any(part in content for part in (b"amount", b"1280", b"p4t0k"))
    assert first.replace("-", "").replace("_", "").isalnum()


def test_the_longest_place_fits(ring: KeyRing) -> None:
    """What is taken of a text to order by is never too long for the cursor."""
    number = "-" + "9" * 120 + ".5"
    for text in ("漢" * 200, "\U0001f600" * 200, "\x01" * 200, '"' * 200):
        place = (1, number, text, "p" * 21)
        made = Cursors(ring).made(b"q", place)
        assert len(made) <= LONGEST
        assert Cursors(ring).opened(b"q", made) == place


@given(st.integers(0, 500), st.integers(1, 255))
def test_a_changed_cursor_opens_nothing(ring: KeyRing, place: int, flip: int) -> None:
    """Invariant 1: not one bit of it can be another."""
    cursors = Cursors(ring, bytes)
    sealed = bytearray(base64.urlsafe_b64decode(cursors.made(b"q", tuple(PLACE)) + "=="))
    sealed[place % len(sealed)] ^= flip
    text = base64.urlsafe_b64encode(bytes(sealed)).rstrip(b"=").decode()
    assert cursors.opened(b"q", text) is None


@given(st.text())
def test_what_is_no_cursor_opens_nothing(ring: KeyRing, text: str) -> None:
    """Whatever is sent, the answer is that it is none."""
    assert Cursors(ring).opened(b"q", text) is None
