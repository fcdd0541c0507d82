"""What changed between request, approval and reveal; and what other processes keep of it."""

import datetime as dt
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from cdp.access import accounts
from cdp.access.answers import Denial
from cdp.access.principals import subject_of
from cdp.access.reveal_gate import RevealGate
from cdp.access.reveal_states import Act, Actor, Request
from cdp.access.second_person import Judgement, SecondPerson, current_subject
from cdp.erasure.destroying import destroy
from cdp.erasure.targets import find
from cdp.policy.live import LivePolicy
from cdp.storage import roles, schema
from cdp.vault.roles import CONTACT, COUNTER
from cdp.vault.sign_in import SignInKeys
from policies import enforcer
from policies.decision import Policy
from policies.enforcer import compile_policy, read_source
from policies.policyfile import POLICY_FILE, read_rules
from policies.vocabulary import ALL_CIRCUMSTANCES
from tests.integration.access.processes import process
from tests.integration.reveals.house import REASON, House, code

pytestmark = pytest.mark.integration
TEXT = (Path(enforcer.__file__).parent / POLICY_FILE).read_text(encoding="utf-8")


@pytest.fixture
def says(house: House, monkeypatch: pytest.MonkeyPatch):
    """Puts another policy in force, as a change by two persons does."""

    def put(*, without: str = "", more: str = "") -> None:
        lines = [one for one in TEXT.splitlines() if not without or not one.startswith(without)]
        rules = read_rules("\n".join([*lines, more]) + "\n")
        compiled = compile_policy(replace(read_source(), rules=rules))
        policy = Policy(compiled, house.workspace.declaration.organisation)
        monkeypatch.setattr(LivePolicy, "policy", property(lambda _: policy))

    return put


def test_a_policy_that_changed_in_between_decides(house: House, says) -> None:
    """Reveal gate 2: who may not approve, or reveal, any more does not count any more."""
    house.granted()
    says(without="p, compliance, approve, none, omit, fraud")
    assert code(house.reveal("headquarters", house.ada, "national_id", "fraud")) == "needs_approval"
    says(without="p, headquarters, reveal, sensitive, clear, fraud")
    assert code(house.reveal("headquarters", house.ada, "national_id", "fraud")) == "no_rule"
    says()
    assert code(house.reveal("headquarters", house.ada, "national_id", "fraud")) == "shown"


def test_an_approval_that_could_not_be_used_is_refused(house: House, says) -> None:
    """Second person 4: the requester may not reveal any more; rejecting still works."""
    asked = house.ask("headquarters", house.ada)
    assert isinstance(asked, Request)
    says(without="p, headquarters, reveal, sensitive, clear, fraud")
    assert code(house.judge("officer", asked.id, Act.APPROVE)) == "no_rule"
    assert code(house.judge("officer", asked.id, Act.REJECT)) == "done"


def test_an_approver_who_is_locked_does_not_count(house: House) -> None:
    """Second person 2: whoever is kept out stands behind nothing until they are let in again."""
    house.granted(by="officer")
    with house.engine.begin() as connection:
        accounts.lock(connection, "officer", house.now)
    assert code(house.reveal("headquarters", house.ada, "national_id", "fraud")) == "needs_approval"
    with house.engine.begin() as connection:
        accounts.unlock(connection, SignInKeys(house.workspace.keyring), "officer")
    assert code(house.reveal("headquarters", house.ada, "national_id", "fraud")) == "shown"


@pytest.mark.parametrize("what", ["elsewhere", "somebody else", "no more", "destroyed", "refused"])
def test_an_approval_does_not_tell_what_became_of_a_person(house: House, what: str) -> None:
    """Reveal gate 5: whoever is out of reach is answered as if nothing had been approved."""
    house.declare(
        principals=[
            *house.written()["principals"],
            {"id": "north", "role": "headquarters", "node": "north"},
        ]
    )
    asked = house.ask("north", house.ada)
    assert isinstance(asked, Request), asked
    assert isinstance(house.judge("officer", asked.id, Act.APPROVE), Request)
    mine = schema.profile.c.id == house.ada
    with house.engine.begin() as connection:
        if what == "elsewhere":
            connection.execute(sa.update(schema.profile).where(mine).values(stores=["SZ01"]))
        elif what == "refused":
            connection.execute(sa.update(schema.profile).where(mine).values(stores=[], purposes=[]))
        elif what == "destroyed":
            held = find(connection, house.workspace, house.ada)
            destroy(connection, house.workspace, held, house.now)
        else:
            connection.execute(
                sa.delete(schema.membership).where(schema.membership.c.profile_id == house.ada)
            )
            connection.execute(sa.delete(schema.profile).where(mine))
        if what == "somebody else":
            there = {"old_id": house.ada, "new_id": house.far, "at": house.now}
            connection.execute(sa.insert(schema.redirect).values(there))
    before = len(house.events())
    assert code(house.reveal("north", house.ada, "national_id", "fraud")) == "needs_approval"
    (event,) = house.events()[before:]
    assert (event["decision"], event["reason"]) == ("deny", "needs_approval")


