"""What is signed of a policy: `cdp/policy/signed.py`."""

import datetime as dt
from dataclasses import fields, replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.policy.signed import Activation, Proposal, Signature, Trust, Version, mark, sign
from cdp.vault.secret import Secret
from cdp.vault.signing import Signer

AT = dt.datetime(2026, 5, 4, 9, 30, tzinfo=dt.UTC)
HERE, ELSEWHERE = UUID(int=1), UUID(int=2)
SIGNER = Signer(Secret(bytes(range(32))), 3)
TRUST = Trust(HERE, {3: SIGNER.public_bytes()})
STATEMENTS = [
    Version("a" * 64, 1, "content", "operator", AT),
    Proposal(7, "a" * 64, 2, "operator", "why", AT),
    Activation(3, "a" * 64, "operator", "officer", "why", AT, b"before"),
]
OTHER = {str: "x", int: 9, dt.datetime: AT + dt.timedelta(microseconds=1), bytes: b"x"}
EACH = [(one, field.name) for one in STATEMENTS for field in fields(one)]


@pytest.mark.parametrize("one", STATEMENTS, ids=lambda one: type(one).__name__)
def test_what_was_signed_holds(one):
    """Signed 1: the statement, the workspace and the key together."""
    signature = sign(HERE, one, SIGNER)
    assert TRUST.holds(one, signature)
    assert signature.key_version == 3
    assert not Trust(ELSEWHERE, TRUST.keys).holds(one, signature)


@pytest.mark.parametrize(("one", "name"), EACH, ids=[f"{type(o).__name__} {n}" for o, n in EACH])
def test_every_part_is_signed(one, name):
    """Signed 1: another value of any part, and the signature does not hold."""
    changed = replace(one, **{name: OTHER[type(getattr(one, name))]})
    assert changed != one
    assert not TRUST.holds(changed, sign(HERE, one, SIGNER))


@pytest.mark.parametrize("place", range(64))
def test_every_byte_of_a_signature_counts(place):
    """Signed 3: a flipped bit anywhere in it, and it is none."""
    signature = sign(HERE, STATEMENTS[0], SIGNER)
    flipped = bytearray(signature.value)
    flipped[place] ^= 1
    assert not TRUST.holds(STATEMENTS[0], Signature(3, bytes(flipped)))


@pytest.mark.parametrize("keys", [{}, {2: SIGNER.public_bytes()}, {3: bytes(32)}, {3: b""}])
def test_a_key_that_nobody_vouches_for_signs_nothing(keys):
    """Signed 3: not under another version of the key, nor under another key."""
    assert not Trust(HERE, keys).holds(STATEMENTS[0], sign(HERE, STATEMENTS[0], SIGNER))


@pytest.mark.parametrize("value", [b"", b"short", bytes(64), bytes(65)])
def test_what_is_no_signature_is_refused(value):
    """Signed 3: an empty or misshapen signature is a no, not an error."""
    assert not TRUST.holds(STATEMENTS[0], Signature(3, value))


@given(st.lists(st.text(max_size=4), min_size=3, max_size=3))
def test_text_does_not_move_between_parts(parts):
    """Signed 1: each part stands after its length, so no other statement has the same bytes."""
    one = Activation(3, parts[0], parts[1], parts[2], "why", AT, b"")
    joined = "".join(parts)
    for cut in range(len(joined) + 1):
        other = Activation(3, joined[:cut], joined[cut:], "", "why", AT, b"")
        if other != one:
            assert mark(HERE, other) != mark(HERE, one)


def test_kinds_are_not_taken_for_one_another():
    """Signed 1: a signature of a proposal approves nothing."""
    signatures = [sign(HERE, one, SIGNER) for one in STATEMENTS]
    for one, own in zip(STATEMENTS, signatures, strict=True):
        assert [TRUST.holds(one, found) for found in signatures].count(True) == 1
        assert TRUST.holds(one, own)


def test_a_link_names_the_one_before():
    """Signed 2: the same activation after another one has another mark, in each workspace too."""
    one = STATEMENTS[2]
    marks = {
        mark(HERE, one),
        mark(HERE, replace(one, previous=b"other")),
        mark(ELSEWHERE, one),
        mark(HERE, replace(one, serial=4)),
    }
    assert len(marks) == 4
    assert {len(found) for found in marks} == {32}


def test_a_time_is_signed_wherever_it_was_written():
    """Signed 1: the instant counts, not the time zone that a database gives it back in."""
    local = STATEMENTS[0].at.astimezone(dt.timezone(dt.timedelta(hours=8)))
    assert TRUST.holds(replace(STATEMENTS[0], at=local), sign(HERE, STATEMENTS[0], SIGNER))
