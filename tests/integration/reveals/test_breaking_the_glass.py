"""The broken glass: at once, loud, and reviewed: `cdp/access/reveal_gate.py`."""

import io
import json
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
import structlog

from cdp.access import reveals
from cdp.access.answers import Denial, DenialKind, Revealed
from cdp.access.principals import subject_of
from cdp.access.reveal_states import Act, Request, State
from cdp.access.second_person import SecondPerson, Status
from cdp.storage import schema
from tests.integration.access.shop import NATIONAL_ID, NOBODY_ID, PHONE, VALUES
from tests.integration.reveals.house import House, code

pytestmark = pytest.mark.integration


@pytest.fixture
def written():
    """What the log writes."""
    before, out = structlog.get_config(), io.StringIO()
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.processors.JSONRenderer()],
        logger_factory=structlog.PrintLoggerFactory(file=out),
    )
    yield lambda: [json.loads(line) for line in out.getvalue().splitlines()]
    structlog.configure(**before)


def broken(house: House, who: str = "headquarters") -> str:
    """Break the glass over Ada's ID number; return its id."""
    shown = house.broken(who, house.ada, "national_id", "fraud")
    assert isinstance(shown, Revealed), shown
    assert shown.request
    return shown.request


def test_it_works_at_once_and_is_loud(house: House, written) -> None:
    """Reveal gate 4: the value, an event of its own, a warning and a review that waits."""
    shown = house.broken("headquarters", house.ada, "national_id", "fraud")
    assert isinstance(shown, Revealed)
    assert shown.value == NATIONAL_ID
    assert shown.review_by is not None
    assert (shown.review_by - house.now).total_seconds() == 72 * 3600
    event = house.events()[-1]
    assert (event["action"], event["decision"], event["detail"]) == (
        "profile.break_glass", "allow", "Points stolen, case 4711",
    )  # fmt: skip
    (line,) = written()
    assert (line["level"], line["event"], line["principal"]) == (
        "warning", "glass_broken", "headquarters",
    )  # fmt: skip
    assert not [value for value in VALUES if value in str(line) + str(event) + repr(shown)]
    (waiting,) = house.listed("officer", State.TO_REVIEW)
    assert waiting.id == shown.request


def test_it_goes_beyond_the_limits_and_nothing_else(house: House) -> None:
    """Reveal gate 4: neither the rows nor an absent right are stretched."""
    house.declare(reveals={"per_hour": 1, "people_per_hour": 1, "sensitive_per_hour": 1})
    assert code(house.reveal("manager.bj01", house.ada)) == "shown"
    assert code(house.reveal("manager.bj01", house.ada)) == "reveal_limit"
    shown = house.broken("manager.bj01", house.ada)
    assert isinstance(shown, Revealed)
    assert shown.value == PHONE
    for who, person, field, purpose, reason in [
        ("manager.bj01", house.far, "phone", "service", "not_found"),
        ("manager.bj01", NOBODY_ID, "phone", "service", "not_found"),
        ("manager.bj01", house.ada, "national_id", "service", "denied"),
        ("manager.bj01", house.ada, "national_id", "fraud", "no_rule"),
        ("clerk.bj01", house.ada, "phone", "service", "denied"),
        ("operator", house.ada, "phone", "service", "no_rule"),
        ("headquarters", house.ada, "birth_date", "fraud", "no_rule"),
    ]:
        assert code(house.broken(who, person, field, purpose)) == reason, (who, field, purpose)
    assert house.rows() == (2, 1)


def test_it_waits_for_review_also_where_nothing_was_behind_it(house: House) -> None:
    """Reveal gate 4: whoever broke it hears whether there was a value, so it is reviewed."""
    assert code(house.broken("headquarters", house.far, "national_id", "fraud")) == "no_value"
    (waiting,) = house.listed("officer", State.TO_REVIEW)
    assert waiting.profile_id == house.far


def test_somebody_else_reviews_it_with_a_comment(house: House) -> None:
    """Second person 1: not the one who broke it, not somebody who may not approve."""
    mine = broken(house)
    assert code(house.judge("headquarters", mine, Act.JUSTIFY)) == "own_request"
    assert code(house.judge("second", mine, Act.JUSTIFY)) == "no_such_request"
    assert code(house.judge("officer", mine, Act.JUSTIFY, None)) == "comment_missing"
    assert code(house.judge("officer", mine, Act.JUSTIFY, " ")) == "comment_missing"
    assert code(house.judge("officer", mine, Act.APPROVE)) == "request_settled"
    done = house.judge("officer", mine, Act.JUSTIFY, "Seen the case")
    assert isinstance(done, Request)
    assert (done.state, done.comment) == (State.JUSTIFIED, "Seen the case")
    assert house.events()[-1]["action"] == "reveal.review"
    assert code(house.judge("compliance", mine, Act.FAULT)) == "request_settled"


def test_who_has_an_unreviewed_one_past_its_time_is_barred(house: House) -> None:
    """Reveal gate 4: also when the clock is set back, until a review justifies it."""
    mine = broken(house)
    house.later(hours=71)
    again = broken(house)
    house.later(hours=1)
    assert code(house.broken("headquarters", house.ada, "national_id", "fraud")) == "glass_barred"
    assert house.state(mine) == "overdue"
    house.later(hours=-10)
    assert code(house.broken("headquarters", house.ada, "national_id", "fraud")) == "glass_barred"
    assert code(house.broken("second", house.ada, "national_id", "fraud")) == "shown"
    for one in (mine, again):
        assert isinstance(house.judge("officer", one, Act.JUSTIFY), Request)
    broken(house)


