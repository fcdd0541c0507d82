"""What `cdp source check` and `preview` say of the newest messages of a topic."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest

from cdp.ingest.looking import looked_at
from cdp.ingest.preview import preview
from cdp.ingest.values import Reading
from connectors.record import Rejection
from connectors.sources.topic_engine import Span
from connectors.sources.topic_feed import TopicFeed
from connectors.sources.topic_newest import shares
from tests.integration.topic_source.cluster import Cluster, feed_of

pytestmark = pytest.mark.integration
READING = Reading(dt.date(2026, 5, 4))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A broker."""
    with Cluster() as made:
        yield made


def row(number: int, **more: Any) -> dict[str, Any]:
    return {"id": str(number), "name": "张敏", "phone": f"139{number:08}", **more}


def found(feed: TopicFeed) -> list[tuple[str, str]]:
    told = looked_at(feed, feed._declaration, READING)
    assert "1390000" not in str(told)
    return [(one.rule, one.subject) for one in told if one.rule != "several_partitions"]


def test_the_newest_messages_are_held_to_mapping_and_contract(cluster: Cluster) -> None:
    """A hundred of them, of all partitions; what old ones were like says nothing of today."""
    cluster.send_all("looked", [(str(n), "no json") for n in range(150)], 0)
    cluster.send_all("looked", [(str(n), row(n)) for n in range(60)], 0)
    cluster.send_all("looked", [(str(n), row(n)) for n in range(60)], 1)
    assert found(feed_of(cluster.brokers, "looked")) == []
    feed = feed_of(cluster.brokers, "looked")
    assert len(feed.first(100)) == 100
    assert [one.rule for one in feed.first(100) if isinstance(one, Rejection)] == []
    contract = {"columns": {"name": {"allowed": ["李娜"]}}}
    assert found(feed_of(cluster.brokers, "looked", contract=contract)) == [
        ("contract_allowed", "name")
    ]
    told = found(feed_of(cluster.brokers, "looked", fields={"name": "name"}))
    assert told == [("personal_data_undeclared", "phone")]


def test_looking_moves_nothing(cluster: Cluster) -> None:
    """A reading afterwards gives everything, and a state is where it was."""
    cluster.send_all("still", [(str(n), row(n)) for n in range(5)], 2)
    feed = feed_of(cluster.brokers, "still")
    before = [type(one).__name__ for one in feed.read(None)]
    looked_at(feed, feed._declaration, READING)
    shown = preview(feed, READING, lambda _, text: text[:3], rows=3)
    assert [one.read["phone"] for one in shown] == ["+86"] * 3
    assert [type(one).__name__ for one in feed.read(None)] == before
    assert len(feed.glimpsed().rows) == 5


def test_partitions_share_what_is_looked_at() -> None:
    """Of those that have few messages all are taken, of the others about as many."""
    spans = {0: Span(10, 500), 1: Span(0, 3), 2: Span(7, 7), 3: Span(0, 900)}
    assert shares(spans, 101) == {0: 49, 1: 3, 2: 0, 3: 49}
    assert shares({0: Span(0, 2)}, 100) == {0: 2}


def test_an_empty_topic_is_told_and_nothing_waits(cluster: Cluster) -> None:
    """There is nothing to look at yet."""
    cluster.send("made", "1", row(1), 0)
    assert found(feed_of(cluster.brokers, "made")) == []
    cluster.send("quiet", "1", None, 3)
    [(rule, _)] = found(feed_of(cluster.brokers, "quiet"))
    assert rule == "no_value"
