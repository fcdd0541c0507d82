"""Following a topic: what comes, from where on, and what stops it."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from connectors.base import Mark, State
from connectors.errors import Stop
from connectors.record import Rejection
from connectors.sources.topic_engine import Span
from connectors.sources.topic_feed import _Run
from tests.integration.topic_source.cluster import (
    PARTITIONS,
    WHY,
    Cluster,
    feed_of,
    last,
    rows,
    told,
)

ROW = {"id": "1", "name": "张敏", "phone": "13900000001"}


def row(number: object) -> dict[str, Any]:
    return {**ROW, "id": str(number)}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster of two brokers."""
    with Cluster(2) as made:
        yield made


def changed(state: State, **more: Any) -> State:
    """A state that says something else."""
    return State({**state.value, **more})


def test_every_message_since_the_state_comes_once(cluster: Cluster) -> None:
    """Invariants 1 and 5: partition by partition, each in its order."""
    for n in range(12):
        cluster.send("orders", str(n), row(n), n % 3)
    feed = feed_of(cluster.brokers, "orders", marked=2)
    given = list(feed.read(None))
    assert rows(given) == ["0", "3", "6", "9", "1", "4", "7", "10", "2", "5", "8", "11"]
    assert told(given)[:6] == ["0", "3", "|", "6", "9", "|"]
    assert feed.count(None) == 12
    state = last(given)
    assert state.value["next"] == {"0": 4, "1": 4, "2": 4, "3": 0}
    assert feed.count(state) == 0
    assert rows(list(feed.read(state))) == []
    cluster.send("orders", "x", row("x"), 1)
    cluster.send("orders", "y", row("y"), 3)
    assert feed.count(state) == 2
    assert rows(list(feed.read(state))) == ["x", "y"]
    newest = [one.at for one in given if isinstance(one, Mark)][-1]
    assert newest is not None
    assert newest.tzinfo is not None


def test_what_retention_deleted_stops_the_reading(cluster: Cluster) -> None:
    """Invariant 2: with the partition and what can be done; nothing is read past it."""
    cluster.send("full", "1", row(1), 0)
    state = last(list(feed_of(cluster.brokers, "full").read(None)))
    cluster.overflow("full")
    with pytest.raises(Stop, match="offset_deleted") as stopped:
        list(feed_of(cluster.brokers, "full").read(state))
    assert stopped.value.field == "partition 0"
    assert "on_gap" in stopped.value.next_step
    # A first reading begins with what there is: nothing was promised of what came before it.
    first = list(feed_of(cluster.brokers, "full").read(None))
    assert set(rows(first)) == {"not_json"}


def test_going_on_with_the_earliest_is_a_rejected_row(cluster: Cluster) -> None:
    """Invariant 2: it stands there with its offsets, once, and the reading goes on."""
    cluster.send("lossy", "1", row(1), 0)
    earliest: dict[str, Any] = {"topic_": {"on_gap": "earliest"}}
    state = last(list(feed_of(cluster.brokers, "lossy").read(None)))
    cluster.overflow("lossy")
    cluster.send("lossy", "2", row(2), 0)
    given = list(feed_of(cluster.brokers, "lossy", **earliest).read(state))
    assert rows(given)[0] == "messages_lost"
    assert rows(given)[-1] == "2"
    assert rows(given).count("messages_lost") == 1
    lost = given[0]
    assert isinstance(lost, Rejection)
    assert lost.raw.reveal(reason=WHY).startswith("topic lossy: offsets 1 to ")
    later = list(feed_of(cluster.brokers, "lossy", **earliest).read(last(given)))
    assert rows(later) == []


