"""Every feed keeps the same laws; a new one is added to CASES and nothing else."""

import gc
import json
import sqlite3
from collections.abc import Iterator

import pytest

from connectors import testing_feeds
from connectors.base import Deleted, Feed, Finding, Level, Mark, State
from connectors.credentials import Credentials, Reference
from connectors.declaration import parse_source
from connectors.record import FieldValue, Record, Rejection, Sensitive
from connectors.registry import FEEDS
from connectors.sources.sql_feed import SqlFeed
from connectors.testing_feeds import FEED_LAWS, FeedCase, MemoryFeed

CANARIES = ("canary-name-张三", "canary-13800001111", "canary-id-7", "canary-secret")
ROWS = [
    ("canary-id-7", "canary-name-张三", "canary-13800001111", "2026-03-01 08:00:00", ""),
    ("canary-id-8", "canary-name-张三", "2", "2026-03-01 08:00:00", ""),
    ("canary-id-9", "=canary-name-张三", "3", "2026-03-01 09:00:00", ""),
    ("=canary-id-7", "canary-name-张三", "4", "2026-03-01 09:30:00", ""),
    ("canary-id-5", "canary-name-张三", "5", "2026-03-01 10:00:00", "yes"),
    ("canary-id-6", "canary-name-张三", "6", None, ""),
]


def memory_row(number, order):
    fields = {"name": (FieldValue(Sensitive(CANARIES[0])),)}
    return Record("contract", Sensitive(number), 1, fields, order=order)


def memory_case():
    rows = [
        memory_row("canary-id-7", 1),
        Rejection("contract", 1, None, "formula", "Write text.", Sensitive(CANARIES[1])),
        memory_row("canary-id-8", 2),
        Deleted("contract", 1, Sensitive("canary-id-7"), 3),
        memory_row("canary-id-9", 4),
    ]
    broken = [memory_row("canary-id-7", 1)]
    object.__setattr__(broken[0], "source", "another")
    made = []

    def opens():
        made.append(MemoryFeed("contract", rows, 2))
        return made[-1]

    return FeedCase(
        opens,
        lambda: MemoryFeed("contract", broken, 2),
        CANARIES,
        lambda: sum(feed.open for feed in made),
    )


def declared(**more):
    entry = {
        "connector": "sql",
        "mode": "incremental",
        "cursor": "updated",
        "deleted": {"column": "gone"},
        "record_id": "id",
        "fields": {"name": "name", "phone": "phone"},
        "credentials": {"dsn": "env:SOURCE_DSN"},
        **more,
    }
    return parse_source("contract", entry)


def sql_feed(dsn, **more):
    declaration = declared(**more)
    credentials = Credentials(
        "contract", {"dsn": Reference("env", "SOURCE_DSN")}, lambda _: Sensitive(dsn)
    )
    return SqlFeed(declaration, credentials, page=2)


@pytest.fixture(scope="module")
def sqlite_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("sql") / "canary-secret.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE members (id, name, phone, updated, gone)")
    connection.executemany("INSERT INTO members VALUES (?, ?, ?, ?, ?)", ROWS)
    connection.commit()
    connection.close()
    return path


@pytest.fixture(scope="module")
def cases(sqlite_file) -> Iterator[dict[str, FeedCase]]:
    """One case for each way of reading, and one for the feed in memory."""
    gc.collect()
    dsn = f"sqlite:///{sqlite_file}"
    query = {"table": None, "query": "SELECT * FROM members WHERE name <> ':no'"}
    ways = {
        "incremental": {},
        "overlap": {"cursor": {"column": "updated", "overlap": 1800}},
        "full": {"mode": "full"},
        "query": {"mode": "full", **query},
        "query by cursor": query,
    }

    def way(options):
        named = {key: value for key, value in {**base, **options}.items() if value is not None}
        return FeedCase(
            lambda: sql_feed(dsn, **named),
            lambda: sql_feed(dsn, **{**named, "fields": {"name": "canary"}}),
            CANARIES,
            lambda: sum(isinstance(one, sqlite3.Connection) for one in gc.get_objects()),
        )

    base = {"table": "members"}
    return {"memory": memory_case(), **{name: way(options) for name, options in ways.items()}}


