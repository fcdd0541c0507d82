"""Accounts of people who sign in with a password and a one-time code.

An account begins with an invitation: a one-time code that somebody in charge hands over. With
it the person sees the seed for their authenticator app, chooses a password and proves the app
with a code. Nobody else ever knows the password, and none is typed on a command line.

Invariants, each named by a test in ``tests/integration/signing_in/test_accounts.py``:

1. An invitation is good once, for one principal, for a day; a newer one ends it. Each showing
   draws another seed, so of two who hold it one fails, and it is noticed.
2. Without password and proved second factor nobody signs in to an account.
3. Who is reset or locked has no session any more. A lock holds for everything that lets in:
   password, identity provider and keys.
4. Password, seed, recovery codes and invitations are stored as Argon2id, sealed, and as keyed
   digests; what is shown is shown once.
5. A service has no account: it has keys.
"""

import datetime as dt
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa

from cdp.access import one_time, passwords, sessions
from cdp.errors import Refused, Stop
from cdp.storage.schema import account, principal, throttle
from cdp.vault import primitives
from cdp.vault.primitives import NONCE_BYTES, Randomness, Stretching
from cdp.vault.secret import Secret
from cdp.vault.sign_in import SEED_BYTES, SignInKeys
from connectors.record import Raw, Sensitive
from policies.claims import is_principal_id
from policies.vocabulary import Role

INVITATION_LIFE: Final = dt.timedelta(hours=24)
_CODE_BYTES: Final = 32
_LIST: Final = "list them with: cdp access list-accounts"


@dataclass(frozen=True, slots=True)
class Invitation(Raw):
    """A one-time code to enrol with. Show it once, to the person it is for."""

    principal_id: str
    ends_at: dt.datetime
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ListedAccount:
    """An account as listings show it."""

    principal_id: str
    state: str  # invited | invitation over | active | locked
    recovery_codes: int  # that are left
    at: dt.datetime  # of the last change by somebody in charge


def add(
    connection: sa.Connection,
    keys: SignInKeys,
    principal_id: str,
    now: dt.datetime,
    randomness: Randomness = primitives.system_randomness,
) -> Invitation:
    """Make an account for a principal and return the invitation to it.

    Raises:
        Stop: there is no such principal, or it has an account.
        Refused: it is a service.
    """
    held = connection.scalar(
        sa.select(principal.c.assignments).where(principal.c.id == principal_id)
    )
    if not held:
        raise Stop(
            "no_such_principal", "add it to cdp.yaml, then run this again", principal=principal_id
        )
    if any(one.startswith(f"{Role.SERVICE}@") for one in held):
        raise Refused("service_has_keys", "run: cdp access issue-key", principal=principal_id)
    exists = sa.select(sa.exists().where(account.c.principal_id == principal_id))
    if connection.scalar(exists):
        raise Stop("account_exists", "run: cdp access reset-account", principal=principal_id)
    values, invitation = _fresh(keys, principal_id, now, randomness)
    connection.execute(sa.insert(account).values(principal_id=principal_id, **values))
    return invitation


def reset(
    connection: sa.Connection,
    keys: SignInKeys,
    principal_id: str,
    now: dt.datetime,
    randomness: Randomness = primitives.system_randomness,
) -> Invitation:
    """Begin an account anew: no password, another seed, no sessions. A lock stays.

    Raises:
        Stop: there is no such account.
    """
    values, invitation = _fresh(keys, principal_id, now, randomness)
    _change(connection, principal_id, {**values, "password": None, "totp_step": None})
    sessions.end_all(connection, principal_id, now)
    return invitation


def release(connection: sa.Connection, principal_id: str, now: dt.datetime) -> bool:
    """Let somebody else at the identity provider have a name; False: it is nobody's there."""
    theirs = principal.c.id == principal_id, principal.c.subject.is_not(None)
    released = connection.execute(sa.update(principal).where(*theirs).values(subject=None, at=now))
    if released.rowcount:
        sessions.end_all(connection, principal_id, now)
    return released.rowcount == 1


def lock(connection: sa.Connection, principal_id: str, now: dt.datetime) -> None:
    """Keep somebody out until `unlock`, whatever lets them in, and end their sessions.

    Raises:
        Stop: nobody of that id is known.
    """
    _set_lock(connection, principal_id, now)
    sessions.end_all(connection, principal_id, now)


def unlock(connection: sa.Connection, keys: SignInKeys, principal_id: str) -> None:
    """Let somebody in again, and forget the failures of their account.

    Raises:
        Stop: nobody of that id is known.
    """
    _set_lock(connection, principal_id, None)
    bucket = keys.bucket("account", principal_id)
    connection.execute(sa.delete(throttle).where(throttle.c.digest == bucket))