def test_who_did_not_agree_is_nobody(house: House, says) -> None:
    """Reveal gate 5: a purpose that needs consent meets only who agreed; the rest is one answer."""
    says(more="p, headquarters, reveal, contact, clear, marketing, allow")
    agreed, refused = house.ada, house.far
    assert code(house.reveal("headquarters", agreed, "phone", "marketing")) == "shown"
    assert code(house.reveal("headquarters", refused, "phone", "marketing")) == "not_found"
    assert code(house.broken("headquarters", refused, "phone", "marketing")) == "no_rule"


def test_an_approver_need_not_stay_on_shift(house: House, says) -> None:
    """What had to hold for the approver held when they approved."""
    says(
        without="p, compliance, approve, none, omit, fraud",
        more="p, compliance, approve, none, omit, fraud, allow, in_network",
    )
    house.granted()
    assert code(house.reveal("headquarters", house.ada, "national_id", "fraud")) == "shown"


def test_an_approver_who_came_by_claims_holds_what_their_session_says(house: House) -> None:
    """Reveal gate 2: nobody declared them, so it is the sessions that stand."""
    actor = Actor("zhou", "compliance", "kith")
    with house.engine.begin() as connection:
        asked = connection, house.workspace, actor, house.now
        assert current_subject(*asked) is None
        connection.execute(
            sa.insert(schema.principal).values(
                id="zhou", assignments=[], origin="oidc", at=house.now
            )
        )
        assert current_subject(*asked) is None
        hour = dt.timedelta(hours=1)
        session = {
            "id": "s1", "digest": b"d", "principal_id": "zhou", "method": "oidc",
            "assignments": ["compliance@kith"], "created_at": house.now, "seen_at": house.now,
            "ends_at": house.now + hour,
        }  # fmt: skip
        connection.execute(sa.insert(schema.session).values(session))
        found = current_subject(*asked)
        assert found is not None
        assert (found.id, found.role, found.circumstances) == (
            "zhou", "compliance", ALL_CIRCUMSTANCES,
        )  # fmt: skip
        assert current_subject(connection, house.workspace, actor, house.now + hour) is None
        connection.execute(sa.update(schema.session).values(assignments=["clerk@BJ01"]))
        assert current_subject(*asked) is None


@pytest.mark.parametrize("role", [COUNTER, CONTACT], ids=lambda role: role.name)
def test_a_process_without_the_keys_keeps_no_requests(house: House, role) -> None:
    """It refuses, says which process to ask, and its role in the database could not do it."""
    asked = house.ask("headquarters", house.ada)
    assert isinstance(asked, Request)
    other = process(house.shop, role).workspace
    desk, gate = SecondPerson(other), RevealGate(other)

    def answer(verb: str, who: str, *words: object) -> object:
        with other.engine.begin() as connection:
            subject = subject_of(other, who)
            return getattr(gate if hasattr(gate, verb) else desk, verb)(connection, subject, *words)

    fraud = ("fraud", REASON)
    answers = [
        answer("request", "headquarters", house.ada, "bank_card", *fraud),
        answer("break_glass", "headquarters", house.ada, "phone", *fraud),
        answer("reveal", "headquarters", house.ada, "national_id", *fraud),
        answer("judge", "compliance", asked.id, Judgement(Act.APPROVE)),
        answer("withdraw", "headquarters", asked.id),
        answer("listed", "headquarters"),
        answer("status", "headquarters"),
    ]
    assert {one.reason for one in answers if isinstance(one, Denial)} == {"key_withheld"}
    assert house.state(asked.id) == "open"
    with other.engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT current_user")) in {roles.COUNTER, roles.CONTACT}
    for text in (
        "UPDATE kith.reveal_request SET state = 'approved'",
        "SELECT * FROM kith.reveal_request",
        "DELETE FROM kith.reveal",
        "UPDATE kith.reveal SET at = at - interval '1 day'",
        "INSERT INTO kith.roster VALUES ('x', '2026-05-04', 'BJ01', 'x', now())",
    ):
        with other.engine.connect() as connection:
            with pytest.raises(sa.exc.ProgrammingError) as caught:
                connection.execute(sa.text(text))
            assert caught.value.orig.pgcode == "42501", text
    other.engine.dispose()


