"""Topics of every form keep the laws of feeds."""

import gc
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from connectors.testing_feeds import FEED_LAWS, FeedCase
from tests.integration.topic_source.cluster import Cluster, feed_of, threads

CANARIES = ("canary-name-张三", "canary-13800001111", "canary-id-7", "canary-secret")
NAME, PHONE, ID = CANARIES[:3]
ROWS: list[tuple[str | None, Any]] = [
    (ID, {"id": ID, "name": NAME, "phone": PHONE, "at": 1}),
    ("8", {"id": "8", "name": f"={NAME}", "phone": "2", "at": 2}),
    ("9", b'{"id": "9", "name": "canary-name-\xe5\xbc'),
    ("9", f'{{"id": "9", "name": {NAME}'),
    ("9", "[" * 1000),
    ("5", {"id": "5", "name": NAME, "phone": {"canary-id-7": "x"}, "at": 5}),
    (ID, {"id": ID, "name": NAME, "phone": "3", "at": 6}),
    ("8", {"id": "8", "name": NAME, "phone": "4", "at": 7, "gone": "yes"}),
    ("5", None),
    (None, None),
]
CHANGES: list[tuple[str | None, Any]] = [
    ('{"id": "canary-id-7"}', {"op": "c", "after": {"id": ID, "name": NAME, "phone": PHONE},
                               "source": {"lsn": 1, "table": "m"}}),
    ('{"id": "8"}', {"op": "r", "after": {"id": "8", "name": NAME, "phone": "2"},
                     "source": {"lsn": 2, "table": "m"}}),
    ('{"id": "8"}', {"op": "d", "before": {"id": "8", "name": NAME}, "after": None,
                     "source": {"lsn": 3, "table": "m"}}),
    ('{"id": "8"}', None),
    ('{"id": "9"}', "canary-name-张三"),
    ('{"id": "5"}', {"schema": {}, "payload": {"op": "u", "after": {"id": "5", "name": NAME},
                                               "source": {"lsn": 5, "table": "m"}}}),
]  # fmt: skip
WAYS: dict[str, dict[str, Any]] = {
    "column": {"deleted": {"column": "gone"}},
    "cursor": {"deleted": {"column": "gone"}, "cursor": "at"},
    "tombstone": {"deleted": "tombstone"},
    "tombstone in json": {"deleted": "tombstone", "topic_": {"key": "json"}},
    "debezium": {"topic_": {"format": "debezium"}},
    "earliest": {"deleted": {"column": "gone"}, "topic_": {"on_gap": "earliest"}},
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster with one topic for rows, one for keys in JSON and one for changes."""
    with Cluster() as made:
        for number, (key, value) in enumerate(ROWS):
            partition = sum(map(ord, key or "")) % 2
            made.send("members", key, value, partition)
            quoted = None if key is None else json.dumps(key if number % 2 else {"id": key})
            made.send("quoted", quoted, value, partition)
        for key, value in CHANGES:
            made.send("changes", key, value, 2)
        yield made


def topic_of(way: str) -> str:
    return {"debezium": "changes", "tombstone in json": "quoted"}.get(way, "members")


@pytest.mark.parametrize("law", FEED_LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("way", WAYS)
def test_every_form_keeps_every_law(
    cluster: Cluster, way: str, law: Callable[[FeedCase], None]
) -> None:
    """Check, resume, order, duplicates, deletions, cancelling and silence hold for each form."""
    broken = {**WAYS[way], "topic_": {**WAYS[way].get("topic_", {})}}

    def left_open() -> int:
        gc.collect()
        time.sleep(0.01)
        return threads()

    law(
        FeedCase(
            lambda: feed_of(cluster.brokers, topic_of(way), marked=2, **WAYS[way]),
            lambda: feed_of(cluster.brokers, "nowhere", marked=2, **broken),
            CANARIES,
            left_open,
        )
    )