def test_retention_may_overtake_a_reading(cluster: Cluster) -> None:
    """Invariant 2: what it deletes before it was fetched is a gap like any other."""
    cluster.send_all("racing", [(str(n), " " * 90_000) for n in range(40)])
    stopping = feed_of(cluster.brokers, "racing", marked=1)
    tolerant = feed_of(cluster.brokers, "racing", marked=1, topic_={"on_gap": "earliest"})
    state = last(list(tolerant.read(None))[:2])
    assert state.value["next"]["0"] == 1
    cluster.overflow("racing")
    with pytest.raises(Stop, match="offset_deleted"):
        list(stopping.read(state))
    assert rows(list(tolerant.read(state)))[0] == "messages_lost"


@pytest.mark.parametrize(
    ("more", "rule"),
    [
        ({"cluster": "another"}, "another_cluster"),
        ({"next": {"0": 1, "9": 1}}, "partition_gone"),
        ({"next": {"0": 900}}, "offset_ahead"),
        ({"version": 2}, "state_unknown"),
        ({"next": {"x": 1}}, "state_unknown"),
        ({"next": {"0": "1"}}, "state_unknown"),
        ({"newest": "1"}, "state_unknown"),
    ],
)
def test_offsets_of_something_else_stop_the_reading(
    cluster: Cluster, more: dict[str, Any], rule: str
) -> None:
    """Invariant 3: they would skip messages, or read others' as if they were new."""
    cluster.send("same", "1", row(1), 0)
    feed = feed_of(cluster.brokers, "same")
    state = last(list(feed.read(None)))
    with pytest.raises(Stop, match=rule) as stopped:
        list(feed.read(changed(state, **more)))
    assert "cdp source reset" in stopped.value.next_step
    assert feed.count(changed(state, **more)) is None


def test_a_topic_that_was_made_anew_stops_even_where_it_is_longer(cluster: Cluster) -> None:
    """Invariant 3: the last message that was read is another now; what is before it is not lost."""
    for n in range(3):
        cluster.send("former", str(n), row(n), 0)
        cluster.send("latter", str(n), row(f"x{n}"), 0)
    former = last(list(feed_of(cluster.brokers, "former").read(None)))
    feed = feed_of(cluster.brokers, "latter")
    latter = last(list(feed.read(None)))
    offset, at = former.value["last"]["0"]
    assert offset == 2
    for n in (3, 4):
        cluster.send("latter", str(n), row(f"x{n}"), 0)
    assert rows(list(feed.read(latter))) == ["x3", "x4"]
    older = {name: value for name, value in latter.value.items() if name != "last"}
    assert rows(list(feed.read(State(older)))) == ["x3", "x4"]
    with pytest.raises(Stop, match="topic_made_anew") as stopped:
        list(feed.read(changed(latter, last={"0": [offset, at - 60_000]})))
    assert "cdp source reset" in stopped.value.next_step
    for broken in ({"0": [1]}, {"0": ["1", 2]}, {"x": [1, 2]}, [1]):
        with pytest.raises(Stop, match="state_unknown"):
            list(feed.read(changed(latter, last=broken)))


def test_the_last_message_may_be_gone(cluster: Cluster) -> None:
    """Retention that took only what was read is no gap: the reading begins behind it."""
    cluster.send("thinning", "1", row(1), 0)
    feed = feed_of(cluster.brokers, "thinning")
    state = last(list(feed.read(None)))
    cluster.overflow("thinning")
    cluster.send("thinning", "2", row(2), 0)
    with closing(feed._open()) as topic:
        low = topic.span(0).low
    gone = {"next": {"0": low}, "last": {"0": [low - 1, 7]}}
    assert rows(list(feed.read(changed(state, **gone))))[-1] == "2"
    seen_before = feed._first  # as it was a moment before retention took the message

    def too_early(run: Any, partition: int) -> int:
        taken = partition in run.last
        return low - 1 if taken and partition == 0 else seen_before(run, partition)

    feed._first = too_early  # type: ignore[method-assign]
    assert rows(list(feed.read(changed(state, **gone))))[-1] == "2"


