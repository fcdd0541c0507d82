"""What an answer says of itself: `connectors/sources/http_words.py`."""

import json

import pytest

from connectors.http_auth_declaration import Words
from connectors.sources.http_words import SHORT, says

BUSY = Words(("error", "code"), ("-1", "45009", "busy", "true"))


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (-1, True), ("-1", True), (45009, True), ("busy", True), (True, True),
        (0, False), (False, False), (None, False), ("Busy", False), ("", False),
        ([-1], False), ({"busy": 1}, False), (-1.5, False),
    ],
    ids=range(13),
)  # fmt: skip
def test_a_plain_word_at_its_place_counts(code: object, *, expected: bool) -> None:
    """A number and its text are one word; anything that holds others is none."""
    assert says(json.dumps({"error": {"code": code}}).encode(), BUSY) is expected


@pytest.mark.parametrize(
    "body", [b"", b"<p>busy</p>", b"[]", b"-1", b"\xff", b"[" * 9_000], ids=range(6)
)
def test_what_is_no_such_answer_says_nothing(body: bytes) -> None:
    """Nor does anything say something where nothing was declared."""
    assert not says(body, BUSY)
    assert not says(b'{"error": {"code": -1}}', None)


def test_a_long_answer_is_not_looked_at() -> None:
    """It holds rows, and reading it twice would cost as much again."""
    said = b'{"error": {"code": -1}, "x": "%s"}'
    room = SHORT - len(said) + 2
    assert says(said % (b"y" * room), BUSY)
    assert not says(said % (b"y" * (room + 1)), BUSY)
