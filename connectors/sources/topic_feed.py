"""Messages of a Kafka topic since a state, partition by partition.

A state says which offset of each partition comes next, and of which cluster that is::

    {"version": 1, "asked": "…", "cluster": "…", "next": {"0": 42, "1": 7},
     "last": {"0": [41, 1772352000000]}, "newest": …}

``last`` has the offset and the time of the last message of each partition. A reading begins with
that message, gives it no second time, and looks whether it still is the same: a topic that was
made anew has others under the old offsets, and what stands before ours would be passed over.

What is promised of the order: within a partition messages are read as they were written, and each
reading gives partition after partition. So the last message of a record counts where all of a
record's messages are in one partition, as they are under one key while the number of partitions
stays. Where they are not, declare a ``cursor``: offsets of two partitions say nothing of each
other. For the same reason an offset is no order (see ADR 27).

Invariants, each named by a test in ``tests/integration/topic_source/test_feed.py``:

1. Nothing that was written before a reading began is left out, and nothing after it is read.
2. Messages that retention deleted before they were read stop the reading, or stand among the
   rejected rows; they are never passed over in silence.
3. Offsets of another cluster, of a topic that was made anew, or of a partition that is gone stop
   the reading; a topic made anew as far as compaction left the last message that was read.
4. A partition that is new is read from its beginning.
5. One state gives the same deliveries in the same order.
"""

import datetime as dt
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any, Final

from connectors.base import Deleted, Delivery, Finding, Level, Mark, State
from connectors.credentials import Credentials
from connectors.declaration import SourceDeclaration
from connectors.errors import ConnectorError, DeclarationError, Retry, Stop
from connectors.glimpse import Glimpse
from connectors.record import Record, Rejection, Sensitive
from connectors.sources.topic_engine import (
    Clock,
    Message,
    OffsetGone,
    Span,
    Topic,
    TopicFault,
)
from connectors.sources.topic_newest import LOOKING, Newest, newest_of
from connectors.sources.topic_rows import TopicRows
from connectors.table import MOST_ROWS, Table

FORM: Final = 1  # version of a state
MARKED: Final = 1_000  # messages between two marks
_NAMES: Final = frozenset({"user", "password", "ca", "certificate", "key", "key_password"})
_REASON: Final = "sign in to the brokers of a topic"
_RESET: Final = "Run cdp source reset NAME: the next sync reads everything that there is."
_GAP_STEP: Final = (
    "Retention deleted messages before they were read. Lengthen it or sync more often; then run "
    "cdp source reset NAME, or declare topic.on_gap: earliest to go on with what is left."
)
_ANOTHER: Final = (
    "The brokers or the topic are others than before. Put back the right address, or run "
    "cdp source reset NAME: the next sync reads everything that there is."
)
GAP: Final = "messages_lost"
_LOST_STEP: Final = "Retention deleted messages before they were read: load their records again."
_STEPS: Final = {
    "credential_refused": "Correct user, password and mechanism.",
    "certificate_refused": "Name the authority of the brokers' certificate: credentials.ca.",
    "certificate_unusable": "Give certificates and keys as PEM, and the password of the key.",
    "not_allowed": "Allow the user to describe and to read the topic.",
    "topic_missing": "Correct topic.name, or allow the user to see the topic.",
    "no_such_host": "Correct location, or try again once the name can be looked up.",
    "not_reachable": "Try again later. If it stays so, check location, port and protocol; while "
    "rows come: raise topic.limits.silence.",
}


@dataclass(slots=True)
class _Run:
    """Where one reading is."""

    cluster: str
    following: dict[int, int]  # partition -> next offset
    newest: int | None  # milliseconds since 1970
    last: dict[int, tuple[int, int]]  # partition -> offset and time of its last message
    position: int = 0
    ends: dict[int, Span] = field(default_factory=dict)

    def passed(self, partition: int, message: Message) -> None:
        """This message was given."""
        self.following[partition] = message.offset + 1
        self.newest = max(self.newest or 0, message.at or 0) or None
        self.last.pop(partition, None)
        if message.at is not None:
            self.last[partition] = (message.offset, message.at)


