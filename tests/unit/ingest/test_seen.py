"""Which record ids a file has had; invariants of `cdp/ingest/seen.py`."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from cdp.ingest.seen import Seen

# Few halves, so that keys often share their first one.
halves = st.sampled_from([bytes(8), bytes(7) + b"\1", b"\1" + bytes(7), b"\xff" * 8])
keys = st.builds(bytes.__add__, halves, halves)
contents = st.binary(min_size=16, max_size=16)
batches = st.lists(st.dictionaries(keys, contents, max_size=5), max_size=8)


@given(batches, st.lists(keys))
def test_it_answers_what_a_dictionary_answers(added, asked):
    """Invariants 1 and 2: contents by key, and the first one stays."""
    seen, plain = Seen(), {}
    for batch in added:
        seen.add(batch)
        plain = batch | plain
    assert seen.known(asked) == {key: plain[key] for key in asked if key in plain}


def test_it_answers_for_many_rows():
    """Invariant 1 in batches of a sync: every row that was added is known, and no other."""

    def digest(number: int) -> bytes:
        return hashlib.sha256(number.to_bytes(8, "big")).digest()[:16]

    rows = [(digest(number), digest(-number % 2**63)) for number in range(20_000)]
    seen = Seen()
    for start in range(0, len(rows), 700):
        seen.add(dict(rows[start : start + 700]))
    assert seen.known(key for key, _ in rows) == dict(rows)
    assert seen.known(digest(number) for number in range(20_000, 25_000)) == {}
