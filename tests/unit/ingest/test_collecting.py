"""Garbage collection while rows are taken in."""

import gc

import pytest

from cdp.ingest.collecting import COLLECT_AFTER, collecting_seldom


@pytest.fixture(autouse=True)
def _as_it_was():
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


def while_collecting_seldom():
    with collecting_seldom():
        seen = gc.get_threshold()
        raise RuntimeError(seen)


@pytest.mark.parametrize("first", [700, 2 * COLLECT_AFTER, 0])
def test_collection_is_seldom_and_then_as_it_was_also_after_an_error(first):
    """What somebody set already, or switched off, is never made more frequent."""
    gc.set_threshold(first, 11, 12)
    with pytest.raises(RuntimeError) as broken:
        while_collecting_seldom()
    assert broken.value.args == ((max(first, COLLECT_AFTER) if first else 0, 11, 12),)
    assert gc.get_threshold() == (first, 11, 12)
