"""Signing in with a password and a code."""

import datetime as dt
import threading
from dataclasses import replace

import pytest
import sqlalchemy as sa

from cdp.access import accounts, devices, passwords, sessions
from cdp.access.signing_in import AT_ONCE, WAITING, Attempt, SigningIn
from cdp.errors import Retry
from cdp.storage import schema
from cdp.vault.primitives import Stretching
from cdp.vault.roles import COUNTER
from connectors.record import Sensitive
from tests.integration.signing_in.house import PASSWORD, QUICK, TILL, House

pytestmark = pytest.mark.integration
DEARER = Stretching(memory_kib=128, iterations=1, lanes=1)


def test_both_factors_begin_a_session(house: House) -> None:
    """Somebody who is enrolled signs in; the log says so, and holds nothing that was typed."""
    who = house.enrolled("clerk.bj01")
    code = house.code(who)
    done = house.attempt(who)
    assert done is not None
    with house.engine.begin() as connection:
        found = sessions.find(connection, house.keys, done.session.secret, house.workspace.now())
    assert found is not None
    assert found.standing.assignments == ("clerk@BJ01",)
    (event,) = house.retailer.events()
    assert (event["actor"], event["role"], event["decision"]) == (who, "clerk", "allow")
    for secret in (PASSWORD, code, done.session.secret, done.device):
        assert secret not in f"{event} {done!r} {done.session!r}"


