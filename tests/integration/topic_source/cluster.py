"""A Kafka cluster in this process: librdkafka's mock of one, on sockets of this machine.

It has watermarks, retention by size (5 MB a partition), several partitions and broken brokers. It
has no deletion of records on request, no ACL, no SASL, no TLS, and it does not keep back what an
aborted transaction wrote: what depends on these is tested on the settings alone.
"""

import gc
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from confluent_kafka import Producer

from connectors.base import Deleted, Delivery, Mark, State
from connectors.credentials import Credentials, Reference
from connectors.declaration import SourceDeclaration, parse_source
from connectors.record import Record, Rejection, Sensitive
from connectors.sources.topic_feed import TopicFeed

WHY = "read in a test"
PARTITIONS = 4  # that a topic of the mock has
QUIET = {"log_level": 0}
Value = bytes | str | Mapping[str, Any] | None


class Cluster:
    """Brokers on ports of their own."""

    def __init__(self, brokers: int = 1) -> None:
        self._held: Producer | None = Producer(
            {"bootstrap.servers": "mock", "test.mock.num.brokers": brokers, **QUIET}
        )
        found = self._held.list_topics(timeout=10)
        self.brokers = ",".join(f"{one.host}:{one.port}" for one in found.brokers.values())
        self._producer = Producer(
            {"bootstrap.servers": self.brokers, "linger.ms": 0, "message.max.bytes": 20 << 20}
            | QUIET
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def send(self, topic: str, key: str | bytes | None, value: Value, partition: int = 0) -> None:
        """Write one message; a mapping becomes JSON."""
        sent = json.dumps(value, ensure_ascii=False) if isinstance(value, Mapping) else value
        self._producer.produce(topic, key=key, value=sent, partition=partition)
        assert self._producer.flush(20) == 0

    def send_all(self, topic: str, several: list[tuple[str, Value]], partition: int = 0) -> None:
        """Write many messages and wait once."""
        for key, value in several:
            sent = json.dumps(value, ensure_ascii=False) if isinstance(value, Mapping) else value
            self._producer.produce(topic, key=key, value=sent, partition=partition)
            self._producer.poll(0)
        assert self._producer.flush(30) == 0

    def overflow(self, topic: str, partition: int = 0, megabytes: int = 7) -> None:
        """Write so much that retention deletes the oldest messages of a partition."""
        for _ in range(megabytes * 2):
            self.send(topic, "filler", b" " * 500_000, partition)

    def stop(self) -> None:
        """End all brokers."""
        self._held = None
        gc.collect()


def declared(brokers: str, topic: str = "members", **more: Any) -> SourceDeclaration:
    """A source of a topic; ``topic_`` replaces parts of topic."""
    said = {"name": topic, "security": {"protocol": "plaintext"}, **more.pop("topic_", {})}
    entry = {
        "connector": "kafka",
        "location": brokers,
        "record_id": "id",
        "fields": {"name": "name", "phone": "phone"},
        "topic": said,
        **more,
    }
    return parse_source("crm", {key: value for key, value in entry.items() if value is not None})


def feed_of(
    brokers: str,
    topic: str = "members",
    *,
    marked: int = 1000,
    clock: Callable[[], float] = time.monotonic,
    secrets: Mapping[str, str] = {},
    **more: Any,
) -> TopicFeed:
    """A feed of a topic."""
    if secrets:
        more["credentials"] = {name: f"env:SOURCE_{name.upper()}" for name in secrets}
    declaration = declared(brokers, topic, **more)

    def lookup(reference: Reference) -> Sensitive:
        return Sensitive(secrets[reference.name.removeprefix("SOURCE_").lower()])

    credentials = Credentials("crm", declaration.credentials, lookup)
    return TopicFeed(declaration, credentials, marked=marked, clock=clock)


def told(deliveries: list[Delivery]) -> list[str]:
    """Deliveries in short: ids, ``-id`` of a deletion, the rule of a rejection, ``|`` of a mark."""
    return [_told(one) for one in deliveries]


def _told(one: Delivery) -> str:
    if isinstance(one, Mark):
        return "|"
    if isinstance(one, Rejection):
        return one.rule
    assert isinstance(one, Record | Deleted)
    opened = one.record_id.reveal(reason=WHY)
    return opened if isinstance(one, Record) else f"-{opened}"


def rows(deliveries: list[Delivery]) -> list[str]:
    """As ``told``, without marks."""
    return [one for one in told(deliveries) if one != "|"]


def last(deliveries: list[Delivery]) -> State:
    """The last state."""
    return [one.state for one in deliveries if isinstance(one, Mark)][-1]


def threads() -> int:
    """Threads of clients of Kafka in this process."""
    found = 0
    for task in Path("/proc/self/task").iterdir():
        try:
            found += (task / "comm").read_text().startswith("rdk:")
        except OSError:
            continue  # it ended meanwhile
    return found