def list_accounts(connection: sa.Connection, now: dt.datetime) -> list[ListedAccount]:
    """Return every account, and whoever is locked without one, in the order of ids."""
    columns = principal.c.id, principal.c.locked_at, principal.c.at.label("known_at"), account
    theirs = sa.select(*columns).join_from(principal, account, isouter=True)
    shown = sa.or_(account.c.principal_id.is_not(None), principal.c.locked_at.is_not(None))
    rows = connection.execute(theirs.where(shown).order_by(principal.c.id))
    return [
        ListedAccount(row.id, _state(row, now), len(row.recovery or ()), row.locked_at or row.at)
        for row in rows
    ]


def invited_seed(
    connection: sa.Connection,
    keys: SignInKeys,
    principal_id: str,
    code: str,
    now: dt.datetime,
    randomness: Randomness = primitives.system_randomness,
) -> Secret | None:
    """Draw a seed for the authenticator app of whoever holds the invitation; else None.

    Each showing draws another one, and the newest counts: whoever saw an earlier one, with an
    invitation that was read on its way, has nothing of it.
    """
    if _invited(connection, keys, principal_id, code, now) is None:
        return None
    seed, sealed = _drawn(keys, principal_id, randomness)
    _change(connection, principal_id, {"totp": sealed})
    return seed


@dataclass(frozen=True, slots=True)
class Enrolment(Raw):
    """What a person enrols with."""

    principal_id: str
    invitation: str = field(repr=False)
    password: Sensitive = field(repr=False)
    code: str = field(repr=False)  # of the authenticator app


def enrol(
    connection: sa.Connection,
    keys: SignInKeys,
    given: Enrolment,
    now: dt.datetime,
    costs: Stretching = passwords.COSTS,
    randomness: Randomness = primitives.system_randomness,
) -> tuple[str, ...] | None:
    """Set the password, spend the invitation, return the recovery codes to be shown once.

    Returns:
        None: no such invitation, or the code is not of the seed.

    Raises:
        Refused: the password is one that others would guess.
    """
    row = _invited(connection, keys, given.principal_id, given.invitation, now)
    if row is None:
        return None
    passwords.refuse_weak(given.password, given.principal_id)
    seed = keys.open(given.principal_id, bytes(row.totp))
    step = one_time.matching_step(seed, given.code, now, None)
    if step is None:
        return None
    codes = one_time.recovery_codes(randomness)
    digests = [
        keys.code("recovery", given.principal_id, one_time.typed_recovery(code)) for code in codes
    ]
    _change(
        connection,
        given.principal_id,
        {
            "password": passwords.stored(given.password, randomness(passwords.SALT_BYTES), costs),
            "totp_step": step,
            "recovery": digests,
            "enrolment": None,
            "enrolment_ends_at": None,
        },
    )
    return codes


def _fresh(
    keys: SignInKeys, principal_id: str, now: dt.datetime, randomness: Randomness
) -> tuple[dict[str, object], Invitation]:
    text, ends = randomness(_CODE_BYTES).hex(), now + INVITATION_LIFE
    _, sealed = _drawn(keys, principal_id, randomness)
    values: dict[str, object] = {
        "totp": sealed,
        "recovery": [],
        "enrolment": keys.code("enrolment", principal_id, text),
        "enrolment_ends_at": ends,
        "at": now,
    }
    return values, Invitation(principal_id, ends, text)


def _drawn(keys: SignInKeys, principal_id: str, randomness: Randomness) -> tuple[Secret, bytes]:
    """A fresh seed, and the same sealed."""
    seed = Secret(randomness(SEED_BYTES))
    return seed, keys.seal(principal_id, seed, randomness(NONCE_BYTES))


def _invited(
    connection: sa.Connection, keys: SignInKeys, principal_id: str, code: str, now: dt.datetime
) -> sa.Row[Any] | None:
    """The account that is waiting for this invitation, held until the transaction ends."""
    name = principal_id if is_principal_id(principal_id) else ""  # what the database can hold
    mine = sa.select(account).where(account.c.principal_id == name)
    row = connection.execute(mine.with_for_update()).one_or_none()
    known = row is not None and row.enrolment is not None and row.enrolment_ends_at > now
    stored = bytes(row.enrolment) if row is not None and known else bytes(32)
    fits = primitives.same(keys.code("enrolment", principal_id, code), stored)
    return row if known and fits else None


def _change(connection: sa.Connection, principal_id: str, values: dict[str, object]) -> None:
    mine = account.c.principal_id == principal_id
    if not connection.execute(sa.update(account).where(mine).values(**values)).rowcount:
        raise Stop("no_such_account", _LIST, principal=principal_id)


def _set_lock(connection: sa.Connection, principal_id: str, at: dt.datetime | None) -> None:
    locked = sa.update(principal).where(principal.c.id == principal_id).values(locked_at=at)
    if not connection.execute(locked).rowcount:
        raise Stop(
            "no_such_principal",
            "name one of cdp.yaml, or one who came through the identity provider",
            principal=principal_id,
        )


def _state(row: sa.Row[Any], now: dt.datetime) -> str:
    if row.locked_at is not None:
        return "locked"
    if row.password is not None:
        return "active"
    return "invited" if row.enrolment_ends_at > now else "invitation over"
