"""The laws that need a stage: what a connector does when its system changes and fails.

Beside the laws of sources (``connectors/testing.py``) and of feeds
(``connectors/testing_feeds.py``). Each takes a ``Trial`` whose stage holds the sample, and raises
``AssertionError`` with one sentence when it is broken, ``NotStaged`` where it does not apply.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import islice
from typing import Final

from connectors.base import Deleted, Delivery, Finding, Level, Mark, Source, State
from connectors.errors import ConnectorError, Retry, Stop
from connectors.record import Record, Rejection
from connectors.testing import opened, require
from connectors.testing_feeds import applied
from connectors.testing_stage import COLUMNS, SAMPLE, Failure, NotStaged, Row, Trial, records_of

FIRST: Final = SAMPLE[0]
_LATER: Final = "2026-03-01 11:00:00"


def values_come_as_they_are(trial: Trial) -> None:
    """Text keeps its zeros, digits, quotes and letters; an integer is one; empty is absent."""
    records = records_of(trial.rows())
    require(len(records) == len(SAMPLE), f"{len(SAMPLE)} rows gave {len(records)} records")
    for row in SAMPLE:
        require(row["id"] in records, f"record id {row['id']} of the sample came otherwise")
        record = records[row["id"]]
        for field in ("name", "phone"):
            given = [opened(one.value) for one in record.fields.get(field, ())]
            wanted = [row[field]] if field in row else []
            require(given == wanted, f"{field} of the sample's record {row['id']} differs")
        visits = record.attributes.get("visits")
        wanted_visits = int(row["visits"]) if "visits" in row else None
        same = visits == wanted_visits and isinstance(visits, int) == ("visits" in row)
        require(same, f"visits of the sample's record {row['id']} differs")


def a_row_without_an_id_is_rejected(trial: Trial) -> None:
    """A row that names no record is a rejection; the others are read."""
    trial.stage.put([{"name": "canary-nobody", "phone": "canary-9", "updated": _LATER}])
    rows = trial.rows()
    require(len(records_of(rows)) == len(SAMPLE), "other rows are lost")
    require(any(isinstance(one, Rejection) for one in rows), "it is not rejected")


def what_came_since_is_read(trial: Trial) -> None:
    """Read on from the last state, a feed gives what is new and what changed."""
    before, state = _to_the_end(trial)
    trial.stage.put([_row("900000011", _LATER), {**FIRST, "updated": _LATER, "name": "canary-1b"}])
    since = list(trial.feed().read(state))
    left = records_of([one for one in before + since if isinstance(one, Record)])
    require("900000011" in left, "a new row is not read")
    require(_name(left[FIRST["id"]]) == "canary-1b", "a changed row is not read")


def the_same_rows_again_change_nothing(trial: Trial) -> None:
    """Rows that the system holds or sends twice leave the same records."""
    before = _said(records_of(trial.rows()))
    trial.stage.put(SAMPLE)
    require(_said(records_of(trial.rows())) == before, "other records are left")


def a_late_row_is_read(trial: Trial) -> None:
    """A row that appears late, with an older time, is read."""
    if not trial.stage.takes_late_rows:
        raise NotStaged("Stage.takes_late_rows is False: declare an overlap to have them")
    _, state = _to_the_end(trial)
    trial.stage.put([_row("900000012", "2026-03-01 09:45:00")])
    since = list(trial.feed().read(state))
    require("900000012" in applied(since), "it is not read")


def an_order_grows_with_time(trial: Trial) -> None:
    """Of two rows the later has the greater order, and all rows have one or none has."""
    times = {row["id"]: row["updated"] for row in SAMPLE}
    found = [one for one in trial.feed().read(None) if isinstance(one, Record)]
    ordered = [one for one in found if one.order is not None]
    if not ordered:
        raise NotStaged("it gives no order: what comes later counts")
    require(len(ordered) == len(found), "some rows have an order and some have none")
    by_order = sorted(ordered, key=lambda one: one.order or 0)
    stamps = [times[opened(one.record_id)] for one in by_order]
    require(stamps == sorted(stamps), "a later row has a smaller order")


def the_newest_row_counts(trial: Trial) -> None:
    """A row that comes out of order does not replace a newer one of its record."""
    number = FIRST["id"]
    trial.stage.put([{**FIRST, "name": "canary-newer", "updated": "2026-03-01 12:00:00"}])
    trial.stage.put([{**FIRST, "name": "canary-older", "updated": "2026-03-01 11:30:00"}])
    given = list(trial.feed().read(None))
    mine = [one for one in given if isinstance(one, Record) and opened(one.record_id) == number]
    if len(mine) < 2:
        raise NotStaged("the system keeps one row of a record")
    if all(one.order is None for one in mine):
        raise NotStaged("it gives no order: what comes later counts")
    newest = [one for one in mine if _name(one) == "canary-newer"]
    require(bool(newest), "the newest row is not given")
    left = applied(given).get(number)
    require(left is not None and "canary-newer" in str(left), "an older row is left")


def a_deletion_is_told(trial: Trial) -> None:
    """A deleted record is told as deleted, from the last state on; it may come again."""
    before, state = _to_the_end(trial)
    trial.stage.delete([FIRST["id"]])
    since = list(trial.feed().read(state))
    gone = {opened(one.record_id) for one in since if isinstance(one, Deleted)}
    require(gone == {FIRST["id"]}, f"{len(gone)} deletions are told, not this one")
    require(FIRST["id"] not in applied([*before, *since]), "the record is left")
    later = _last(since) or state
    trial.stage.put([{**FIRST, "updated": "2026-03-01 13:00:00"}])
    again = list(trial.feed().read(later))
    require(FIRST["id"] in applied([*before, *since, *again]), "it cannot come again")


def a_new_column_changes_nothing(trial: Trial) -> None:
    """A column that nobody mapped is passed over."""
    before = _said(records_of(trial.rows()))
    trial.stage.columns((*COLUMNS, "shoe_size"))
    require(not _errors(trial.open().check()), "check finds an error")
    require(_said(records_of(trial.rows())) == before, "other records are left")


def a_lost_column_is_told(trial: Trial) -> None:
    """A mapped column that is gone is told by check; no value takes its place."""
    before = records_of(trial.rows())
    trial.stage.columns(tuple(one for one in COLUMNS if one != "phone"))
    told = [one for one in trial.open().check() if one.level is not Level.NOTE]
    require(bool(told) and all(one.next_step for one in told), "check says nothing of it")
    try:
        after = records_of(trial.rows())
    except Stop as stop:
        require(bool(stop.next_step), "the Stop has no next step")
        return
    require(after.keys() == before.keys(), "records are lost")
    for number, record in after.items():
        require("phone" not in record.fields, "another value stands in its place")
        require(_name(record) == _name(before[number]), "another field changed")


def a_lost_id_makes_no_record(trial: Trial) -> None:
    """Where the record id is gone, check finds an error, and no row becomes a record."""
    trial.stage.columns(tuple(one for one in COLUMNS if one != "id"))
    require(bool(_errors(trial.open().check())), "check finds nothing")
    try:
        rows = trial.rows()
    except Stop as stop:
        require(bool(stop.next_step), "the Stop has no next step")
        return
    require(not records_of(rows), "a row became a record")


def a_retyped_column_loses_no_row(trial: Trial) -> None:
    """A number that became text costs its field or its row, with a rule, and no other row."""
    trial.stage.put([{**_row("900000013", _LATER), "visits": "canary-many"}])
    try:
        rows = trial.rows()
    except Stop as stop:
        require(bool(stop.next_step), "the Stop has no next step")
        return
    records = records_of(rows)
    mine = records.pop("900000013", None)
    rejected = [one for one in rows if isinstance(one, Rejection)]
    require(len(records) == len(SAMPLE), "other rows are lost")
    require(mine is not None or bool(rejected), "the row is lost")
    if mine is not None:
        told = any(one.field == "visits" and one.rule for one in mine.problems)
        require(told and "visits" not in mine.attributes, "its value is lost in silence")


def a_wrong_credential_stops(trial: Trial) -> None:
    """A refused credential is an ERROR of check and a Stop of read, which says what to change."""
    trial.stage.fail(Failure.REFUSED)
    require(bool(_errors(trial.open().check())), "check finds nothing")
    error = _error_of(trial)
    require(isinstance(error, Stop), "read does not stop")
    require(isinstance(error, Stop) and bool(error.next_step), "the Stop has no next step")


def being_asked_to_wait_loses_nothing(trial: Trial) -> None:
    """A limit of calls is waited for, or a Retry; afterwards everything is read."""
    trial.stage.fail(Failure.BUSY)
    try:
        found = records_of(trial.rows())
        require(len(found) == len(SAMPLE), "the reading ends early, as if all had been read")
    except ConnectorError as error:
        require(isinstance(error, Retry), "it ends for good: give a Retry")
    trial.stage.fail(None)
    found = records_of(trial.rows())
    require(len(found) == len(SAMPLE), "rows are lost")


def being_away_is_told(trial: Trial) -> None:
    """A system that cannot be reached is a Retry or a Stop, never an end of the rows."""
    trial.stage.fail(Failure.AWAY)
    require(bool(_errors(trial.open().check())), "check finds nothing")
    require(_error_of(trial) is not None, "the reading ends as if all had been read")
    trial.stage.fail(None)
    require(len(records_of(trial.rows())) == len(SAMPLE), "rows are lost afterwards")


def no_failure_shows_a_value(trial: Trial) -> None:
    """No error, finding or repr shows a value or a secret, however the system fails."""
    shown: list[str] = []
    for how in Failure:
        try:
            trial.stage.fail(how)
        except NotStaged:
            continue
        shown += [repr(trial.open()), repr(trial.open().check())]
        error = _error_of(trial)
        shown += [str(error), repr(error), repr(getattr(error, "__cause__", None))]
        shown += [repr(getattr(error, "__context__", None))] if _shows_context(error) else []
        trial.stage.fail(None)
    if not shown:
        raise NotStaged("Stage.fail is not written")
    require(not any(one in text for text in shown for one in trial.canaries), "a value shows")


def cancelling_leaves_nothing_open(trial: Trial) -> None:
    """A reading that is closed after any of its rows holds nothing open."""
    many = len(trial.rows())
    before = trial.stage.left_open()
    for count in range(1, min(many, 5) + 1):
        with closing(_reading(trial)) as given:  # type: ignore[type-var]  # a generator
            for _ in islice(given, count):
                pass
        require(trial.stage.left_open() == before, f"closed after {count}, something stays open")


STAGED_LAWS: Final[tuple[Callable[[Trial], None], ...]] = (
    values_come_as_they_are,
    a_row_without_an_id_is_rejected,
    the_same_rows_again_change_nothing,
    a_new_column_changes_nothing,
    a_lost_column_is_told,
    a_lost_id_makes_no_record,
    a_retyped_column_loses_no_row,
    a_wrong_credential_stops,
    being_asked_to_wait_loses_nothing,
    being_away_is_told,
    no_failure_shows_a_value,
    cancelling_leaves_nothing_open,
)
STAGED_FEED_LAWS: Final[tuple[Callable[[Trial], None], ...]] = (
    what_came_since_is_read,
    a_late_row_is_read,
    an_order_grows_with_time,
    the_newest_row_counts,
    a_deletion_is_told,
)


# ── inside ──────────────────────────────────────────────────────────────────


def _to_the_end(trial: Trial) -> tuple[list[Delivery], State]:
    """Everything that is given, and the last state."""
    given = list(trial.feed().read(None))
    state = _last(given)
    require(state is not None, "a reading ends without a mark")
    assert state is not None  # noqa: S101 - for the type checker
    return given, state


def _last(given: Iterable[Delivery]) -> State | None:
    states = [one.state for one in given if isinstance(one, Mark)]
    return State.of(states[-1].text()) if states else None  # kept as text and read back


def _reading(trial: Trial) -> Iterator[object]:
    made = trial.open()
    return trial.source().read() if isinstance(made, Source) else trial.feed().read(None)


def _error_of(trial: Trial) -> ConnectorError | None:
    """What ends a reading to the end; None: nothing did."""
    try:
        trial.rows()
    except ConnectorError as error:
        return error
    return None


def _shows_context(error: BaseException | None) -> bool:
    """Whether a traceback of it would show what it was raised from."""
    return error is not None and not error.__suppress_context__


def _errors(findings: Iterable[Finding]) -> list[Finding]:
    return [one for one in findings if one.level is Level.ERROR]


def _row(number: str, updated: str) -> Row:
    return {"id": number, "name": f"canary-{number}", "visits": "1", "updated": updated}


def _name(record: Record) -> str:
    return "".join(opened(one.value) for one in record.fields.get("name", ()))


def _said(records: dict[str, Record]) -> dict[str, tuple[object, ...]]:
    return {
        number: (
            {name: [opened(v.value) for v in values] for name, values in one.fields.items()},
            dict(one.attributes),
        )
        for number, one in records.items()
    }
