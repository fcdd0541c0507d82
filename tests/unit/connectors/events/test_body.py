"""Bodies of SDKs: invariants of `connectors/events/body.py`."""

import gzip
import json
import tracemalloc

import pytest

from connectors.events import body
from connectors.events.body import BATCH_LIMIT, BodyRefused, parsed, problem_of, unpacked

CANARY = "13912346789"


def rule_of(content: bytes) -> str:
    with pytest.raises(BodyRefused) as caught:
        parsed(unpacked(content))
    assert CANARY not in repr(caught.value) + str(caught.value.__context__)
    return caught.value.rule


def test_a_packed_body_is_told_by_its_first_bytes():
    """Invariant 2: no header is asked."""
    assert unpacked(gzip.compress(b'{"a":1}', mtime=0)) == b'{"a":1}'
    assert unpacked(b'{"a":1}') == b'{"a":1}'


def test_a_bomb_is_not_unpacked():
    """Invariant 1: 64 MB of zeros in 64 kB are refused with little memory."""
    bomb = gzip.compress(bytes(64 * 1024 * 1024), mtime=0)
    tracemalloc.start()
    with pytest.raises(BodyRefused) as caught:
        unpacked(bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert caught.value.too_large
    assert peak < 4 * BATCH_LIMIT


def test_what_is_at_the_limit_is_taken():
    """One byte more is refused, packed or not."""
    exact = bytes(BATCH_LIMIT)
    assert unpacked(exact) == unpacked(gzip.compress(exact, mtime=0)) == exact
    for over in (exact + b"0", gzip.compress(exact + b"0", mtime=0)):
        with pytest.raises(BodyRefused):
            unpacked(over)


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (gzip.compress(CANARY.encode() * 99, mtime=0)[:-9], "not_gzip"),
        (b"\x1f\x8b" + CANARY.encode(), "not_gzip"),
        (f'{{"a": {CANARY}'.encode(), "not_json"),
        (f'"{CANARY}"\xff'.encode("latin-1"), "not_json"),
        (b"", "not_json"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "too_deep"),
    ],
)
def test_what_is_broken_is_refused_by_rule(content, rule):
    """Invariant 3: the error holds nothing of the body."""
    assert rule_of(content) == rule


def test_numbers_keep_their_digits():
    """A long number is no float, and a whole one has no point."""
    found = parsed(b'{"a": 13912345678901234567, "b": 12.50, "c": 1e3, "d": 2.0, "e": true}')
    assert found == {"a": "13912345678901234567", "b": "12.5", "c": "1000", "d": "2", "e": True}
    assert parsed(b"1e999999") == "1e999999"


def test_not_a_number_costs_only_its_own_value():
    """NaN, which some SDKs write, is read as something that no type takes."""
    assert isinstance(parsed(b'{"a": NaN}')["a"], float)


def test_what_cannot_be_stored_is_told():
    """Half of a surrogate pair, too many bytes, too many levels: of this message alone."""
    deep = json.loads("[" * 65 + "]" * 65)
    rules = [problem_of(one) for one in ({"a": "\ud800"}, {"a": "张" * 11_000}, deep, {"a": "张"})]
    told = [rule and rule[0] for rule in rules]
    assert told == ["broken_text", "message_too_large", "too_deep", None]


def test_the_limits_are_those_of_the_specification():
    """32 KB a message, 500 KB and 2,500 messages a batch, at least."""
    assert body.MESSAGE_LIMIT >= 32_000
    assert body.BATCH_LIMIT >= 500_000
    assert body.MOST_MESSAGES == 2500


def test_a_few_members_of_gzip_are_one_body():
    """RFC 1952, 2.2: they stand behind each other; neither number nor size is endless."""
    parts = [b'{"a"', b":1", b"}"]
    assert unpacked(b"".join(gzip.compress(one, mtime=0) for one in parts)) == b'{"a":1}'
    half = gzip.compress(b" " * (BATCH_LIMIT // 2 + 1), mtime=0)
    for packed, rule in (
        (half * 2, "body_too_large"),
        (gzip.compress(b"", mtime=0) * 9, "not_gzip"),
        (gzip.compress(b"{}", mtime=0) + b"more", "not_gzip"),
        (gzip.compress(b"{}", mtime=0) * 2 + gzip.compress(b"{}", mtime=0)[:-2], "not_gzip"),
    ):
        with pytest.raises(BodyRefused) as caught:
            unpacked(packed)
        assert caught.value.rule == rule
