"""Decisions that are not made: who may not, what contradicts, what says nothing."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from cdp.access.answers import Denial, DenialKind
from cdp.access.principals import subject_of
from cdp.cli.decisions import REPAIR
from cdp.errors import Refused
from cdp.resolution import decisions
from cdp.resolution.deciding import NO_SUCH_DECISION, Decided, Decider
from cdp.storage import schema
from cdp.workspace import Workspace
from tests.integration.decisions.town import (
    AGAIN,
    ANNA,
    BELLA,
    CARLA,
    decide,
    merge,
    not_same,
    number,
    own_id,
    settle,
    stored,
    undo,
)

pytestmark = pytest.mark.integration


def test_a_contradiction_is_refused_and_names_the_earlier_decision(shop: Workspace) -> None:
    """Who decided it, when, and what to do first (invariant 2); nothing is kept."""
    settle(shop, ANNA, BELLA, CARLA)
    anna, bella, carla = (own_id(shop, one) for one in (ANNA, BELLA, CARLA))
    merge(shop, anna, bella, who="zhao")
    merge(shop, bella, carla)
    before = stored(shop)
    with pytest.raises(Refused) as refused:
        not_same(shop, number(shop, ANNA), number(shop, CARLA))
    said = str(refused.value)
    assert "decision 2, by headquarters, at 2026-05-04T" in said
    assert "cdp identity undo 2" in said
    assert stored(shop) == before
    with shop.engine.connect() as connection:
        assert len(decisions.read(connection)) == 2
        second = decisions.read(connection, number=2)[0]
    assert second.actor == "headquarters"
    decide(shop, lambda by, on: by.undo(on, 2, "a mistake"), "zhao")
    not_same(shop, number(shop, ANNA), number(shop, CARLA))


def test_what_was_decided_needs_no_second_decision(shop: Workspace) -> None:
    """The same decision again is refused, and so is undoing twice."""
    settle(shop, ANNA, BELLA)
    anna, bella = own_id(shop, ANNA), own_id(shop, BELLA)
    made = not_same(shop, anna, bella)
    with pytest.raises(Refused, match="already_decided"):
        not_same(shop, bella, anna)
    undo(shop, made)
    with pytest.raises(Refused, match="already_undone"):
        undo(shop, made)
    merge(shop, anna, bella)
    with pytest.raises(Refused, match="already_one_profile"):
        merge(shop, anna, bella)


def test_a_split_names_records_of_the_profile_and_leaves_some(shop: Workspace) -> None:
    """Records of others, and all of the records, are refused."""
    settle(shop, ANNA, AGAIN, BELLA)
    anna = own_id(shop, ANNA)
    with pytest.raises(Refused, match="not_a_record_of_the_profile"):
        decide(shop, lambda by, on: by.split(on, anna, [number(shop, BELLA)], "why"))
    everything = [number(shop, ANNA), number(shop, AGAIN)]
    with pytest.raises(Refused, match="nothing_would_stay"):
        decide(shop, lambda by, on: by.split(on, anna, everything, "why"))


@pytest.mark.parametrize("who", ["clerk", "wires", "officer"])
def test_only_head_office_decides(shop: Workspace, who: str) -> None:
    """Others are told why not; the attempt is in the log, the decision is not (invariant 1)."""
    settle(shop, ANNA, BELLA)
    decider = Decider(shop, subject_of(shop, who), REPAIR)
    with shop.engine.begin() as connection:
        answer = decider.merge(connection, own_id(shop, ANNA), own_id(shop, BELLA), "seen")
    assert isinstance(answer, Denial)
    assert answer.kind is DenialKind.FORBIDDEN
    assert answer.sentence == "No policy line allows it."
    with shop.engine.connect() as connection:
        assert decisions.read(connection) == []
        event = schema.audit_event
        statement = sa.select(event.c.action, event.c.line).where(event.c.actor == who)
        rows = connection.execute(statement).all()
    assert [row.action for row in rows] == ["identity.merge"] * 2
    assert all('"decision":"deny"' in row.line for row in rows)


@contextmanager
def statements(workspace: Workspace) -> Iterator[list[str]]:
    """What the database is asked meanwhile."""
    asked: list[str] = []

    def note(*call: object) -> None:
        asked.append(str(call[2]))

    sa.event.listen(workspace.engine, "before_cursor_execute", note)
    yield asked
    sa.event.remove(workspace.engine, "before_cursor_execute", note)


@pytest.mark.parametrize("who", ["north", "clerk"])
def test_a_decision_that_is_not_there_answers_like_one_of_others(shop: Workspace, who: str) -> None:
    """One answer, after the same look-ups, whatever was decided about others (invariant 8)."""
    settle(shop, ANNA, AGAIN, BELLA, CARLA)
    anna, again = own_id(shop, ANNA), number(shop, AGAIN)
    merge(shop, own_id(shop, BELLA), own_id(shop, CARLA))
    undo(shop, decide(shop, lambda by, on: by.split(on, anna, [again], "two passports")))
    asked, answers = [], set()
    for decision in (1, 2, 99):
        with statements(shop) as noted, shop.engine.begin() as connection:
            answers.add(
                Decider(shop, subject_of(shop, who), REPAIR).undo(connection, decision, "why")
            )
        # One event, or one for each of two people, goes into the log with one statement.
        asked.append([statement.partition("(")[0] for statement in noted])
    assert len(answers) == 1
    answer = answers.pop()
    assert isinstance(answer, Denial)
    assert answer == NO_SUCH_DECISION or who == "clerk"
    assert asked[0] == asked[1] == asked[2]
    event = schema.audit_event
    with shop.engine.connect() as connection:
        statement = sa.select(event.c.line).where(event.c.actor == who)
        lines = list(connection.scalars(statement))
    assert len(lines) >= 3
    assert all('"decision":"deny"' in line and "identity.undo" in line for line in lines)


def test_who_may_take_back_everything_is_told_that_there_is_no_such_decision(
    shop: Workspace,
) -> None:
    """Head office sees all decisions; a number that none has is answered, and logged."""
    with shop.engine.begin() as connection:
        answer = Decider(shop, subject_of(shop, "headquarters"), REPAIR).undo(connection, 99, "why")
    assert answer == NO_SUCH_DECISION
    assert "cdp identity decisions" in NO_SUCH_DECISION.sentence


@pytest.mark.parametrize("reason", ["", "   ", "she called from 13957140286"])
def test_a_decision_needs_a_reason_without_personal_data(shop: Workspace, reason: str) -> None:
    """An empty reason, and one that holds a phone, is refused."""
    settle(shop, ANNA, BELLA)
    decider = Decider(shop, subject_of(shop, "headquarters"), REPAIR)
    with shop.engine.begin() as connection:
        answer = decider.merge(connection, own_id(shop, ANNA), own_id(shop, BELLA), reason)
        assert decisions.read(connection) == []
    assert isinstance(answer, Denial)
    assert answer.kind is DenialKind.UNUSABLE


def test_the_event_is_written_before_the_decision(shop: Workspace) -> None:
    """When the log cannot be written, nothing is decided (invariant 1)."""
    settle(shop, ANNA, BELLA)
    before = stored(shop)
    with shop.engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE kith.audit_event RENAME TO gone"))
    with pytest.raises(sa.exc.ProgrammingError):
        merge(shop, own_id(shop, ANNA), own_id(shop, BELLA))
    with shop.engine.connect() as connection:
        assert decisions.read(connection) == []
    assert stored(shop) == before


def test_a_rehearsal_changes_nothing_and_says_what_would(shop: Workspace) -> None:
    """Rolled back, a decision leaves no row; what it answered is what it would do."""
    settle(shop, ANNA, BELLA)
    before = stored(shop)
    decider = Decider(shop, subject_of(shop, "headquarters"), REPAIR)
    with shop.engine.connect() as connection:
        answer = decider.merge(connection, own_id(shop, ANNA), own_id(shop, BELLA), "seen")
        connection.rollback()
    assert isinstance(answer, Decided)
    assert answer.outcome.merged == 1
    assert stored(shop) == before


def test_two_who_decide_at_once_decide_one_after_the_other(shop: Workspace) -> None:
    """Of two decisions that contradict, made at one time, exactly one is kept (invariant 4)."""
    settle(shop, ANNA, BELLA)
    anna, bella = own_id(shop, ANNA), own_id(shop, BELLA)

    def attempt(work: Callable[[], Decided]) -> str:
        try:
            return work().decision.kind.value
        except Refused as error:
            return error.rule

    with ThreadPoolExecutor(2) as pool:
        works = (lambda: merge(shop, anna, bella), lambda: not_same(shop, anna, bella))
        said = sorted(pool.map(attempt, works))
    # The second either contradicts, or finds both ids leading to one profile and contradicts.
    assert said in (
        ["contradicts an earlier decision (merge)", "merge"],
        ["contradicts an earlier decision (not same)", "not_same"],
    )
    with shop.engine.connect() as connection:
        assert len(decisions.read(connection, counting=True)) == 1