def ask_and_use(house: House, who: str) -> None:
    """Ask, take one back, and use whatever was approved by then."""
    for turn in range(6):
        asked = house.ask(who, house.ada)
        if isinstance(asked, Request) and turn == 2:
            house.withdraw(who, asked.id)
        house.reveal(who, house.ada, "national_id", "fraud")
        house.reveal(who, house.ada, "phone", "fraud")


def approve_all(house: House, who: str) -> None:
    """Approve whatever waits."""
    for _ in range(8):
        for one in house.listed(who):
            house.judge(who, one.id, Act.APPROVE)


def test_whatever_is_done_at_once_ends_in_one_story(house: House) -> None:
    """Reveals 1 to 3: no deadlock, no error, and each value shown has one grant of its own."""
    house.declare(reveals={"per_hour": 1000, "people_per_hour": 10, "sensitive_per_hour": 100})
    begin = threading.Barrier(6)

    def work(what, who: str) -> None:
        begin.wait(30)
        what(house, who)

    jobs = [(ask_and_use, "headquarters"), (ask_and_use, "second")] * 2
    jobs += [(approve_all, "officer"), (approve_all, "compliance")]
    with ThreadPoolExecutor(6) as threads:
        for one in [threads.submit(work, *job) for job in jobs]:
            one.result()  # an error of the database, or any other, is raised here
    for step, who in ((approve_all, "officer"), (ask_and_use, "headquarters")):
        step(house, who)
    columns = schema.reveal_request.c, schema.reveal.c
    with house.engine.connect() as connection:
        used = connection.scalars(sa.select(columns[0].id).where(columns[0].state == "used")).all()
        shown = connection.scalars(sa.select(columns[1].request_id).where(columns[1].sensitive))
        assert sorted(used) == sorted(shown)
    assert used


def test_a_destroyed_person_is_named_nowhere(house: House) -> None:
    """The id goes from what was shown and asked for; the rest stays, and shows nothing."""
    house.granted()
    assert code(house.reveal("headquarters", house.ada, "phone", "fraud")) == "shown"
    with house.engine.begin() as connection:
        held = find(connection, house.workspace, house.ada)
        destroy(connection, house.workspace, held, house.now)
    assert code(house.reveal("headquarters", house.ada, "national_id", "fraud")) == "needs_approval"
    with house.engine.connect() as connection:
        for table in (schema.reveal, schema.reveal_request):
            assert connection.scalars(sa.select(table.c.profile_id)).all() == [None]
    (left,) = house.listed("officer")
    assert (left.profile_id, left.reason) == (None, REASON)


def test_a_key_for_something_else_is_not_for_requests(house: House) -> None:
    """What a key is for narrows everything: no request is listed, made, judged or taken back."""
    asked = house.ask("headquarters", house.ada)
    assert isinstance(asked, Request)
    desk = SecondPerson(house.workspace)
    with house.engine.begin() as connection:
        for who in ("headquarters", "officer"):
            subject = replace(subject_of(house.workspace, who), actions=frozenset({"find"}))
            answers = [
                desk.listed(connection, subject),
                desk.withdraw(connection, subject, asked.id),
                desk.status(connection, subject),
                RevealGate(house.workspace).request(
                    connection, subject, house.far, "national_id", "fraud", REASON
                ),
            ]
            assert all(isinstance(one, Denial) for one in answers)
            judged = desk.judge(connection, subject, asked.id, Judgement(Act.APPROVE))
            assert code(judged) in {"own_request", "no_such_request"}
    assert house.state(asked.id) == "open"


def test_what_is_no_id_names_no_request(house: House) -> None:
    """Second person 2: it never reaches the database."""
    for request_id in ("", "x" * 33, "a\x00b", "A", "1", "a b", "é", "'; --", "a\n"):
        assert code(house.judge("officer", request_id, Act.APPROVE)) == "no_such_request"
        assert code(house.withdraw("officer", request_id)) == "no_such_request"
