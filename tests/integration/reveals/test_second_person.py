"""Dual approval of the sensitive tier: `cdp/access/reveal_gate.py`, `second_person.py`."""

import pytest
import sqlalchemy as sa

from cdp.access.answers import Denial, Revealed
from cdp.access.reveal_states import Act, Request, State
from cdp.storage import schema
from tests.integration.access.shop import NATIONAL_ID, NOBODY_ID, VALUES
from tests.integration.reveals.house import PEOPLE, House, code

pytestmark = pytest.mark.integration


def test_a_sensitive_field_needs_a_second_person_and_is_shown_once(house: House) -> None:
    """Reveal gate 1: refused without a grant, shown once with it, refused again."""
    assert code(house.reveal("headquarters", house.ada, "national_id", "fraud")) == "needs_approval"
    grant = house.granted()
    shown = house.reveal("headquarters", house.ada, "national_id", "fraud")
    assert isinstance(shown, Revealed)
    assert (shown.value, shown.request) == (NATIONAL_ID, grant.id)
    assert house.state(grant.id) == "used"
    assert code(house.reveal("headquarters", house.ada, "national_id", "fraud")) == "needs_approval"
    told = [(e["actor"], e["action"], e["decision"], e["detail"]) for e in house.events()]
    assert told[1:4] == [
        ("headquarters", "reveal.request", "allow", "Points stolen, case 4711"),
        ("officer", "reveal.approve", "allow", f"request {grant.id}: Seen"),
        ("headquarters", "profile.reveal", "allow", "Points stolen, case 4711"),
    ]
    assert not [value for value in VALUES if value in str(house.events()) + repr(shown)]


def test_a_grant_is_for_one_person_field_purpose_and_requester(house: House) -> None:
    """Reveal gate 1: nothing else than what was asked for is shown under it."""
    house.granted()
    for who, person, field, purpose in [
        ("second", house.ada, "national_id", "fraud"),
        ("headquarters", house.far, "national_id", "fraud"),
        ("headquarters", house.ada, "bank_card", "fraud"),
    ]:
        assert code(house.reveal(who, person, field, purpose)) == "needs_approval"
    assert code(house.reveal("headquarters", house.ada, "national_id", "service")) == "denied"
    assert code(house.reveal("headquarters", house.ada, "national_id", "fraud")) == "shown"


def test_a_grant_ends_and_a_clock_set_back_brings_nothing_back(house: House) -> None:
    """Reveals 4: after its end nothing is shown, whatever the clock says later."""
    grant = house.granted()
    assert (grant.ends_at - house.now).total_seconds() == 15 * 60
    house.later(minutes=15)
    assert code(house.reveal("headquarters", house.ada, "national_id", "fraud")) == "needs_approval"
    assert house.state(grant.id) == "expired"
    house.later(minutes=-10)
    assert code(house.reveal("headquarters", house.ada, "national_id", "fraud")) == "needs_approval"


def test_a_clock_that_was_set_back_ends_a_grant(house: House) -> None:
    """Reveals 4: how long a grant was there cannot be told any more, so it has ended."""
    grant = house.granted()
    house.later(minutes=-1)
    assert code(house.reveal("headquarters", house.ada, "national_id", "fraud")) == "needs_approval"
    assert house.state(grant.id) == "expired"


def test_nobody_approves_their_own_and_nobody_else_knows_of_it(house: House) -> None:
    """Second person 1 and 2: one's own is refused; who is not above hears that there is none."""
    asked = house.ask("headquarters", house.ada)
    assert isinstance(asked, Request)
    assert code(house.judge("headquarters", asked.id, Act.APPROVE)) == "own_request"
    before = len(house.events())
    answers = [
        house.judge(who, request_id, Act.APPROVE)
        for who in ("second", "south", "manager.bj01", "clerk.bj01", "operator")
        for request_id in (asked.id, "nosuchrequest")
    ]
    assert {(one.reason, one.sentence) for one in answers if isinstance(one, Denial)} == {
        ("no_such_request", "There is no such request among those you may judge.")
    }
    told = [{k: e[k] for k in e if k != "at"} for e in house.events()[before:]]
    assert all(told[place] == told[place + 1] for place in range(0, len(told), 2))
    assert len(told) == 10
    assert house.state(asked.id) == "open"


