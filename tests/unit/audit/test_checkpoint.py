"""The signed note that an officer keeps."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdp.audit.checkpoint import Checkpoint, signed_text
from cdp.audit.errors import CheckpointGarbled


def test_all_of_a_checkpoint_is_under_its_signature(log):
    """1: Another workspace, size, root or time is not what was signed."""
    made = log.checkpoints[0]
    assert made.is_signed_by(log.keys)
    for change in (
        {"workspace": "other"},
        {"size": made.size + 1},
        {"root": bytes(32)},
        {"at": made.at + timedelta(microseconds=1)},
        {"signature": bytes(64)},
        {"signature": b""},
    ):
        assert not replace(made, **change).is_signed_by(log.keys), change


def test_a_checkpoint_comes_back_from_its_text(log):
    """2: The text is a signed note and gives back the same checkpoint."""
    made = log.checkpoints[0]
    text = made.to_text()
    assert text.startswith("kith-audit-v1\nw\n4\n")
    assert "\n\n— kith-audit 1 " in text
    assert Checkpoint.from_text(text) == made
    assert Checkpoint.from_text(text).is_signed_by(log.keys)


@pytest.mark.parametrize(
    ("part", "spoilt"),
    [
        ("Z\n\n", "Z\n\n\n"),
        ("\n", "\r\n"),
        ("\n4\n", "\n04\n"),
        ("\n4\n", "\n-4\n"),
        ("\n4\n", "\n٤\n"),
        ("Z\n", "+00:00\n"),
        ("Z\n", "\n"),
        ("kith-audit-v1", "kith-audit-v2"),
        ("—", "-"),
        ("\nw\n", "\nw w\n"),
        ("=\n", "\n"),
        ("=\n", "=!\n"),
        ("=\n", "=\n\n"),
    ],
)
def test_a_spoilt_text_is_refused(log, part, spoilt):
    """2: There is one way to write a checkpoint, and any other is refused."""
    text = log.checkpoints[0].to_text()
    assert part in text
    with pytest.raises(CheckpointGarbled):
        Checkpoint.from_text(text.replace(part, spoilt))


def test_a_refused_text_says_what_to_do_next():
    """2: The officer is told where to get one that is whole."""
    with pytest.raises(CheckpointGarbled) as caught:
        Checkpoint.from_text("")
    assert "not_a_checkpoint" in str(caught.value)
    assert "take the file as it was exported, unchanged, or export a new one" in str(caught.value)


@pytest.mark.parametrize("noise", ["!", "*", " "])
def test_a_root_with_foreign_letters_is_refused(log, noise):
    """2: Base64 that a reader would have to clean is another way to write it."""
    text = log.checkpoints[0].to_text()
    lines = text.split("\n")
    for place, line in enumerate(lines):
        if len(line) > 40:
            lines[place] = line[:-20] + noise * 4 + line[-20:]
            with pytest.raises(CheckpointGarbled):
                Checkpoint.from_text("\n".join(lines))
            lines[place] = line


@settings(deadline=None)
@given(st.text(max_size=200))
def test_no_text_breaks_the_reader(text):
    """2: Whatever is read in, the answer is a checkpoint or a refusal."""
    with pytest.raises(CheckpointGarbled):
        Checkpoint.from_text(text)


def test_a_key_that_nobody_vouches_for_signs_nothing(log):
    """3: Without the public key of its version a checkpoint is not signed."""
    made = log.checkpoints[0]
    assert not made.is_signed_by({})
    assert not made.is_signed_by({2: log.signer.public_bytes()})
    assert not made.is_signed_by({1: b"short"})


def test_a_signed_text_has_no_room_for_another_line():
    """1: A workspace that holds a line break, or a time without a zone, is not signed."""
    now = datetime(2026, 1, 31, tzinfo=UTC)
    with pytest.raises(ValueError, match="workspace"):
        signed_text("w\n4", 4, bytes(32), now)
    with pytest.raises(ValueError, match="zone"):
        signed_text("w", 4, bytes(32), now.replace(tzinfo=None))
    beijing = now.astimezone(timezone(timedelta(hours=8)))
    assert signed_text("w", 4, bytes(32), beijing) == signed_text("w", 4, bytes(32), now)
