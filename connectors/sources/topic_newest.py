"""The newest messages of a topic, for somebody who looks: bounded in number, size and time."""

from collections.abc import Mapping, Sequence
from typing import Final

from connectors.sources.topic_engine import Clock, Message, OffsetGone, Span, Topic, TopicFault
from connectors.table import MOST_TEXT

LOOKING: Final = 10.0
"""Seconds that looking takes at the most, and that brokers may be silent meanwhile."""
Newest = Sequence[tuple[int, Message]]


def newest_of(topic: Topic, most: int, clock: Clock) -> Newest:
    """Messages with their partitions, about as many of each.

    Offsets that hold no message, as after compaction, give fewer.

    Raises:
        TopicFault: the brokers gave nothing.
    """
    found: list[tuple[int, Message]] = []
    _, numbers = topic.partitions()
    spans = {number: topic.span(number) for number in numbers}
    ends, size = clock() + LOOKING, 0
    for number, count in shares(spans, most).items():
        high = spans[number].high
        try:
            for message in topic.read(number, high - count, high) if count else ():
                found.append((number, message))
                size += len(message.value or b"")
                if size > MOST_TEXT or clock() > ends:
                    return found
        except OffsetGone:
            continue  # retention was faster
        except TopicFault:
            if not found:
                raise
            return found
    return found


def shares(spans: Mapping[int, Span], most: int) -> dict[int, int]:
    """Offsets to read of each partition: about as many, and of those that have few, all. Pure."""
    left, found = most, {}
    ranked = sorted(spans, key=lambda number: spans[number].high - spans[number].low)
    for place, number in enumerate(ranked):
        fair = -(-left // (len(ranked) - place))
        found[number] = min(spans[number].high - spans[number].low, fair)
        left -= found[number]
    return dict(sorted(found.items()))
