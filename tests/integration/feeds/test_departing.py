"""What a source deleted is destroyed here, and may come again."""

import json
from dataclasses import replace

import pytest
import sqlalchemy as sa

from cdp.ingest.feed_sync import FROZEN, Following
from cdp.resolution.run import resolve
from cdp.storage import schema
from cdp.workspace import Workspace
from connectors.record import Sensitive
from tests.integration.feeds.deliveries import FOLLOWED, SHOP, bad, deliver, gone, row, rows_of
from tests.journeys.state import contents, people

pytestmark = pytest.mark.integration
ANEW = Following(departures=FOLLOWED.departures, resumes=False)
TABLES = ("record", "contact", "sensitive", "masked", "blind_index", "data_key", "block",
          "record_block", "membership", "membership_history", "edge", "reject",
          "profile")  # fmt: skip


def test_nothing_is_left_of_a_deleted_record(fed: Workspace) -> None:
    """Record, cells, keys, indexes, features and rejected rows of it go (invariant 1)."""
    report = deliver(fed, [row("C1"), bad('{"card": "C1"}'), gone("C1")])
    assert report.deleted == 0  # the three came together: nothing of C1 was ever stored
    deliver(fed, [row("C1"), row("C2"), bad('{"card": "C1"}')], how=ANEW)
    report = deliver(fed, [gone("C1")], how=ANEW)
    assert report.deleted == 1
    deliver(fed, [gone("C2")], how=ANEW)
    for name in TABLES:
        table = next(t for t in schema.metadata.sorted_tables if t.name == name)
        assert rows_of(fed, table) == [], name
    assert rows_of(fed, schema.shred) == []


def test_a_deletion_opens_no_rejected_row_of_others(
    fed: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rejected 7: its own are found by their keys, written with escapes or with the id kept."""
    lines = [f'{{"card": "C{n}", "name": 1}}' for n in range(2, 40)]
    mine = ['{"card": "C1"}', '{"card": "\\u00431", "x": [}', "name;C1;", "C1\tname"]
    kept = replace(bad("{"), record_id=Sensitive("C1"))
    deliver(fed, [row("C1"), *map(bad, [*lines, *mine]), kept], 100)
    assert len(rows_of(fed, schema.reject)) == len(lines) + len(mine) + 1
    opened: list[object] = []
    monkeypatch.setattr(type(fed.vault), "open_reject", lambda *_: opened.append(1))
    assert deliver(fed, [gone("C1")], how=ANEW).deleted == 1
    assert (opened, len(rows_of(fed, schema.reject))) == ([], len(lines))


def test_a_row_that_was_not_looked_into_is_opened(fed: Workspace) -> None:
    """Of a release that kept none of the keys: it is found all the same."""
    deliver(fed, [row("C1"), bad('{"card": "C1"}'), bad('{"card": "C2"}')], 100)
    with fed.engine.begin() as connection:
        connection.execute(sa.update(schema.reject).values(record_keys=None))
    deliver(fed, [gone("C1")], how=ANEW)
    assert len(rows_of(fed, schema.reject)) == 1


def test_a_deleted_record_may_come_again_as_a_new_one(fed: Workspace) -> None:
    """Nothing bars it, and it begins at its first revision."""
    deliver(fed, [row("C1"), row("C1", "李娜")], 1)
    [old] = rows_of(fed, schema.record)
    deliver(fed, [gone("C1")], how=ANEW)
    deliver(fed, [row("C1")], how=ANEW)
    [new] = rows_of(fed, schema.record)
    assert new.id > old.id
    assert (new.revision, bytes(new.key)) == (1, bytes(old.key))


def test_a_frozen_record_stays_and_its_deletion_is_kept(fed: Workspace) -> None:
    """A person decided to keep it: the deletion stands among the rejected rows (3)."""
    deliver(fed, [row("C1")])
    with fed.engine.begin() as connection:
        connection.execute(sa.update(schema.record).values(state="frozen"))
    report = deliver(fed, [gone("C1")], how=ANEW)
    assert (report.deleted, report.rejected) == (0, 1)
    assert len(rows_of(fed, schema.record)) == 1
    [kept] = contents(fed)["rejects"]
    assert kept[4] == FROZEN


def test_a_deletion_waits_for_no_resolve(fed: Workspace) -> None:
    """While one is at work nothing is done, and the state stays where it was (5)."""
    deliver(fed, [row("C1")])
    before = contents(fed)
    with fed.engine.begin() as connection:
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtext('kith.resolve'))"))
        with pytest.raises(Exception, match="already_running"):
            deliver(fed, [row("C1"), gone("C1")])
    assert contents(fed) == before
    assert deliver(fed, [row("C1"), gone("C1")]).deleted == 1


def test_those_who_stay_are_as_if_it_had_never_been_there(
    fed: Workspace, fed_too: Workspace
) -> None:
    """People, golden fields and consent are those of a load without it (2, 4)."""
    crowd = [row(f"C{n}", name) for n, name in enumerate(("张敏", "李娜", "王芳", "赵磊") * 6, 1)]
    twin = row("C99", "张敏")
    object.__setattr__(twin, "fields", crowd[0].fields)
    deliver(fed, [*crowd, twin], 100)
    resolve(fed)
    assert any(one.size == 2 for one in rows_of(fed, schema.profile))
    report = deliver(fed, [gone("C99")], how=ANEW)
    assert report.deleted == 1
    events = [json.loads(one.line) for one in rows_of(fed, schema.audit_event)]
    [event] = [one for one in events if one["action"] == "source.delete"]
    assert (event["actor"], event["reason"]) == ("source:shop", "deleted_at_source")
    assert event["profile_id"]
    assert all(one.size == 1 for one in rows_of(fed, schema.profile))
    resolve(fed, full=True)
    epoch = rows_of(fed, schema.epoch)
    with fed_too.engine.begin() as connection:
        connection.execute(schema.epoch.insert(), [one._asdict() for one in epoch])
    deliver(fed_too, crowd, 100)
    resolve(fed_too)
    assert people(fed)["members"] == people(fed_too)["members"]
    assert SHOP["consent"]["purposes"] == rows_of(fed, schema.profile)[0].purposes
