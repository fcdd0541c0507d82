"""The client of a cluster: what ends, what is left behind, what is said."""

import gc
import time
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, KafkaError, Producer

from connectors.errors import Retry, Stop
from connectors.sources import topic_engine
from connectors.sources.topic_engine import Topic, TopicFault, settings_of
from connectors.topic_declaration import TopicLimits
from tests.integration.topic_source.cluster import (
    QUIET,
    Cluster,
    declared,
    feed_of,
    rows,
    threads,
)

ROW = {"id": "1", "name": "张敏", "phone": "13900000001"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster."""
    with Cluster() as made:
        yield made


def test_a_dead_broker_is_a_retry_in_time(capfd: pytest.CaptureFixture[str]) -> None:
    """Invariants 1 and 4: nobody listens, and nothing is written to the log."""
    limits = {"topic_": {"limits": {"answer": 0.5}}}
    began = time.monotonic()
    feed = feed_of("127.0.0.1:1,localhost:2", **limits)
    assert [one.rule for one in feed.check()] == ["not_reachable"]
    assert feed.count(None) is None
    with pytest.raises(Retry, match="not_reachable") as failed:
        list(feed.read(None))
    assert time.monotonic() - began < 6
    assert "127.0.0.1" not in str(failed.value)
    assert "".join(capfd.readouterr()) == ""


def test_brokers_that_die_during_a_reading_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Invariant 1: after the silence that is allowed, and what came before is delivered."""
    monkeypatch.setattr(topic_engine, "_QUEUED_KB", 1)  # less is fetched ahead than there is
    dying = Cluster()
    long = {**ROW, "note": "x" * 2000}
    dying.send_all("members", [(str(n), {**long, "id": str(n)}) for n in range(1800)])
    limits = {"silence": 1, "answer": 1, "message_mb": 1}
    feed = feed_of(dying.brokers, topic_={"limits": limits}, marked=10)
    reading = feed.read(None)
    assert rows([next(reading)]) == ["0"]
    dying.stop()
    began = time.monotonic()
    with pytest.raises(Retry, match="not_reachable"):
        list(reading)
    assert time.monotonic() - began < 20


class _Given:
    """A message."""

    def error(self) -> None:
        """None: it is whole."""

    def offset(self) -> int:
        return 0

    def timestamp(self) -> tuple[int, int]:
        return TIMESTAMP_NOT_AVAILABLE, 0

    def key(self) -> None:
        """It has none."""

    value = key


class _Complaining:
    """A client that has errors, and a message with the first one alone."""

    def __init__(self, code: int, passed: Callable[[], None]) -> None:
        self._code, self._passed = code, passed
        self._first: list[_Complaining | _Given] = [_Given(), self]

    def assign(self, places: object) -> None:
        del places

    def unassign(self) -> None:
        """Nothing is assigned."""

    def poll(self, seconds: float) -> "_Complaining":
        del seconds
        self._passed()
        return self

    def consume(self, count: int, seconds: float) -> "list[_Complaining | _Given]":
        del count, seconds
        given, self._first = self._first, []
        return given

    def error(self) -> KafkaError:
        return KafkaError(self._code, "a text", False, True)  # noqa: FBT003 - C takes no names

    def offset(self) -> int:
        return -1001


@pytest.mark.parametrize("code", [KafkaError.GROUP_AUTHORIZATION_FAILED, KafkaError._TRANSPORT])
def test_errors_that_pass_do_not_break_the_silence(code: int) -> None:
    """Invariant 1: a client that only complains, for ever, ends the reading as one that is mute."""
    now = [0.0]

    def passed() -> None:
        now[0] += 1.0
        assert now[0] < 60

    spec = declared("localhost:1").topic
    assert spec is not None
    topic = Topic("crm", spec, {}, lambda: now[0])
    topic.close()
    topic._consumer = _Complaining(code, passed)  # type: ignore[assignment]
    reading = topic.read(0, 0, 5)
    assert next(reading).offset == 0
    now[0] += 20  # of somebody else's work
    with pytest.raises(TopicFault, match="not_reachable"):
        list(reading)
    assert spec.limits.silence <= now[0] - 21 <= spec.limits.silence + 1


def test_what_an_open_transaction_holds_back_is_not_passed_by() -> None:
    """Invariant 5: where the brokers end earlier than they said, the next reading begins there."""
    spec = declared("localhost:1").topic
    assert spec is not None
    topic = Topic("crm", spec, {})
    topic.close()
    ended = _Complaining(KafkaError._PARTITION_EOF, lambda: None)
    ended.offset = lambda: 3  # type: ignore[method-assign]
    ended.poll = lambda _: ended  # type: ignore[method-assign,assignment]
    ended._first = []
    topic._consumer = ended  # type: ignore[assignment]
    assert list(topic.read(0, 1, 5)) == []
    assert topic.reached == 3


def test_a_host_that_is_not_there_is_told_apart() -> None:
    """Invariant 4: by rule, not by name."""
    limits = TopicLimits(answer=0.5)
    spec = declared("localhost:1", topic_={"limits": {"answer": 0.5}}).topic
    assert spec is not None
    assert spec.limits == limits
    topic = Topic("crm", spec, {})
    topic._heard.add(-193)  # the client's own code of a name that nobody knows
    assert topic._fault(None).rule == "no_such_host"
    topic.close()
    with pytest.raises(RuntimeError, match="closed"):
        topic.partitions()


def test_a_reading_ends_where_the_partition_ended(cluster: Cluster) -> None:
    """Invariant 2: what is written during a reading belongs to the next one."""
    for n in range(5):
        cluster.send("growing", None, {**ROW, "id": str(n)})
    feed = feed_of(cluster.brokers, "growing", marked=1)
    given = []
    for one in feed.read(None):
        given.append(one)
        if len(given) < 6:
            cluster.send("growing", None, {**ROW, "id": "late"})
    assert rows(given) == ["0", "1", "2", "3", "4"]


def test_a_transaction_is_read_once_it_is_committed(cluster: Cluster) -> None:
    """Invariant 5: isolation is asked of the brokers; the mock keeps nothing back.

    Its offsets have gaps where a transaction ended, as real ones do.
    """
    producer = Producer({"bootstrap.servers": cluster.brokers, "transactional.id": "t", **QUIET})
    producer.init_transactions(10)
    for n in (1, 2):
        producer.begin_transaction()
        producer.produce("ledger", value=f'{{"id": "{n}", "name": "x"}}', partition=0)
        producer.commit_transaction(10)
    given = list(feed_of(cluster.brokers, "ledger").read(None))
    assert rows(given) == ["1", "2"]
    again = feed_of(cluster.brokers, "ledger")
    state = [one for one in given if hasattr(one, "state")][-1].state
    assert state.value["next"]["0"] == 4
    assert rows(list(again.read(state))) == []
    spec = declared(cluster.brokers).topic
    assert spec is not None
    assert settings_of("crm", spec, {})["isolation.level"] == "read_committed"


def test_closed_it_leaves_nothing_behind(cluster: Cluster) -> None:
    """Invariant 3: a reading that is broken off, and one that fails."""
    cluster.send("members", None, ROW)
    gc.collect()
    before = threads()
    reading = feed_of(cluster.brokers).read(None)
    next(reading)
    assert threads() > before
    reading.close()  # type: ignore[attr-defined]
    gc.collect()
    assert threads() == before
    with pytest.raises(Stop, match="topic_missing"):
        list(feed_of(cluster.brokers, "nowhere").read(None))
    gc.collect()
    assert threads() == before


def test_nothing_is_committed_to_the_brokers(cluster: Cluster) -> None:
    """Offsets are ours: two readings of one source know nothing of each other."""
    for n in range(3):
        cluster.send("twice", None, {**ROW, "id": str(n)})
    one, other = (feed_of(cluster.brokers, "twice", marked=1) for _ in range(2))
    first, second = one.read(None), other.read(None)
    together = [next(first), next(second), *first, *second]
    assert sorted(rows(together)) == ["0", "0", "1", "1", "2", "2"]
    assert rows(list(feed_of(cluster.brokers, "twice").read(None))) == ["0", "1", "2"]


def test_signing_in_where_nobody_asks_is_refused(cluster: Cluster) -> None:
    """The mock knows no SASL: the client says so, and the feed stops at once."""
    secrets = {"user": "canary-user", "password": "canary-password"}
    security = {"protocol": "sasl_plaintext", "mechanism": "SCRAM-SHA-256"}
    feed = feed_of(cluster.brokers, topic_={"security": security}, secrets=secrets)
    began = time.monotonic()
    with pytest.raises(Stop, match="credential_refused") as stopped:
        list(feed.read(None))
    assert time.monotonic() - began < 10
    assert "canary" not in f"{stopped.value} {feed!r} {stopped.value.__cause__}"


def test_certificates_that_are_none_are_refused(cluster: Cluster) -> None:
    """Invariant 4: before any broker is asked, and nothing of them is shown."""
    feed = feed_of(
        cluster.brokers, topic_={"security": {"protocol": "ssl"}}, secrets={"ca": "canary-ca"}
    )
    [finding] = feed.check()
    assert finding.rule == "certificate_unusable"
    assert "canary" not in str(finding)
    with pytest.raises(TopicFault) as refused:
        Topic("crm", feed._spec, {"ca": "canary-ca"})
    assert refused.value.__context__ is None
