"""Garbage collection while many rows are taken in.

A batch makes many objects and no cycles: looking for cycles as often as Python does of itself
took a sixth of the time.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

COLLECT_AFTER: Final = 50_000  # objects made and not yet thrown away


@contextmanager
def collecting_seldom() -> Iterator[None]:
    """Collect less often until it ends; then as before.

    It holds for the whole process. Where two threads do this at once, the one that began first
    may end first, and collection stays seldom: that costs memory, not truth.
    """
    before = gc.get_threshold()
    if before[0]:  # else somebody wants no collection at all
        gc.set_threshold(max(before[0], COLLECT_AFTER), *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
