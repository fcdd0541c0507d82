"""What every feed must keep, as functions a test suite can call; and a feed in memory.

Beside the laws of sources, in ``connectors/testing.py``. Each law takes a ``FeedCase`` and raises
``AssertionError`` with one sentence when it is broken.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from connectors.base import Deleted, Delivery, Feed, Finding, Level, Mark, Outdated, State
from connectors.errors import Stop
from connectors.record import Record, Rejection
from connectors.testing import contents, opened, require, texts_of_stop

Standing = dict[str, tuple[object, ...]]  # record id -> what a record says


@dataclass(frozen=True)
class FeedCase:
    """A feed that gives at least two records, one rejection and two marks."""

    open: Callable[[], Feed]  # a new object over the same rows
    open_broken: Callable[[], Feed]  # over something that must raise Stop when read
    canaries: Sequence[str]  # values in the rows that must never show
    left_open: Callable[[], int] = lambda: 0  # connections, files, cursors, all feeds together
    deletes: bool = True  # whether the rows of the case have a deletion


def applied(deliveries: Iterable[Delivery]) -> Standing:
    """What is left after these deliveries, in plain words: how a sync has to read them.

    Of two rows of one record the later counts, unless both have an order and its own is smaller.
    """
    standing: Standing = {}
    orders: dict[str, int] = {}
    loads: dict[str, int] = {}
    for one in deliveries:
        if isinstance(one, Outdated):
            for name in [name for name, load in loads.items() if load < one.load]:
                del standing[name], loads[name]
        elif isinstance(one, Record | Deleted) and not _is_late(one, orders):
            name = opened(one.record_id)
            standing.pop(name, None)
            loads.pop(name, None)
            if isinstance(one, Record):
                standing[name] = _said(one)
            if isinstance(one, Record) and one.load is not None:
                loads[name] = one.load
    return standing


def _is_late(one: Record | Deleted, orders: dict[str, int]) -> bool:
    """Whether a newer row of the record was there before; if not, this is the newest now."""
    name = opened(one.record_id)
    if one.order is None:
        return False
    if one.order < orders.get(name, one.order):
        return True
    orders[name] = one.order
    return False


def check_finds_no_error(case: FeedCase) -> None:
    """A readable feed has a name and no ERROR finding."""
    feed = case.open()
    errors = [finding.rule for finding in feed.check() if finding.level is Level.ERROR]
    require(not errors, f"check reports {errors}")
    require(bool(feed.name), "a feed has a name")


def positions_ascend(case: FeedCase) -> None:
    """Positions begin at 1 or later and only grow, from whatever state; results name the feed."""
    for state in (None, *_states(case)):
        feed, last = case.open(), 0
        for one in feed.read(state):
            if isinstance(one, Mark):
                continue
            require(one.position > last, f"position {one.position} follows {last}")
            require(one.source == feed.name, "a result names another source")
            last = one.position


def reading_again_gives_the_same(case: FeedCase) -> None:
    """One state gives the same deliveries, from one object or from two."""
    for state in (None, *_states(case)):
        feed = case.open()
        first, second = _all(feed, state), _all(feed, state)
        require(first == second == _all(case.open(), state), "two readings differ")


def resuming_gives_the_same_tail(case: FeedCase) -> None:
    """Reading from any state, kept as text and read back, gives everything that came behind it.

    What was given before it may come again, before the tail.
    """
    whole = list(case.open().read(None))
    require(sum(isinstance(one, Mark) for one in whole) >= 2, "the case has too few marks")
    for place, mark in enumerate(whole):
        if not isinstance(mark, Mark):
            continue
        before = [_told(one) for one in whole[:place] if not isinstance(one, Mark)]
        tail = [_told(one) for one in whole[place:] if not isinstance(one, Mark)]
        given = [one[1:] for one in _all(case.open(), State.of(mark.state.text()))]
        again = given[: len(given) - len(tail)]
        require(given[len(again) :] == tail, f"the tail behind delivery {place} differs")
        require(all(one in before for one in again), "something new came before the tail")


def delivering_again_changes_nothing(case: FeedCase) -> None:
    """The same deliveries once more, or from any state once more, leave the same records."""
    whole = list(case.open().read(None))
    left = applied(whole)
    for state in (None, *_states(case)):
        again = [*whole, *case.open().read(state)]
        require(applied(again) == left, "delivering again changes what is left")


def deletes_take_effect(case: FeedCase) -> None:
    """A record that was deleted last is not among those that are left."""
    whole = list(case.open().read(None))
    gone = {opened(one.record_id) for one in whole if isinstance(one, Deleted)}
    require(bool(gone) or not case.deletes, "the case has no deletion")
    for name in gone:
        mine = [one for one in whole if isinstance(one, Record | Deleted) and _of(one, name)]
        newest = max(mine, key=lambda one: one.order or 0)
        if isinstance(newest, Deleted):
            require(name not in applied(whole), "a deleted record is left")


def nothing_shows_a_value(case: FeedCase) -> None:
    """No repr, finding, error or mark shows a value of the rows."""
    feed = case.open()
    shown = [repr(feed), str(feed.check())]
    for one in feed.read(None):
        shown += [repr(one), str(one)]
        if isinstance(one, Mark):
            shown += [repr(one.state), f"{one.state}", repr(one.state.text())]
        elif isinstance(one, Rejection):
            shown.append(one.next_step)
        elif isinstance(one, Record):
            shown += [str(one.problems), *(problem.next_step for problem in one.problems)]
    broken = case.open_broken()
    shown += [repr(broken), str(broken.check()), *texts_of_stop(lambda: broken.read(None))]
    for text in shown:
        require(not any(canary in text for canary in case.canaries), "a value shows")


def a_broken_feed_stops(case: FeedCase) -> None:
    """What cannot be read is an ERROR of check and a Stop of read, each with a next step."""
    errors = [one for one in case.open_broken().check() if one.level is Level.ERROR]
    require(bool(errors) and all(one.next_step for one in errors), "check finds nothing")
    require(bool(texts_of_stop(lambda: case.open_broken().read(None))), "read does not stop")


def an_unknown_state_stops(case: FeedCase) -> None:
    """A state of a form that the feed does not know is a Stop, not a reading from the start."""
    try:
        list(case.open().read(State({"version": 10**9})))
    except Stop as stop:
        require(bool(stop.next_step), "the Stop has no next step")
        return
    raise AssertionError("an unknown state is read")


def cancelling_leaves_nothing_open(case: FeedCase) -> None:
    """A reading that is closed after any of its deliveries holds nothing open."""
    many = len(list(case.open().read(None)))
    before = case.left_open()
    for count in range(1, min(many, 5) + 1):
        reading = case.open().read(None)
        with closing(reading):  # type: ignore[type-var]  # a generator, as the law demands
            for _ in islice(reading, count):
                pass
        require(case.left_open() == before, f"closed after {count}, it leaves something open")


FEED_LAWS: Final[tuple[Callable[[FeedCase], None], ...]] = (
    check_finds_no_error,
    positions_ascend,
    reading_again_gives_the_same,
    resuming_gives_the_same_tail,
    delivering_again_changes_nothing,
    deletes_take_effect,
    nothing_shows_a_value,
    a_broken_feed_stops,
    an_unknown_state_stops,
    cancelling_leaves_nothing_open,
)


class MemoryFeed:
    """Deliveries held in memory, with a mark after each ``every`` of them. Keeps every law."""

    def __init__(
        self, name: str, deliveries: Sequence[Record | Rejection | Deleted | Outdated], every: int
    ) -> None:
        self._name = name
        self._deliveries = list(deliveries)
        self._every = every
        self.open = 0

    @property
    def name(self) -> str:
        """The name of the source."""
        return self._name

    def check(self) -> list[Finding]:
        """An ERROR when a delivery is of another source."""
        try:
            self._require_own()
        except Stop as stop:
            return [Finding(Level.ERROR, stop.rule, self._name, stop.next_step)]
        return []

    def count(self, state: State | None) -> int | None:
        """How many deliveries are left."""
        return len(self._deliveries) - self._start(state)

    def read(self, state: State | None) -> Iterator[Delivery]:
        """Give the deliveries behind the state."""
        self._require_own()
        self.open += 1
        try:
            start = self._start(state)
            for place, one in enumerate(self._deliveries[start:], start=start + 1):
                yield replace(one, position=place - start)
                if place % self._every == 0:
                    yield Mark(State({"version": 1, "after": place}))
            yield Mark(State({"version": 1, "after": len(self._deliveries)}))
        finally:
            self.open -= 1

    def _start(self, state: State | None) -> int:
        if state is None:
            return 0
        if state.version != 1:
            raise Stop(self._name, "state_unknown", "Forget it: cdp source reset.")
        return int(state.value["after"])

    def _require_own(self) -> None:
        if any(one.source != self._name for one in self._deliveries):
            raise Stop(self._name, "other_source", "Deliver rows of this source only.")


def _all(feed: Feed, state: State | None) -> list[tuple[object, ...]]:
    return [
        ("mark", json.dumps(dict(one.state.value), sort_keys=True))
        if isinstance(one, Mark)
        else (one.position, *_told(one))
        for one in feed.read(state)
        if not isinstance(one, Mark) or state is None
    ]


def _told(one: Record | Rejection | Deleted | Outdated | Mark) -> tuple[object, ...]:
    """A delivery without its position, opened."""
    if isinstance(one, Record):
        return ("record", one.order, one.load, *_said(one))
    if isinstance(one, Rejection):
        return ("rejection", *contents(replace(one, position=0)))
    if isinstance(one, Deleted):
        return ("deleted", one.order, opened(one.record_id))
    return ("outdated", one.load) if isinstance(one, Outdated) else ("mark",)


def _said(record: Record) -> tuple[object, ...]:
    return contents(replace(record, position=0))


def _of(one: Record | Deleted, name: str) -> bool:
    return opened(one.record_id) == name


def _states(case: FeedCase) -> list[State]:
    return [one.state for one in case.open().read(None) if isinstance(one, Mark)]
