"""What is seen of decisions: history at any time, the review queue, labels."""

import datetime as dt

import pytest

from cdp.access.principals import subject_of
from cdp.resolution import decisions, history, review
from cdp.resolution.permission import Permission
from cdp.workspace import Workspace
from policies.vocabulary import Action
from tests.integration.decisions.town import (
    ANNA,
    BELLA,
    CARLA,
    merge,
    not_same,
    number,
    own_id,
    settle,
    undo,
)

pytestmark = pytest.mark.integration


def test_history_tells_who_a_profile_was_at_any_time(shop: Workspace) -> None:
    """Members, the way of an old id, events and decisions, as they were known then."""
    settle(shop, ANNA, BELLA)
    anna, bella = own_id(shop, ANNA), own_id(shop, BELLA)
    alone = shop.now()
    made = merge(shop, anna, bella)
    together = shop.now()
    undo(shop, made)
    apart = shop.now()
    with shop.engine.connect() as connection:
        then = [history.at_time(connection, bella, at) for at in (alone, together, apart)]
        early = history.at_time(connection, bella, alone - dt.timedelta(days=1))
    records = [number(shop, ANNA), number(shop, BELLA)]
    assert [one.led_to for one in then] == [bella, anna, bella]
    assert [[m.record_id for m in one.members] for one in then] == [
        records[1:], records, records[1:],
    ]  # fmt: skip
    assert [[e.kind for e in one.events] for one in then] == [
        ["created"], ["created", "merged"], ["created", "merged", "split"],
    ]  # fmt: skip
    assert [[d.undone_by for d in one.decisions] for one in then] == [[], [None], ["headquarters"]]
    assert (early.led_to, early.members, early.events, early.decisions) == (None, (), (), ())


def queue(workspace: Workspace) -> list[review.Suggestion]:
    subject = subject_of(workspace, "headquarters")
    permission = Permission(workspace, subject, Action.MERGE, "identity.review")
    with workspace.engine.connect() as connection:
        return review.queue(connection, permission)


def test_the_queue_holds_pairs_to_judge_and_lets_go_of_the_judged(
    copied: Workspace,
) -> None:
    """Pairs stand in three classes, most change first; a decided pair leaves, undone it is back."""
    workspace = copied
    waiting = queue(workspace)
    assert waiting
    order = [list(review.Advice).index(one.advice) for one in waiting]
    assert order == sorted(order)
    for advice in review.Advice:
        worth = [one.records * one.bits for one in waiting if one.advice is advice]
        assert worth == sorted(worth, reverse=True)
    assert all(one.reasons and one.findings for one in waiting)
    first = waiting[0]
    made = not_same(workspace, first.one, first.other)
    left = queue(workspace)
    assert {(one.one, one.other) for one in waiting} - {(one.one, one.other) for one in left} == {
        (first.one, first.other)
    }
    with workspace.engine.connect() as connection:
        judged = decisions.labels(connection)
    low, high, same = judged[0]
    assert (len(judged), low < high, same) == (1, True, False)
    undo(workspace, made)
    assert queue(workspace) == waiting


def test_a_chain_of_merges_is_one_person_in_the_labels(shop: Workspace) -> None:
    """Decisions that count are pairs to measure with; undone ones are not."""
    settle(shop, ANNA, BELLA, CARLA)
    anna, bella, carla = (number(shop, one) for one in (ANNA, BELLA, CARLA))
    made = merge(shop, own_id(shop, ANNA), own_id(shop, BELLA))
    not_same(shop, own_id(shop, ANNA), own_id(shop, CARLA))
    with shop.engine.connect() as connection:
        assert decisions.labels(connection) == [(anna, bella, True), (anna, carla, False)]
    undo(shop, made)
    with shop.engine.connect() as connection:
        assert decisions.labels(connection) == [(anna, carla, False)]