CASES = ("memory", "incremental", "overlap", "full", "query", "query by cursor")


@pytest.mark.parametrize("law", FEED_LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("case", CASES)
def test_every_feed_keeps_every_law(cases, case, law):
    """Check, resume, order, duplicates, deletions, cancelling and silence hold for each feed."""
    law(cases[case])


@pytest.mark.parametrize("case", [one for one in CASES if one != "memory"])
def test_each_record_refers_to_cells_of_its_own(cases, case):
    """What cannot be processed is mapped from them again: they are not those of a later row."""
    records = [row for row in cases[case].open().read(None) if isinstance(row, Record)]
    assert len({id(one.cells) for one in records}) == len(records) > 1
    assert all(one.record_id.reveal(reason="test") in one.cells.values() for one in records)


def test_every_registered_feed_has_a_case():
    """A feed cannot be registered without being held to the laws: some have a file of their own."""
    assert set(FEEDS) == {"http", "kafka", "sql", "piped"}


class Loud:
    """A feed that breaks one law, as told."""

    def __init__(self, inner, broken):
        self._inner, self._broken = inner, broken
        self.name = inner.name

    def __repr__(self):
        return CANARIES[0] if self._broken == "repr" else "<loud>"

    def count(self, state):
        """The count."""
        return self._inner.count(state)

    def check(self):
        """The findings, and an error of its own."""
        found = [Finding(Level.ERROR, "x", "y", "z")] if self._broken == "check" else []
        return found + self._inner.check()

    def read(self, state):
        """The deliveries, or not quite."""
        if self._broken == "unknown" and state is not None and state.version != 1:
            state = None
        given = list(self._inner.read(state))
        if self._broken == "order":
            return iter(given[::-1])
        if self._broken == "resume" and state is not None:
            return iter(given[1:])
        if self._broken == "open":
            self._inner.open += 1
        return (one for one in given)


@pytest.mark.parametrize(
    ("broken", "law"),
    [
        ("repr", testing_feeds.nothing_shows_a_value),
        ("check", testing_feeds.check_finds_no_error),
        ("order", testing_feeds.positions_ascend),
        ("resume", testing_feeds.resuming_gives_the_same_tail),
        ("unknown", testing_feeds.an_unknown_state_stops),
        ("open", testing_feeds.cancelling_leaves_nothing_open),
    ],
)
def test_a_broken_feed_is_caught(cases, broken, law):
    """The suite fails a feed that breaks a law, so passing it means something."""
    good = cases["memory"]
    loud = FeedCase(lambda: Loud(good.open(), broken), good.open_broken, CANARIES, good.left_open)
    assert isinstance(loud.open(), Feed)
    with pytest.raises(AssertionError):
        law(loud)


def test_a_feed_that_never_stops_is_caught(cases):
    """A feed that reads what cannot be read fails the suite."""
    good = cases["memory"]
    with pytest.raises(AssertionError):
        testing_feeds.a_broken_feed_stops(FeedCase(good.open, good.open, CANARIES))


def test_a_state_is_an_object_with_a_version():
    """What is no state is refused, and not shown."""
    for value in ([], {"after": CANARIES[0]}, {"version": CANARIES[0]}):
        with pytest.raises(ValueError, match="state") as refused:
            State.of(Sensitive(json.dumps(value)))
        assert CANARIES[0] not in str(refused.value)
    with pytest.raises(ValueError, match="JSON object"):
        State.of(Sensitive("no JSON"))


def test_the_two_modes_give_the_same_records(cases):
    """A table and a query, in full or by cursor, hold the same people."""
    given = [testing_feeds.applied(cases[name].open().read(None)) for name in CASES[1:]]
    assert all(one == given[0] for one in given)
    assert sorted(given[0]) == ["canary-id-6", "canary-id-7", "canary-id-8", "canary-id-9"]
    assert sum(isinstance(one, Mark) for one in cases["full"].open().read(None)) >= 2
