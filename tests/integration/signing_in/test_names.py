"""Whose a name of the identity provider is, and for how long."""

import threading
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest
import sqlalchemy as sa

from cdp.access import accounts, single_sign_on
from cdp.access.principals import origin_of, sync_principals
from cdp.declaration import Declaration
from cdp.storage import schema
from policies.claims import read_claims
from tests.integration.api.site import assert_problem
from tests.integration.signing_in.house import ADDRESS, House
from tests.integration.signing_in.people import MAPPING, Person

pytestmark = [
    pytest.mark.integration,
    # The provider's, in its thread: it uses a part of Authlib that is going. Ours does not.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture
def house(federated: House) -> House:
    """A house whose people come from the provider."""
    return federated


def test_a_name_stays_with_who_came_first(house: House) -> None:
    """Single sign-on 3: given to somebody else, it opens nothing of the first."""
    assert Person(house).sign_in().status_code == 303
    assert_problem(Person(house, "s-2").sign_in(), 401, "not_signed_in")
    other = Person(house, "s-2", preferred_username="ZHANG")
    assert_problem(other.sign_in(), 401, "not_signed_in")
    with house.engine.begin() as connection:
        assert accounts.release(connection, "zhang", house.workspace.now())
        assert not accounts.release(connection, "zhang", house.workspace.now())
    assert_problem(other.sign_in(), 401)
    assert Person(house, "s-2").sign_in().status_code == 303
    assert_problem(Person(house).sign_in(), 401, "not_signed_in")


def test_one_person_has_one_name(house: House) -> None:
    """Single sign-on 3: a name more, in whatever spelling, would be one's own second person."""
    assert Person(house).sign_in().status_code == 303
    for name in ("zhang2", "Zhang"):
        assert_problem(Person(house, preferred_username=name).sign_in(), 401, "not_signed_in")
    assert house.reasons() == ["granted", "subject_has_a_name", "name_of_another"]
    assert house.row("principal", id="zhang2") is None
    with house.engine.begin() as connection:
        accounts.release(connection, "zhang", house.workspace.now())
    assert Person(house, preferred_username="zhang2").sign_in().status_code == 303
    assert_problem(Person(house).sign_in(), 401, "not_signed_in")


def test_of_two_names_at_once_one_is_taken(house: House) -> None:
    """Single sign-on 3: also by two processes at the same time; the database holds it too."""
    first = Person(house)
    backs = [first.sent_back().removeprefix(ADDRESS)]
    second = Person(house, preferred_username="zhang2")
    backs.append(second.sent_back().removeprefix(ADDRESS))
    # What the provider says is read when the code is exchanged: each has a name of its own.
    names = iter(("zhang", "zhang2"))
    provider = house.app.state.services.single_sign_on._provider
    real, start = provider.claims, threading.Barrier(2)

    def claims(*asked: str) -> Any:
        found = {**real(*asked), "preferred_username": next(names)}
        start.wait()
        return found

    provider.claims = claims
    answers: list[int] = []

    def come_back(who: Person, path: str) -> None:
        answers.append(who.browser.get(path).status_code)

    threads = [
        threading.Thread(target=come_back, args=pair)
        for pair in zip((first, second), backs, strict=True)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(answers) == [303, 401]
    assert sorted(house.reasons()) == ["granted", "subject_has_a_name"]
    told = house.keys.subject(house.workspace.settings.oidc_issuer, "s-1")
    row = {"id": "zhang3", "subject": told, "at": house.workspace.now()}
    with house.engine.begin() as connection, pytest.raises(sa.exc.IntegrityError):
        connection.execute(sa.insert(schema.principal), row)


def test_who_is_locked_does_not_come_through_the_provider(house: House) -> None:
    """Accounts 3: out at once, and not in again until somebody in charge says so."""
    zhang = Person(house)
    zhang.sign_in()
    with house.engine.begin() as connection:
        accounts.lock(connection, "zhang", house.workspace.now())
    assert_problem(zhang.browser.get(), 401, "unauthorised")
    assert_problem(zhang.sign_in(), 401, "not_signed_in")
    assert house.reasons() == ["granted", "locked"]
    with house.engine.begin() as connection:
        accounts.unlock(connection, house.keys, "zhang")
    assert zhang.sign_in().status_code == 303


def test_another_mapping_ends_the_sessions_of_the_one_before(house: House) -> None:
    """Principals 5: whoever came by claims goes when the mapping changes, and may come again."""
    zhang = Person(house)
    zhang.sign_in()
    declared = house.workspace.declaration
    with house.engine.begin() as connection:
        assert not sync_principals(connection, declared, house.workspace.now())
    assert zhang.browser.get().status_code == 200
    fewer = read_claims({**MAPPING, "roles": MAPPING["roles"][:1]}, declared.organisation)
    changed = replace(declared, claims=fewer)
    assert origin_of(changed) != origin_of(declared)
    with house.engine.begin() as connection:
        assert len(sync_principals(connection, changed, house.workspace.now())) == 1
        assert not sync_principals(connection, changed, house.workspace.now())
    assert_problem(zhang.browser.get(), 401, "unauthorised")
    house.workspace.__dict__["declaration"] = changed
    assert zhang.sign_in().status_code == 303


def test_a_name_is_kept_when_the_mapping_changes(house: House) -> None:
    """Principals 5: an edit of cdp.yaml gives nobody's name to somebody else."""
    assert Person(house).sign_in().status_code == 303
    synced(house, narrowed(house))
    assert_problem(Person(house, "s-2").sign_in(), 401, "not_signed_in")
    assert house.reasons()[-1] == "name_of_another"
    assert Person(house).sign_in().status_code == 303
    synced(house, replace(house.workspace.declaration, claims=None))
    synced(house, narrowed(house))
    assert_problem(Person(house, "s-2").sign_in(), 401, "not_signed_in")


def test_a_process_that_goes_by_an_older_mapping_lets_nobody_in(house: House) -> None:
    """Single sign-on 2: a line that was taken away gives no role, also where it is still known."""
    zhang, running = Person(house), house.workspace.declaration
    synced(house, narrowed(house))
    house.workspace.__dict__["declaration"] = running
    answer = zhang.sign_in()
    assert_problem(answer, 403)
    assert "restart this process" in answer.json()["detail"]
    assert house.reasons() == ["mapping_unknown_here"]
    assert house.row("session") is None
    house.workspace.__dict__["declaration"] = narrowed(house)
    assert zhang.sign_in().status_code == 303


def test_before_the_first_sync_nobody_comes_through_the_provider(house: House) -> None:
    """Single sign-on 2: a mapping that nobody brought into the database is none."""
    with house.engine.begin() as connection:
        connection.execute(sa.update(schema.workspace).values(claims_origin=None))
    assert_problem(Person(house).sign_in(), 403)


def narrowed(house: House) -> Declaration:
    """What is declared, with the first line of the mapping alone."""
    declared = house.workspace.declaration
    fewer = {**MAPPING, "roles": MAPPING["roles"][:1]}
    return replace(declared, claims=read_claims(fewer, declared.organisation))


def synced(house: House, declared: Declaration) -> None:
    """Declare something else, in the database and in the process that serves."""
    with house.engine.begin() as connection:
        sync_principals(connection, declared, house.workspace.now())
    house.workspace.__dict__["declaration"] = declared


def with_clerk(house: House, name: str) -> Declaration:
    """What is declared, and a clerk of that name."""
    declared = house.workspace.declaration
    clerk = replace(declared.principals["clerk.bj01"], id=name)
    people = MappingProxyType({**declared.principals, name: clerk})
    return replace(declared, principals=people)


def test_who_is_declared_later_starts_anew(house: House) -> None:
    """Principals 5: a name that moves to cdp.yaml keeps no session and no role of before."""
    zhang = Person(house)
    zhang.sign_in()
    synced(house, with_clerk(house, "zhang"))
    assert_problem(zhang.browser.get(), 401, "unauthorised")
    assert house.row("principal", id="zhang").assignments == ["clerk@BJ01"]
    assert house.row("principal", id="zhang").subject is None
    assert_problem(zhang.sign_in(), 401, "not_signed_in")


def test_who_is_declared_in_another_spelling_is_declared(house: House) -> None:
    """Principals 5: ``Zhang`` of the provider goes when cdp.yaml names ``zhang``."""
    other = Person(house, preferred_username="Zhang")
    other.sign_in()
    synced(house, with_clerk(house, "zhang"))
    assert_problem(other.browser.get(), 401, "unauthorised")
    assert house.row("principal", id="Zhang") is None
    assert_problem(other.sign_in(), 401, "not_signed_in")
    assert house.reasons()[-1] == "name_of_another"


def test_a_name_that_is_being_declared_is_waited_for(house: House) -> None:
    """Single sign-on 3: a sync under way decides, and what it declares is not written over."""
    zhang, answers = Person(house), []
    back = zhang.sent_back().removeprefix(ADDRESS)
    comes = threading.Thread(target=lambda: answers.append(zhang.browser.get(back)))
    with house.engine.begin() as connection:
        sync_principals(connection, with_clerk(house, "zhang"), house.workspace.now())
        comes.start()
        comes.join(2)  # it has the claims by then, and waits
        assert not answers
    comes.join()
    assert_problem(answers[0], 401, "not_signed_in")
    row = house.row("principal", id="zhang")
    assert (row.origin, row.subject, row.assignments) == ("cdp.yaml", None, ["clerk@BJ01"])


def test_what_is_declared_is_never_written_over(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Single sign-on 3: the statement that enters a name asks again whose it is."""
    synced(house, with_clerk(house, "zhang"))
    monkeypatch.setattr(single_sign_on, "_against", lambda *_: None)
    assert_problem(Person(house).sign_in(), 401, "not_signed_in")
    assert house.reasons() == ["name_of_another"]
    assert house.row("principal", id="zhang").origin == "cdp.yaml"
