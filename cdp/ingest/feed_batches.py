"""What a feed gives, in batches: when one is committed, and with which state behind it. Pure."""

import datetime as dt
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from connectors.base import Deleted, Delivery, Feed, Mark, Outdated, State
from connectors.record import Record, Rejection

PATIENCE: Final = dt.timedelta(seconds=5)
"""How long rows wait for a batch to fill, once a mark has come."""
MOST_BATCHES: Final = 2
"""Rows without a mark that are committed without one, in batches."""
Clock = Callable[[], dt.datetime]
Item = Record | Rejection | Deleted | Outdated


@dataclass(slots=True)
class Batch:
    """What was read and is not committed."""

    rows: list[Item] = field(default_factory=list, repr=False)
    mark: Mark | None = None
    since: dt.datetime | None = None  # when its first mark came
    marked: int = 0  # rows before its last mark

    def put(self, one: Delivery, now: Clock) -> None:
        """Take what came."""
        if not isinstance(one, Mark):
            self.rows.append(one)
            return
        self.mark, self.marked = one, len(self.rows)
        self.since = self.since or now()

    def is_due(self, most: int, now: Clock) -> bool:
        """Whether it is to be committed, where ``most`` rows fill one."""
        if self.since is None:
            return len(self.rows) >= MOST_BATCHES * most
        # a clock that was put back has nobody wait for it to come round again
        return len(self.rows) >= most or not dt.timedelta() <= now() - self.since < PATIENCE


@contextmanager
def reading(feed: Feed, state: State | None) -> Iterator[Iterator[Delivery]]:
    """What a feed gives since a state. However it is left, nothing stays open at the source."""
    deliveries = feed.read(state)
    try:
        yield deliveries
    finally:
        if isinstance(deliveries, Generator):
            deliveries.close()


def parts(rows: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """The rows in their order, what is outdated apart: it is about all that came before."""
    begin = 0
    for place, row in enumerate(rows):
        if isinstance(row, Outdated):
            if place > begin:
                yield rows[begin:place]
            yield rows[place : place + 1]
            begin = place + 1
    if begin < len(rows):
        yield rows[begin:]