def test_a_new_partition_is_read_from_its_beginning(cluster: Cluster) -> None:
    """Invariant 4: the topic had fewer when the state was made."""
    for partition in range(PARTITIONS):
        cluster.send("wide", str(partition), row(partition), partition)
    feed = feed_of(cluster.brokers, "wide")
    state = changed(last(list(feed.read(None))), next={"0": 1, "1": 1})
    given = list(feed.read(state))
    assert rows(given) == ["2", "3"]
    assert last(given).value["next"] == {"0": 1, "1": 1, "2": 1, "3": 1}


def test_a_new_partition_that_lost_its_beginning_is_a_gap(cluster: Cluster) -> None:
    """Invariants 2 and 4: nothing of it was read, and some of it is gone."""
    cluster.send("wider", "1", row(1), 1)
    feed = feed_of(cluster.brokers, "wider")
    state = changed(last(list(feed.read(None))), next={"1": 1})
    cluster.overflow("wider", 0)
    with pytest.raises(Stop, match="offset_deleted") as stopped:
        list(feed.read(state))
    assert stopped.value.field == "partition 0"


def test_a_gap_ends_where_the_reading_does(cluster: Cluster) -> None:
    """Invariant 1: what retention took beyond that end belongs to the next reading."""
    feed = feed_of(cluster.brokers, "racing", topic_={"on_gap": "earliest"})

    class Thinned:
        def span(self, partition: int) -> Span:
            del partition
            return Span(50, 60)

    run = _Run("", {0: 3}, None, {0: (2, 7)}, ends={0: Span(0, 10)})
    given = list(feed._overtaken(Thinned(), run, 0))  # type: ignore[arg-type]
    assert rows(given) == ["messages_lost"]
    assert run.following == {0: 10}


def test_no_mark_comes_between_a_deletion_and_what_follows(cluster: Cluster) -> None:
    """Behind a deletion its tombstone may stand, which says the same."""
    for value in (row(1), None, row(1)):
        cluster.send("marked", "1", value, 0)
    given = list(feed_of(cluster.brokers, "marked", marked=1, deleted="tombstone").read(None))
    assert told(given)[:5] == ["1", "|", "-1", "1", "|"]


def test_another_topic_or_form_is_read_from_the_beginning(cluster: Cluster) -> None:
    """A state is a place in one topic that is read in one way."""
    cluster.send("one", "1", row(1), 0)
    cluster.send("two", "2", row(2), 0)
    state = last(list(feed_of(cluster.brokers, "one").read(None)))
    assert rows(list(feed_of(cluster.brokers, "two").read(state))) == ["2"]
    keyed = feed_of(cluster.brokers, "one", deleted="tombstone")
    assert rows(list(keyed.read(state))) == ["1"]


def test_check_says_what_to_know(cluster: Cluster) -> None:
    """An empty topic, and that the order holds within a partition only."""
    cluster.send("known", "1", row(1), 0)
    assert [one.rule for one in feed_of(cluster.brokers, "known").check()] == ["several_partitions"]
    assert feed_of(cluster.brokers, "known", cursor="id").check() == []
    assert [one.rule for one in feed_of(cluster.brokers, "nowhere").check()] == ["topic_missing"]


def test_a_large_message_is_a_rejection_and_the_next_one_is_read(cluster: Cluster) -> None:
    """Beyond the limit a message is not parsed; 2 MB are fetched where 1 is allowed."""
    cluster.send("large", "1", b" " * (2 << 20), 0)
    cluster.send("large", "2", row(2), 0)
    feed = feed_of(cluster.brokers, "large", topic_={"limits": {"message_mb": 1}})
    given = list(feed.read(None))
    assert rows(given) == ["message_too_large", "2"]
    assert isinstance(given[0], Rejection)
    kept = given[0].raw.reveal(reason=WHY)
    assert kept.startswith('topic large, partition 0, offset 0, key "1"\n')
    assert len(kept) < 20_000