def test_the_second_person_sees_no_value_and_nothing_of_the_person(house: House) -> None:
    """Second person 3: who asks, field, purpose, reason and id; others' lists are empty."""
    asked = house.ask("headquarters", house.ada)
    assert isinstance(asked, Request)
    (seen,) = house.listed("officer")
    assert seen == asked
    assert (seen.requester.id, seen.profile_id, seen.field) == (
        "headquarters", house.ada, "national_id",
    )  # fmt: skip
    assert not [value for value in VALUES if value in repr(seen)]
    assert house.listed("headquarters") == [asked]
    for who in ("second", "south", "manager.bj01", "clerk.bj01"):
        assert house.listed(who) == []


def test_a_request_is_judged_once(house: House) -> None:
    """Second person 5: what is settled stays settled, and the refusal is in the log."""
    for before, then, answer in [
        (Act.APPROVE, Act.APPROVE, "request_settled"),
        (Act.REJECT, Act.APPROVE, "request_settled"),
        (None, Act.JUSTIFY, "request_settled"),
        (None, Act.REJECT, "done"),
    ]:
        asked = house.ask("headquarters", house.ada)
        assert isinstance(asked, Request)
        if before:
            assert isinstance(house.judge("officer", asked.id, before), Request)
        assert code(house.judge("compliance", asked.id, then)) == answer
        assert house.events()[-1]["decision"] == ("allow" if answer == "done" else "deny")
        house.withdraw("headquarters", asked.id)


def test_withdrawn_rejected_and_expired_requests_show_nothing(house: House) -> None:
    """Reveal gate 1: only an approved request that stands shows anything."""
    for end in ("withdraw", "reject", "expire", "withdraw after approval"):
        asked = house.ask("headquarters", house.ada)
        assert isinstance(asked, Request), end
        if end == "withdraw after approval":
            house.judge("officer", asked.id, Act.APPROVE)
        if end.startswith("withdraw"):
            assert code(house.withdraw("second", asked.id)) == "no_such_request"
            assert code(house.withdraw("headquarters", asked.id)) == "done"
        elif end == "reject":
            house.judge("officer", asked.id, Act.REJECT)
        else:
            house.later(hours=24)
            assert code(house.judge("officer", asked.id, Act.APPROVE)) == "request_settled"
        answer = house.reveal("headquarters", house.ada, "national_id", "fraud")
        assert code(answer) == "needs_approval", end


def test_it_is_decided_again_when_it_is_shown(house: House) -> None:
    """Reveal gate 2: approver or requester moved, consent or person gone: nothing is shown."""
    principals = house.written()["principals"]
    without_officer = [one for one in principals if one["id"] != "officer"]
    moved = {"id": "officer", "role": "operator", "node": "kith"}
    for changed in (without_officer, [*without_officer, moved]):
        grant = house.granted()
        house.declare(principals=changed)
        answer = house.reveal("headquarters", house.ada, "national_id", "fraud")
        assert code(answer) == "needs_approval"
        house.declare(principals=principals)
        house.withdraw("headquarters", grant.id)
    house.granted()
    elsewhere = [one for one in principals if one["id"] != "headquarters"]
    house.declare(
        principals=[*elsewhere, {"id": "headquarters", "role": "headquarters", "node": "south"}]
    )
    answer = house.reveal("headquarters", house.ada, "national_id", "fraud")
    assert code(answer) == "needs_approval"
    house.declare(principals=[*elsewhere, {**PEOPLE[0], "id": "headquarters", "role": "clerk",
                                           "node": "BJ01"}])  # fmt: skip
    assert code(house.reveal("headquarters", house.ada, "national_id", "fraud")) == "no_rule"
    assert house.rows()[0] == 0