def test_every_refusal_is_the_same_work_and_the_same_answer(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signing in 1: the same statements and one Argon2, whatever is wrong."""
    for who in ("clerk.bj01", "manager.bj01", "headquarters"):
        house.enrolled(who)
    with house.engine.begin() as connection:
        now = house.workspace.now()
        accounts.lock(connection, "manager.bj01", now)
        accounts.add(connection, house.keys, "clerk.sz01", now)
    for _ in range(5):
        house.attempt("headquarters", "wrong", client=replace_address("192.0.2.9"))
    statements: list[str] = []
    sa.event.listen(house.engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    stretched: list[object] = []
    real = passwords.primitives.stretched
    monkeypatch.setattr(
        passwords.primitives, "stretched", lambda *a: (stretched.append(1), real(*a))[1]
    )
    tried = {
        "no_account": ("nobody", PASSWORD, "123456"),
        "wrong_password": ("clerk.bj01", "another one here", house.code("clerk.bj01")),
        "wrong_code": ("clerk.bj01", PASSWORD, "000000"),
        "locked": ("manager.bj01", PASSWORD, house.code("manager.bj01")),
        "not_enrolled": ("clerk.sz01", PASSWORD, "123456"),
        "too_many_failures": ("headquarters", PASSWORD, house.code("headquarters")),
    }
    work = {}
    before = len(house.reasons())
    for reason, (who, password, code) in tried.items():
        statements.clear()
        stretched.clear()
        assert house.attempt(who, password, code) is None
        work[reason] = (tuple(statements), len(stretched))
    assert house.reasons()[before:] == list(tried)
    assert len(set(work.values())) == 1, work
    assert work["no_account"][1] == 1


def replace_address(address: str):
    return replace(TILL, address=address)


def test_a_code_works_once(house: House) -> None:
    """Signing in 2: the code that let in is wrong a second later, and so is the one before."""
    who = house.enrolled("clerk.bj01")
    code, older = house.code(who), house.code(who, -1)
    assert house.attempt(who, code=code) is not None
    assert house.attempt(who, code=code) is None
    assert house.attempt(who, code=older) is None
    assert house.attempt(who, code=house.code(who, 1)) is not None


def test_a_recovery_code_works_once(house: House) -> None:
    """Signing in 2: each of the ten stands in for the app once, however it is written."""
    who = house.enrolled("clerk.bj01")
    first, second, *_ = house.recovery[who]
    assert house.attempt(who, code=first.upper().replace("-", " ")) is not None
    assert house.attempt(who, code=first) is None
    assert house.attempt(who, code=second) is not None
    assert len(house.row("account", principal_id=who).recovery) == 8
    other = house.enrolled("manager.bj01")
    assert house.attempt(other, code=house.recovery[who][2]) is None


@pytest.mark.parametrize("kind", ["app", "recovery"])
def test_of_one_code_sent_twice_at_once_one_wins(house: House, kind: str) -> None:
    """Signing in 2: two processes that get the same code at the same time let one in."""
    who = house.enrolled("clerk.bj01")
    code = house.code(who) if kind == "app" else house.recovery[who][0]
    doors = [SigningIn(house.workspace, house.keys, QUICK) for _ in range(4)]
    done: list[object] = []
    start = threading.Barrier(len(doors))

    def enter(door: SigningIn) -> None:
        house_of = House.__new__(House)
        house_of.door, house_of.seeds = door, house.seeds
        start.wait()
        done.append(house_of.attempt(who, code=code))

    threads = [threading.Thread(target=enter, args=(door,)) for door in doors]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(done) == len(doors)
    assert sum(one is not None for one in done) == 1


def test_an_attempt_is_counted_before_it_is_judged(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signing in 3: of many guesses at once no more than a few are judged; the rest must wait."""
    who = house.enrolled("clerk.bj01")
    doors = [SigningIn(house.workspace, house.keys, QUICK) for _ in range(2)]
    start = threading.Barrier(12)

    def guess(number: int) -> None:
        start.wait()
        given = Attempt(who, Sensitive(f"guess number {number}"), "000000")
        doors[number % 2].attempt(given, TILL)

    threads = [threading.Thread(target=guess, args=(n,)) for n in range(12)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    reasons = house.reasons()
    assert reasons.count("wrong_password") == 5
    assert reasons.count("too_many_failures") == 7


def test_a_flood_takes_neither_memory_nor_threads(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signing in 7: two passwords are stretched at once, eight wait, the rest are told at once."""
    who = house.enrolled("clerk.bj01")
    held, inside, most = threading.Event(), [], []
    real = passwords.matches

    def slow(password, stored) -> bool:
        inside.append(1)
        most.append(len(inside))
        held.wait(20)
        inside.pop()
        return real(password, stored)

    monkeypatch.setattr(passwords, "matches", slow)
    told: list[str] = []

    def enter() -> None:
        try:
            house.attempt(who, "wrong", code="000000")
        except Retry as error:
            told.append(error.rule)

    threads = [threading.Thread(target=enter) for _ in range(12)]
    for one in threads:
        one.start()
    while len(told) < 4 or len(most) < 2:
        held.wait(0.01)
    held.set()
    for one in threads:
        one.join()
    assert told == ["too many sign in at the same time"] * 4
    assert max(most) == 2
    assert len(house.reasons()) == 8


def test_a_flood_takes_no_place_of_a_known_device(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signing in 7: while every place is taken by others, a till that is known signs in."""
    who = house.enrolled("clerk.bj01")
    done = house.attempt(who)
    assert done is not None
    house.later(minutes=1)
    held, inside = threading.Event(), threading.Semaphore(0)
    real = passwords.matches

    def slow(password, stored) -> bool:
        if password.reveal(reason="test") == "wrong":
            inside.release()
            held.wait(20)
        return real(password, stored)

    monkeypatch.setattr(passwords, "matches", slow)
    threads = [
        threading.Thread(target=house.attempt, args=(f"name{n}", "wrong", "000000"))
        for n in range(WAITING)
    ]
    for one in threads:
        one.start()
    try:
        for _ in range(AT_ONCE):
            assert inside.acquire(timeout=20)
        queue = house.door._places.queue
        while queue.acquire(blocking=False):  # until the last of them has its place too
            queue.release()
            held.wait(0.01)
        with pytest.raises(Retry):
            house.attempt("somebody", "else", "000000")
        assert house.attempt(who, client=replace(TILL, device=done.device)) is not None
    finally:
        held.set()
        for one in threads:
            one.join()


def test_a_clock_that_was_ahead_keeps_nobody_out(house: House) -> None:
    """Lock-out 4: what is stored of a failure in the future is brought to now when it is seen."""
    who = house.enrolled("clerk.bj01")
    house.later(days=2)
    for _ in range(10):
        house.attempt(who, "wrong")
    house.later(days=-2)
    assert house.attempt(who) is None
    house.later(minutes=16)
    assert house.attempt(who) is not None


def test_addresses_of_one_network_have_to_wait_together(house: House) -> None:
    """Lock-out 5: another address of the same /64 is no way around the limit of an address."""
    who = house.enrolled("clerk.bj01")
    for number in range(50):
        house.attempt(f"name{number}", client=replace_address(f"2001:db8::{number:x}"), code="0")
    assert house.attempt(who, client=replace_address("2001:db8::ffff")) is None
    assert house.reasons()[-1] == "too_many_failures"
    assert house.attempt(who, client=replace_address("2001:db8:0:1::1")) is not None


def test_the_wait_ends_and_is_never_for_good(house: House) -> None:
    """Signing in 3: after the wait the right password lets in, whatever was tried meanwhile."""
    who = house.enrolled("clerk.bj01")
    for _ in range(30):
        assert house.attempt(who, "wrong") is None
    assert house.attempt(who) is None
    house.later(minutes=15)
    assert house.attempt(who) is not None
    assert house.reasons()[-1] == "granted"


def test_failures_elsewhere_keep_nobody_from_their_till(house: House) -> None:
    """Signing in 4: a known device is judged by itself; one from elsewhere has to wait."""
    who = house.enrolled("clerk.bj01")
    done = house.attempt(who)
    assert done is not None
    till = replace(TILL, device=done.device)
    far = replace_address("198.51.100.9")
    house.later(minutes=1)
    for _ in range(20):
        house.attempt(who, "wrong", client=far)
    assert house.attempt(who, client=far) is None
    assert house.attempt(who, client=till) is not None
    house.later(seconds=30)
    for _ in range(20):
        house.attempt(who, "wrong", client=far)
    assert house.attempt(who, client=replace(TILL, device="f" * 64)) is None


def test_a_device_is_known_for_thirty_days_of_one_account(house: House) -> None:
    """Devices 1: not for another account, and not after the days."""
    who, now = house.enrolled("clerk.bj01"), house.workspace.now()
    done = house.attempt(who)
    assert done is not None
    month = devices.KNOWN_FOR
    with house.engine.begin() as connection:

        def known(whose: str = who, device: str | None = done.device, at=now) -> bool:
            return devices.is_known(connection, house.keys, whose, device, at)

        assert known(at=now + month - dt.timedelta(seconds=1))
        assert not known(at=now + month)
        assert not known("manager.bj01")
        assert not known(device="0" * 64)
        assert not known(device=None)


@pytest.mark.parametrize("said", ["", "x", "F" * 64, "0" * 63, "0" * 65, "\ud800"])
def test_what_a_device_says_is_kept_if_it_is_ours(house: House, said: str) -> None:
    """Devices 2: what we could not have given is replaced, and asks the database for nothing."""
    given = devices.own(said)
    assert given != said
    assert devices.own(given) == given
    assert not devices.is_known(None, house.keys, "clerk.bj01", said, house.workspace.now())


def test_a_device_that_is_known_has_a_limit_of_its_own(house: House) -> None:
    """Signing in 4: a stolen till guesses no more often than anybody else."""
    who = house.enrolled("clerk.bj01")
    done = house.attempt(who)
    assert done is not None
    till = replace(TILL, device=done.device)
    for _ in range(6):
        house.attempt(who, "wrong", client=till)
    assert house.reasons()[-1] == "too_many_failures"
    assert house.attempt(who, client=till) is None


def test_one_address_that_tries_many_names_has_to_wait(house: House) -> None:
    """Signing in 3: guessing one password for many names is counted under the address."""
    who = house.enrolled("clerk.bj01")
    for number in range(50):
        house.attempt(f"name{number}", "password", code="000000")
    assert house.attempt(who) is None
    assert house.reasons()[-1] == "too_many_failures"
    assert house.attempt(who, client=replace_address("192.0.2.8")) is not None


def test_what_was_typed_as_a_name_is_not_kept(house: House) -> None:
    """Signing in 5: people type passwords and phones as names; neither log nor table has them."""
    for name in ("13912346789", "四个平常的词语", "a@example.com", "x' OR 1=1 --", "\ud800"):
        assert house.attempt(name, code="123456") is None
    for event in house.retailer.events():
        assert (event["actor"], event["role"], event["reason"]) == ("unknown", "none", "no_account")
    assert len(house.retailer.events()) == 5
    assert all(len(bytes(one)) == 32 for one in digests(house))


def digests(house: House) -> list[bytes]:
    with house.engine.connect() as connection:
        return list(connection.scalars(sa.select(schema.throttle.c.digest)))


def test_a_sign_in_ends_the_session_that_came_with_it(house: House) -> None:
    """Signing in 6: a session is re-issued, so one that somebody planted is worth nothing."""
    who = house.enrolled("clerk.bj01")
    first = house.attempt(who)
    assert first is not None
    house.later(minutes=1)
    second = house.attempt(who, presented=first.session.secret)
    assert second is not None
    assert second.session.secret != first.session.secret
    with house.engine.begin() as connection:
        now = house.workspace.now()
        assert sessions.find(connection, house.keys, first.session.secret, now) is None
        assert sessions.find(connection, house.keys, second.session.secret, now) is not None


def test_a_password_is_brought_to_todays_costs(house: House) -> None:
    """Signing in 8: a full process stores it anew, a counter process leaves it."""
    who = house.enrolled("clerk.bj01")
    before = house.row("account", principal_id=who).password
    counter = replace(house.workspace, role=COUNTER)
    house.door = SigningIn(counter, house.keys, DEARER)
    assert house.attempt(who) is not None
    assert house.row("account", principal_id=who).password == before
    house.later(minutes=1)
    house.door = SigningIn(house.workspace, house.keys, DEARER)
    assert house.attempt(who) is not None
    after = house.row("account", principal_id=who).password
    assert passwords.is_current(after, DEARER)
    house.later(minutes=1)
    assert house.attempt(who) is not None


def test_what_counts_no_more_is_thrown_away(house: House) -> None:
    """Failures of names that were tried days ago do not pile up."""
    who = house.enrolled("clerk.bj01")
    for number in range(20):
        house.attempt(f"name{number}", code="000000", client=replace_address(f"192.0.2.{number}"))
    assert len(digests(house)) == 40
    house.later(days=3)
    assert house.attempt(who) is not None
    assert len(digests(house)) == 3
