"""How much one subject reveals within an hour: `cdp/access/reveal_gate.py`."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from cdp.access.answers import Denial, DenialKind, Revealed
from cdp.access.principals import subject_of
from cdp.access.reveal_gate import RevealGate
from cdp.access.reveal_states import Act, Request
from cdp.storage.schema import data_key
from tests.integration.access.shop import NOBODY_ID
from tests.integration.reveals.house import House, code

pytestmark = pytest.mark.integration
FEW = {"per_hour": 3, "people_per_hour": 1, "sensitive_per_hour": 1}


def test_no_more_than_the_limit_however_many_ask_at_once(house: House) -> None:
    """Reveals 1: of 24 requests in 8 threads exactly five are shown, and five are stored."""
    house.declare(reveals={"per_hour": 5, "people_per_hour": 5})
    with ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(house.reveal, "manager.bj01", house.ada) for _ in range(24)]
        answers = [code(one.result()) for one in asked]
    assert sorted(answers) == ["reveal_limit"] * 19 + ["shown"] * 5
    assert house.rows()[0] == 5
    assert [e["decision"] for e in house.events()].count("allow") == 5


def test_a_grant_is_used_once_however_many_use_it_at_once(house: House) -> None:
    """Reveals 2: of eight who use one grant at once, one is shown the value."""
    house.granted()
    with ThreadPoolExecutor(8) as threads:
        asked = [
            threads.submit(house.reveal, "headquarters", house.ada, "national_id", "fraud")
            for _ in range(8)
        ]
        answers = [code(one.result()) for one in asked]
    assert sorted(answers) == ["needs_approval"] * 7 + ["shown"]


def test_what_the_log_says_was_shown_counts(house: House) -> None:
    """Reveal gate 1 and 3: a value that does not open has used its grant, and is in the hour."""
    grant = house.granted()
    with house.engine.begin() as connection:
        connection.execute(sa.delete(data_key).where(data_key.c.tier == "sensitive"))
    assert code(house.reveal("headquarters", house.ada, "national_id", "fraud")) == "no_value"
    event = house.events()[-1]
    assert (event["action"], event["decision"]) == ("profile.reveal", "allow")
    assert house.state(grant.id) == "used"
    assert house.rows() == (1, 1)


def test_two_judge_at_once_and_one_is_heard(house: House) -> None:
    """Reveals 2: whoever comes second hears that it is settled; nothing is written over."""
    for first, second in ((Act.APPROVE, Act.APPROVE), (Act.APPROVE, Act.REJECT)):
        asked = house.ask("headquarters", house.ada)
        assert isinstance(asked, Request)
        with ThreadPoolExecutor(2) as threads:
            both = [
                threads.submit(house.judge, who, asked.id, act)
                for who, act in (("officer", first), ("compliance", second))
            ]
            answers = [one.result() for one in both]
        (done,) = [one for one in answers if isinstance(one, Request)]
        assert [one.reason for one in answers if isinstance(one, Denial)] == ["request_settled"]
        assert house.state(asked.id) == done.state
        house.withdraw("headquarters", asked.id)


def test_a_refusal_says_when_and_counts_for_nothing(house: House) -> None:
    """Reveal gate 3: the hour of the oldest one; refused ones do not move it."""
    house.declare(reveals=FEW)
    for _ in range(3):
        assert code(house.reveal("headquarters", house.ada)) == "shown"
        house.later(minutes=10)
    first = house.now
    for _ in range(5):
        denial = house.reveal("headquarters", house.ada)
        assert isinstance(denial, Denial)
        assert (denial.kind, denial.reason) == (DenialKind.LIMITED, "reveal_limit")
        assert denial.again_at is not None
        assert (denial.again_at - first).total_seconds() == 30 * 60
        house.later(minutes=1)
    assert house.events()[-1]["decision"] == "deny"
    house.later(minutes=24, seconds=59)
    assert code(house.reveal("headquarters", house.ada)) == "reveal_limit"
    house.later(seconds=1)
    assert code(house.reveal("headquarters", house.ada)) == "shown"


def test_the_refusal_says_nothing_of_the_person(house: House) -> None:
    """Reveal gate 3: a stranger, nobody and somebody of one's own give one refusal."""
    house.declare(reveals=FEW)
    assert code(house.reveal("manager.bj01", house.ada)) == "shown"
    answers = [house.reveal("manager.bj01", one) for one in (house.far, NOBODY_ID)]
    assert answers[0] == answers[1]
    assert code(answers[0]) == "reveal_limit"  # another person, whoever that is
    for _ in range(2):
        assert code(house.reveal("manager.bj01", house.ada)) == "shown"
    everybody = [house.reveal("manager.bj01", p) for p in (house.ada, house.far, NOBODY_ID)]
    assert len({one.reason for one in everybody if isinstance(one, Denial)}) == 1


def test_a_clock_set_back_gives_no_more(house: House) -> None:
    """Reveal gate 3: what was shown at a time that has not come counts all the same."""
    house.declare(reveals=FEW)
    for _ in range(3):
        assert code(house.reveal("headquarters", house.ada)) == "shown"
    house.later(hours=-5)
    assert code(house.reveal("headquarters", house.ada)) == "reveal_limit"


def test_the_sensitive_tier_has_a_limit_of_its_own(house: House) -> None:
    """Reveal gate 3: a grant does not lift the limit, and is kept for later."""
    house.declare(reveals={**FEW, "granted_minutes": 120})
    house.granted()
    assert code(house.reveal("headquarters", house.ada, "national_id", "fraud")) == "shown"
    grant = house.granted()
    assert code(house.reveal("headquarters", house.ada, "national_id", "fraud")) == "reveal_limit"
    assert house.state(grant.id) == "approved"
    assert code(house.reveal("headquarters", house.ada)) == "shown"
    house.later(hours=1)
    assert code(house.reveal("headquarters", house.ada, "national_id", "fraud")) == "shown"


def test_an_answer_says_until_when_it_may_be_looked_at(house: House) -> None:
    """Reveal gate 6: a minute, or as declared."""
    for seconds in (60, 10):
        if seconds != 60:
            house.declare(reveals={"shown_seconds": seconds})
        shown = house.reveal("headquarters", house.ada)
        assert isinstance(shown, Revealed)
        assert (shown.shown_until - house.now).total_seconds() == seconds


def test_what_is_killed_before_the_commit_was_never_shown(house: House) -> None:
    """A crash between approval and commit keeps the grant; one after it has used it up."""
    grant = house.granted()
    asked = house.ada, "national_id", "fraud", "Points stolen, case 4711"
    with house.engine.connect() as connection:
        begun = connection.begin()
        subject = subject_of(house.workspace, "headquarters")
        shown = RevealGate(house.workspace).reveal(connection, subject, *asked)
        assert isinstance(shown, Revealed)
        connection.invalidate()  # the process dies; its answer is sent to nobody
        begun.close()
    assert house.state(grant.id) == "approved"
    assert house.rows()[0] == 0
    assert code(house.reveal("headquarters", *asked[:3])) == "shown"