def test_who_was_found_not_justified_is_barred_until_a_review_says_otherwise(house: House) -> None:
    """Reveal gate 4: a later review may still justify it; until then the glass holds."""
    mine = broken(house)
    assert isinstance(house.judge("officer", mine, Act.FAULT, "No case"), Request)
    denial = house.broken("headquarters", house.ada, "phone", "fraud")
    assert isinstance(denial, Denial)
    assert (denial.kind, denial.reason) == (DenialKind.FORBIDDEN, "glass_barred")
    assert code(house.reveal("headquarters", house.ada, "phone", "fraud")) == "shown"
    assert isinstance(house.judge("compliance", mine, Act.JUSTIFY, "Case found"), Request)
    broken(house)


@pytest.mark.parametrize("how", ["judged", "overdue"])
def test_the_bar_holds_however_often_it_was_broken(house: House, monkeypatch, how: str) -> None:
    """Reveals 5: one among more glasses than a list shows bars as well."""
    monkeypatch.setattr(reveals, "MOST_LISTED", 3)
    first = broken(house)
    house.later(hours=71)
    for _ in range(4):
        broken(house)
    if how == "judged":
        assert isinstance(house.judge("officer", first, Act.FAULT, "No case"), Request)
    else:
        house.later(hours=1)
    assert code(house.broken("headquarters", house.ada, "national_id", "fraud")) == "glass_barred"


def all_pages(house: House, *states: State) -> Iterator[Request]:
    """What the officer's lists show, one after the other."""
    after: str | None = None
    while True:
        page = house.page("officer", *states, after=after)
        assert len(page.requests) <= 3
        yield from page.requests
        after = page.after
        if after is None:
            return


def test_the_oldest_is_reviewed_first(house: House, monkeypatch) -> None:
    """Reveals 5: who breaks it often hides none; each is listed once, and also while reviewed."""
    monkeypatch.setattr(reveals, "MOST_LISTED", 3)
    first, done = broken(house), house.granted("second").id
    made = [first]
    for _ in range(6):
        house.later(minutes=1)
        made.append(broken(house))
    house.later(minutes=1)
    asked = house.ask("headquarters", house.ada)
    assert isinstance(asked, Request)
    assert [one.id for one in all_pages(house)] == [*made, asked.id, done]
    seen = []
    for one in all_pages(house, State.TO_REVIEW):
        seen.append(one.id)
        if len(seen) % 3 == 0:  # the last of a page
            house.judge("officer", one.id, Act.JUSTIFY)
    assert seen == made
    with house.engine.begin() as connection:
        officer = subject_of(house.workspace, "officer")
        desk = SecondPerson(house.workspace)
        status = desk.status(connection, officer)
        for text in ("", "1", "1-5", "2-5-abc", "1-5-A", "1-99999999999999999-a", "1-5-a\n", "\0"):
            assert code(desk.listed(connection, officer, after=text)) == "cursor_unusable"
    assert isinstance(status, Status)
    assert [one.id for one in status.to_review] == [*made[:2], made[3]]
    assert [one.id for one in status.to_judge] == [asked.id]


def test_a_node_that_is_gone_hides_no_glass(house: House) -> None:
    """Second person 1: whoever may at a brand reviews it; what waits there is not approved."""
    shown, asked = house.broken("manager.bj01", house.ada), house.ask("headquarters", house.ada)
    assert isinstance(shown, Revealed)
    assert isinstance(asked, Request)
    with house.engine.begin() as connection:
        connection.execute(sa.update(schema.reveal_request).values(node="CLOSED"))
    house.declare(
        principals=[
            *house.written()["principals"],
            {"id": "northern", "role": "compliance", "node": "north"},
        ]
    )
    mine = str(shown.request)
    assert house.listed("northern") == []
    assert code(house.judge("northern", mine, Act.JUSTIFY)) == "no_such_request"
    assert [one.id for one in house.listed("officer")] == [mine]
    assert code(house.judge("officer", asked.id, Act.APPROVE)) == "no_such_request"
    assert code(house.judge("officer", mine, Act.JUSTIFY)) == "done"


def test_nobody_is_told_of_a_person_by_a_barred_glass(house: House) -> None:
    """Reveal gate 5: whoever is barred hears the same of everybody."""
    house.judge("officer", broken(house), Act.FAULT, "No case")
    answers = {house.broken("headquarters", p, "phone") for p in (house.ada, NOBODY_ID)}
    assert {one.reason for one in answers if isinstance(one, Denial)} == {"glass_barred"}
    assert len(answers) == 1


def test_a_destroyed_person_leaves_the_review_behind(house: House) -> None:
    """The id goes with the person; who broke the glass, when and why stays to be reviewed."""
    mine = broken(house)
    with house.engine.begin() as connection:
        for table in (schema.reveal, schema.reveal_request):
            connection.execute(sa.update(table).values(profile_id=None))
    (waiting,) = house.listed("officer", State.TO_REVIEW)
    assert waiting.profile_id is None
    done = house.judge("officer", mine, Act.JUSTIFY)
    assert isinstance(done, Request)