def test_a_grant_does_not_follow_a_person_into_another(house: House) -> None:
    """Reveal gate 2: who was merged into somebody else is approved anew."""
    house.granted()
    with house.engine.begin() as connection:
        connection.execute(
            sa.update(schema.membership)
            .where(schema.membership.c.profile_id == house.ada)
            .values(profile_id=house.far)
        )
        connection.execute(sa.delete(schema.tag))
        connection.execute(sa.delete(schema.profile).where(schema.profile.c.id == house.ada))
        connection.execute(
            schema.redirect.insert().values(old_id=house.ada, new_id=house.far, at=house.now)
        )
    for person in (house.ada, house.far):
        answer = house.reveal("headquarters", person, "national_id", "fraud")
        assert code(answer) == "needs_approval"


def test_somebody_outside_and_nobody_are_one(house: House) -> None:
    """Reveal gate 5: a request for either answers alike, does the same, and is not stored."""
    statements: list[str] = []
    sa.event.listen(house.engine, "before_cursor_execute", lambda *c: statements.append(c[2]))
    seen = []
    for person in (house.ada, NOBODY_ID):
        before = len(house.events())
        statements.clear()
        answers = (
            house.ask("south", person),
            house.reveal("south", person, "phone", "fraud"),
            house.reveal("south", person, "national_id", "fraud"),
            house.broken("south", person, "phone", "fraud"),
            house.broken("south", person, "national_id", "fraud"),
        )
        told = [
            {k: v for k, v in e.items() if k not in {"at", "profile_id"}}
            for e in house.events()[before:]
        ]
        # Who opens a workspace asks once whether the policy is still the one it knows.
        asked = [one for one in statements if "policy_activation" not in one]
        seen.append((answers, told, asked))
    assert seen[0] == seen[1]
    assert [code(one) for one in seen[0][0]] == [
        "not_found", "not_found", "needs_approval", "not_found", "not_found",
    ]  # fmt: skip
    assert house.rows() == (0, 0)


def test_one_asks_once_and_not_without_end(house: House) -> None:
    """Reveals 3: the same request is there once; twenty wait at most."""
    asked = house.ask("headquarters", house.ada)
    assert isinstance(asked, Request)
    assert code(house.ask("headquarters", house.ada)) == "already_asked"
    assert code(house.ask("headquarters", house.ada, "phone")) == "no_approval_needed"
    assert code(house.ask("clerk.bj01", house.ada)) == "no_rule"
    assert code(house.ask("headquarters", house.ada, "national_id", "service")) == "denied"
    with house.engine.begin() as connection:
        row = connection.execute(sa.select(schema.reveal_request)).one()._asdict()
        more = [{**row, "id": f"x{n}", "profile_id": f"p{n}"} for n in range(19)]
        connection.execute(sa.insert(schema.reveal_request), more)
    assert code(house.ask("headquarters", house.far)) == "too_many_open"
    assert code(house.ask("headquarters", NOBODY_ID)) == "too_many_open"


def test_a_grant_lasts_as_long_as_was_said_and_a_day_at_most(house: House) -> None:
    """Reveal states 3: the second person may give more time, within bounds."""
    asked = house.ask("headquarters", house.ada)
    assert isinstance(asked, Request)
    for minutes in (0, -1, 24 * 60 + 1):
        assert (
            code(house.judge("officer", asked.id, Act.APPROVE, None, minutes)) == "grant_too_long"
        )
    assert code(house.judge("officer", asked.id, Act.APPROVE, "call 13912345678")) == (
        "detail_like_personal_number"
    )
    done = house.judge("officer", asked.id, Act.APPROVE, None, 24 * 60)
    assert isinstance(done, Request)
    assert (done.ends_at - house.now).total_seconds() == 24 * 3600
    assert done.state is State.APPROVED
    house.later(hours=24)
    assert code(house.reveal("headquarters", house.ada, "national_id", "fraud")) == "needs_approval"