class TopicFeed:
    """Follows one topic."""

    def __init__(
        self,
        declaration: SourceDeclaration,
        credentials: Credentials,
        *,
        marked: int = MARKED,
        clock: Clock = time.monotonic,
    ) -> None:
        credentials.require_known(_NAMES)
        if declaration.topic is None:
            step = "Declare connector: kafka, with a topic."
            raise DeclarationError(declaration.name, "topic_missing", step, field="topic")
        self._declaration, self._spec = declaration, declaration.topic
        self._credentials = credentials
        self._marked, self._clock = marked, clock
        self._glimpse = Glimpse()
        self._looked_at: Newest | None = None

    @property
    def name(self) -> str:
        """The name the declaration gives the source."""
        return self._declaration.name

    def check(self) -> list[Finding]:
        """Ask for the topic and what it holds. A reason to stop comes as an ERROR finding."""
        findings: list[Finding] = []
        try:
            findings.extend(self._inspect())
        except ConnectorError as error:
            subject = error.field or self._spec.name
            findings.append(Finding(Level.ERROR, error.rule, subject, error.next_step))
        return findings

    def count(self, state: State | None) -> int | None:
        """How many offsets lie between the state and the ends; None where no broker says."""
        try:
            with closing(self._open()) as topic:
                run = self._begin(topic, state)
            return sum(span.high - run.following[one] for one, span in run.ends.items())
        except (ConnectorError, TopicFault):
            return None

    def read(self, state: State | None) -> Iterator[Delivery]:
        """Give what was written since the state, with a mark after every so many messages."""
        rows = TopicRows(self._declaration, self._spec)
        self._glimpse = rows.glimpse
        try:
            with closing(self._open()) as topic:
                run = self._begin(topic, state)
                yield from self._gaps(run)
                for partition in sorted(run.ends):
                    yield from self._partition(topic, run, partition, rows)
                    yield self._mark(run)
        except TopicFault as fault:
            raise self._error(fault) from None

    def first(self, most: int) -> list[Record | Rejection]:
        """The newest messages of each partition, mapped; nothing remembers that they were read.

        Raises:
            Stop, Retry: the brokers do not give them.
        """
        rows = TopicRows(self._declaration, self._spec)
        given = [rows.of(n, *one) for n, one in enumerate(self._newest(most), start=1)]
        return [one for one in given if isinstance(one, Record | Rejection)]

    def table(self, most: int = MOST_ROWS) -> Table:
        """The newest messages, the paths of their values as columns. Raises ``Stop``, ``Retry``."""
        rows = TopicRows(self._declaration, self._spec)
        messages, self._looked_at = self._looked_at, None
        for n, message in enumerate(messages or self._newest(most), start=1):
            rows.of(n, *message)
        return rows.glimpse.table()

    def glimpsed(self) -> Table:
        """The first rows that the last reading gave, unmapped."""
        return self._glimpse.table()

    def _newest(self, most: int) -> Newest:
        """Messages with their partitions, the newest of each; those that there are in time."""
        try:
            with closing(self._open(looking=True)) as topic:
                self._looked_at = newest_of(topic, most, self._clock)
        except TopicFault as fault:
            raise self._error(fault) from None
        return self._looked_at

    # ── reading ─────────────────────────────────────────────────────────────

    def _partition(
        self, topic: Topic, run: _Run, partition: int, rows: TopicRows
    ) -> Iterator[Delivery]:
        end = run.ends[partition].high
        overtaken, since = True, 0
        while overtaken:
            overtaken = False
            try:
                for message in topic.read(partition, self._first(run, partition), end):
                    if message.offset < run.following[partition]:
                        self._require_known(run, partition, message)
                        continue
                    run.position += 1
                    one = rows.of(run.position, partition, message)
                    if one is not None:
                        yield one
                    run.passed(partition, message)
                    since += 1
                    # Behind a deletion its tombstone may stand, which says the same.
                    if since >= self._marked and not isinstance(one, Deleted):
                        yield self._mark(run)
                        since = 0
            except OffsetGone:
                overtaken = True
                yield from self._overtaken(topic, run, partition)
        run.following[partition] = max(run.following[partition], topic.reached)

    def _first(self, run: _Run, partition: int) -> int:
        """Where a reading begins: at the last message that was read, while it is there."""
        following, span = run.following[partition], run.ends[partition]
        offset, _ = run.last.get(partition, (following, 0))
        return offset if span.low <= offset < following < span.high else following

    def _require_known(self, run: _Run, partition: int, message: Message) -> None:
        """Stop where what was read last is something else now."""
        offset, at = run.last.get(partition, (None, None))
        if message.offset == offset and message.at != at:
            raise Stop(self.name, "topic_made_anew", _ANOTHER, field=f"partition {partition}")

    def _overtaken(self, topic: Topic, run: _Run, partition: int) -> Iterator[Delivery]:
        """Go on behind what retention deleted during the reading."""
        span = topic.span(partition)
        if run.last.pop(partition, None) is not None and span.low <= run.following[partition]:
            return  # only what was read before is gone
        if span.low <= run.following[partition]:
            raise TopicFault("not_reachable", again=True)  # it is there now: another try
        yield from self._gap(run, partition, min(span.low, run.ends[partition].high))

    def _gaps(self, run: _Run) -> Iterator[Delivery]:
        """What was deleted since the state; a first reading begins with what there is."""
        for partition in sorted(run.ends):
            low = run.ends[partition].low
            if run.following[partition] < low:
                yield from self._gap(run, partition, low)

    def _gap(self, run: _Run, partition: int, low: int) -> Iterator[Delivery]:
        """Stop, or put a row for what is lost among the rejected ones."""
        lost = f"offsets {run.following[partition]} to {low - 1} of partition {partition}"
        if self._spec.on_gap == "stop":
            raise Stop(self.name, "offset_deleted", _GAP_STEP, field=f"partition {partition}")
        run.position += 1
        run.following[partition] = low
        raw = Sensitive(f"topic {self._spec.name}: {lost}")
        yield Rejection(self.name, run.position, None, GAP, _LOST_STEP, raw)

    # ── states ──────────────────────────────────────────────────────────────

    def _begin(self, topic: Topic, state: State | None) -> _Run:
        """Where a reading begins, and where it will end.

        Raises:
            Stop: the state is of something else.
            TopicFault: no broker says.
        """
        known = self._known(state)
        cluster, numbers = topic.partitions()
        last = {int(number): (one[0], one[1]) for number, one in known.get("last", {}).items()}
        run = _Run(cluster, {}, known.get("newest"), last)
        run.ends = {number: topic.span(number) for number in numbers}
        following = {int(number): offset for number, offset in known.get("next", {}).items()}
        if following:
            self._require_same(run, known.get("cluster"), following)
        for number, span in run.ends.items():
            # Of a partition that is new since the state nothing was read: it began at 0.
            run.following[number] = following.get(number, 0 if following else span.low)
        return run

    def _require_same(self, run: _Run, cluster: object, following: dict[int, int]) -> None:
        rule = None
        if cluster and run.cluster and cluster != run.cluster:
            rule = "another_cluster"
        elif following.keys() - run.ends.keys():
            rule = "partition_gone"
        elif any(following[one] > run.ends[one].high for one in following):
            rule = "offset_ahead"
        if rule is not None:
            raise Stop(self.name, rule, _ANOTHER, field="location")

    def _known(self, state: State | None) -> dict[str, Any]:
        if state is None:
            return {}
        value = dict(state.value)
        if state.version != FORM or not _is_state(value):
            raise Stop(self.name, "state_unknown", _RESET)
        # Of another declaration: everything is read anew.
        return value if value["asked"] == self._spec.asked() else {}

    def _mark(self, run: _Run) -> Mark:
        value = {
            "version": FORM,
            "asked": self._spec.asked(),
            "cluster": run.cluster,
            "next": {str(number): run.following[number] for number in sorted(run.following)},
            "last": {str(number): list(run.last[number]) for number in sorted(run.last)},
            "newest": run.newest,
        }
        at = None if run.newest is None else dt.datetime.fromtimestamp(run.newest / 1000, dt.UTC)
        return Mark(State(value), at)

    # ── the brokers ─────────────────────────────────────────────────────────

    def _open(self, *, looking: bool = False) -> Topic:
        limits = self._spec.limits
        short = replace(limits, silence=min(limits.silence, LOOKING)) if looking else limits
        secrets = {}
        for name in sorted(_NAMES):
            found = self._credentials.find(name)
            if found is not None:
                secrets[name] = found.reveal(reason=_REASON)
        try:
            return Topic(self.name, replace(self._spec, limits=short), secrets, self._clock)
        except TopicFault as fault:
            raise self._error(fault) from None

    def _inspect(self) -> Iterator[Finding]:
        try:
            with closing(self._open()) as topic:
                _, numbers = topic.partitions()
                spans = [topic.span(number) for number in numbers]
        except TopicFault as fault:
            raise self._error(fault) from None
        if len(numbers) > 1 and self._declaration.feed.cursor is None:
            step = "The last message counts only within a partition: key messages by record."
            yield Finding(Level.NOTE, "several_partitions", self._spec.name, step)
        if all(span.high == span.low for span in spans):
            yield Finding(Level.WARNING, "topic_empty", self._spec.name, "Nothing is there yet.")

    def _error(self, fault: TopicFault) -> ConnectorError:
        step = _STEPS[fault.rule]
        if fault.again:
            return Retry(self.name, fault.rule, step)
        return Stop(self.name, fault.rule, step, field="location")

    def __repr__(self) -> str:
        return f"<feed {self.name}>"


def _is_state(value: dict[str, Any]) -> bool:
    """Whether this is a state of our form."""
    following, newest = value.get("next"), value.get("newest")
    last = value.get("last", {})  # older states have none
    return (
        isinstance(value.get("asked"), str)
        and isinstance(value.get("cluster"), str)
        and isinstance(following, dict)
        and all(
            isinstance(one, int) and str(number).isdecimal() for number, one in following.items()
        )
        and isinstance(newest, int | None)
        and isinstance(last, dict)
        and all(_is_last(str(number), one) for number, one in last.items())
    )


def _is_last(number: str, one: object) -> bool:
    """Whether this is the offset and the time of a last message."""
    if not isinstance(one, list) or len(one) != 2:
        return False
    return number.isdecimal() and all(isinstance(part, int) for part in one)
