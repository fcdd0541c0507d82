"""One topic of a Kafka cluster, read by partition: the module here that imports confluent_kafka.

Partitions are assigned by us and offsets are kept by us: no group is joined, nothing is committed
to the brokers, and no other reader is moved.

Invariants, each named by a test in ``tests/integration/topic_source/test_engine.py``:

1. Every wait ends: a question at its time, a reading after the silence that is allowed.
2. A reading ends where the partition ended when it began, however much is written meanwhile.
3. Closed, it leaves no thread and no connection behind.
4. No error shows an address, a setting, a key or a message, and the client writes no log.
5. Messages of a transaction that was not committed are not read, by the client's own isolation.
"""

# ruff: noqa: SLF001 - the codes of the client itself begin with an underscore

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from confluent_kafka import (
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka import Message as _Given

from connectors.record import Raw
from connectors.topic_declaration import MEGABYTE, TopicSpec

Clock = Callable[[], float]
AT_ONCE: Final = 500  # messages that are taken from the client together
_MOMENT: Final = 1.0  # seconds between two looks at what the client says
_QUEUED_KB: Final = 16 * 1024  # what the client fetches ahead
_LATEST: Final = 253_402_300_799_000  # milliseconds since 1970: the end of the year 9999
_LARGEST: Final = 64  # megabytes of one answer, which a batch of a sender may fill


@dataclass(frozen=True, slots=True)
class Message(Raw):
    """One message as it was read."""

    offset: int
    key: bytes | None = field(repr=False)
    value: bytes | None = field(repr=False)
    at: int | None = None  # milliseconds since 1970


@dataclass(frozen=True, slots=True)
class Span:
    """What a partition holds: the first offset that there is, and the one behind the last."""

    low: int
    high: int


class TopicFault(Exception):  # noqa: N818 - caught where the topic is read
    """The brokers did not do what they were asked. Says by which rule; ``again``: it may help."""

    def __init__(self, rule: str, *, again: bool) -> None:
        super().__init__(rule)
        self.rule = rule
        self.again = again


class OffsetGone(Exception):  # noqa: N818 - caught where the topic is read
    """The next offset is not there any more: retention deleted it while it was read."""


# The more telling first: where brokers refuse, the client also says that they are away.
_RULES: Final[tuple[tuple[frozenset[int], str, bool], ...]] = (
    (
        frozenset(
            {
                KafkaError._AUTHENTICATION,
                KafkaError.SASL_AUTHENTICATION_FAILED,
                KafkaError.UNSUPPORTED_SASL_MECHANISM,
                KafkaError.ILLEGAL_SASL_STATE,
            }
        ),
        "credential_refused",
        False,
    ),
    (frozenset({KafkaError._SSL}), "certificate_refused", False),
    (
        frozenset(
            {
                KafkaError.TOPIC_AUTHORIZATION_FAILED,
                KafkaError.CLUSTER_AUTHORIZATION_FAILED,
            }
        ),
        "not_allowed",
        False,
    ),
    (
        frozenset(
            {
                KafkaError.UNKNOWN_TOPIC_OR_PART,
                KafkaError.TOPIC_EXCEPTION,
                KafkaError._UNKNOWN_TOPIC,
                KafkaError._UNKNOWN_PARTITION,
            }
        ),
        "topic_missing",
        False,
    ),
    (frozenset({KafkaError._RESOLVE}), "no_such_host", True),
)
_FINAL: Final = frozenset().union(*(codes for codes, _, again in _RULES if not again))
# A reader that assigns its own partitions needs no right to a group.
_NOT_OURS: Final = frozenset({KafkaError.GROUP_AUTHORIZATION_FAILED})


class Topic:
    """The partitions of one topic, for one reading."""

    def __init__(
        self,
        source: str,
        spec: TopicSpec,
        secrets: Mapping[str, str],
        clock: Clock = time.monotonic,
    ) -> None:
        """Prepare; no broker is asked yet.

        Args:
            source: its name, which names us to the brokers.
            spec: of the topic.
            secrets: user, password, ca, certificate, key and key_password, as far as there are.
            clock: gives seconds that only grow.

        Raises:
            TopicFault: the client refuses a certificate or a key.
        """
        self._spec, self._clock = spec, clock
        self._heard: set[int] = set()  # codes of errors
        self.reached = 0  # the offset behind the last reading
        settings = {**settings_of(source, spec, secrets), "error_cb": self._hear}
        refused = False
        try:
            self._consumer: Consumer | None = Consumer(settings)
        except (KafkaException, TypeError, ValueError):
            refused = True
        if refused:  # anew: the error's own traceback holds the settings
            raise TopicFault("certificate_unusable", again=False)

    def _hear(self, error: KafkaError) -> None:
        self._heard.add(error.code())

    @property
    def _client(self) -> Consumer:
        if self._consumer is None:
            raise RuntimeError("the topic is closed")
        return self._consumer

    def partitions(self) -> tuple[str, list[int]]:
        """Return the name that the cluster gives itself, and the numbers of the partitions.

        Raises:
            TopicFault: there is no such topic, or no broker says.
        """
        found = self._asked(
            lambda seconds: self._client.list_topics(self._spec.name, timeout=seconds)
        )
        topic = found.topics.get(self._spec.name)
        if topic is None or topic.error is not None or not topic.partitions:
            code = topic.error.code() if topic is not None and topic.error is not None else None
            raise self._fault(KafkaError.UNKNOWN_TOPIC_OR_PART if code is None else code)
        return found.cluster_id or "", sorted(topic.partitions)

    def span(self, partition: int) -> Span:
        """Return what a partition holds, open transactions left out.

        Raises:
            TopicFault: no broker says.
        """
        place = TopicPartition(self._spec.name, partition)
        found = self._asked(
            lambda seconds: self._client.get_watermark_offsets(place, timeout=seconds)
        )
        if found is None:
            raise self._fault(KafkaError._TIMED_OUT)
        return Span(*found)

    def read(self, partition: int, begin: int, end: int) -> Iterator[Message]:
        """Give the messages of a partition from offset ``begin``; ``end`` is not given any more.

        Raises:
            OffsetGone: ``begin``, or what comes next, was deleted.
            TopicFault: the brokers went away.
        """
        self._heard.clear()
        self._client.assign([TopicPartition(self._spec.name, partition, begin)])
        try:
            yield from self._messages(begin, end)
        finally:
            if self._consumer is not None:
                self._consumer.unassign()

    def _messages(self, begin: int, end: int) -> Iterator[Message]:
        self.reached = begin
        silence = self._spec.limits.silence
        ends = self._clock() + silence  # an error that passes does not break the silence
        while self.reached < end:
            for given in self._some(ends):
                error, offset = given.error(), given.offset()
                if error is not None and not self._is_end(error):
                    if self._clock() >= ends:
                        raise self._fault(KafkaError._TIMED_OUT)
                    continue
                if offset is None or offset < 0:
                    raise self._fault(None)
                if error is not None or offset >= end:
                    # What an open transaction holds back is not passed by.
                    self.reached = max(self.reached, min(offset, end))
                    return
                self.reached = offset + 1
                yield _message(offset, given)
                ends = self._clock() + silence  # not while somebody else works

    def _some(self, ends: float) -> list[_Given]:
        """The messages that are there, once one is.

        Raises:
            TopicFault: none came within the silence that is allowed.
        """
        while True:
            first = self._client.poll(_MOMENT)
            if first is not None:
                return [first, *self._client.consume(AT_ONCE - 1, 0)]
            if self._heard & _FINAL or self._clock() >= ends:
                raise self._fault(KafkaError._TIMED_OUT)

    def _is_end(self, error: KafkaError) -> bool:
        """Whether the partition ended; False: nothing to mind.

        Raises:
            OffsetGone, TopicFault: as ``read``.
        """
        code = error.code()
        if code == KafkaError._PARTITION_EOF:
            return True
        if code in {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE}:
            raise OffsetGone
        if code in _NOT_OURS:
            return False
        if error.retriable() and not error.fatal():
            self._heard.add(code)
            return False
        raise self._fault(code)

    def _asked(self, ask: Callable[[float], Any]) -> Any:
        """The answer to a question, asked again until its time is over."""
        self._heard.clear()
        ends = self._clock() + self._spec.limits.answer
        while True:
            left = ends - self._clock()
            code: int | None = None
            try:
                return ask(max(0.01, min(_MOMENT, left)))
            except KafkaException as error:
                code = _code_of(error)
            self._client.poll(0)  # so that the client says why
            if self._heard & _FINAL or left <= _MOMENT:
                raise self._fault(code)

    def _fault(self, code: int | None) -> TopicFault:
        heard = self._heard | ({code} if code is not None else set())
        for codes, rule, again in _RULES:
            if heard & codes:
                return TopicFault(rule, again=again)
        return TopicFault("not_reachable", again=True)

    def close(self) -> None:
        """End it. What is being read ends with it."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.close()

    def __repr__(self) -> str:
        return "<topic>"


def settings_of(source: str, spec: TopicSpec, secrets: Mapping[str, str]) -> dict[str, Any]:
    """Return what the client is told. Names: librdkafka's CONFIGURATION.md."""
    limits = spec.limits
    settings: dict[str, Any] = {
        "bootstrap.servers": spec.brokers,
        "client.id": f"kith-{source}",
        "group.id": f"kith-{source}",  # asked for by the client; no group is joined
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",  # what is not there any more is never skipped
        "allow.auto.create.topics": False,
        "isolation.level": "read_committed",
        "enable.partition.eof": True,
        "fetch.wait.max.ms": 10,  # a broker that has no more says so soon: the next one waits
        "queued.max.messages.kbytes": _QUEUED_KB,
        "fetch.message.max.bytes": limits.message_mb * MEGABYTE,
        "receive.message.max.bytes": (_LARGEST + limits.message_mb) * MEGABYTE,
        "socket.timeout.ms": int(limits.answer * 1000),
        "socket.connection.setup.timeout.ms": max(1000, int(limits.answer * 1000)),
        "log_level": 0,
        "security.protocol": spec.security.protocol,
    }
    if spec.security.signs_in:
        settings |= {
            "sasl.mechanism": spec.security.mechanism,
            "sasl.username": secrets["user"],
            "sasl.password": secrets["password"],
        }
    if spec.security.is_sealed:
        settings |= {
            "enable.ssl.certificate.verification": True,
            "ssl.endpoint.identification.algorithm": "https",
        }
        settings |= {name: secrets[said] for said, name in _PEM.items() if said in secrets}
    return settings


_PEM: Final = {
    "ca": "ssl.ca.pem",
    "certificate": "ssl.certificate.pem",
    "key": "ssl.key.pem",
    "key_password": "ssl.key.password",
}


def _message(offset: int, given: _Given) -> Message:
    kind, at = given.timestamp()
    known = kind != TIMESTAMP_NOT_AVAILABLE and 0 <= at <= _LATEST
    return Message(offset, _bytes(given.key()), _bytes(given.value()), at if known else None)


def _bytes(part: str | bytes | None) -> bytes | None:
    return part.encode() if isinstance(part, str) else part


def _code_of(error: KafkaException) -> int | None:
    first = error.args[0] if error.args else None
    return first.code() if isinstance(first, KafkaError) else None
