"""Signing in with a password and a one-time code.

Invariants, each named by a test in ``tests/integration/signing_in``:

1. An unknown account, a wrong password, a wrong code, a locked account and one that must wait
   get one answer after the same statements and one Argon2.
2. A one-time code and a recovery code let in once, also when they are sent twice at once.
3. An attempt is counted before it is judged, so that many at once are no way around the limit.
4. Failures elsewhere keep nobody out on a device from which they signed in before.
5. Every attempt has its event: who, if there is such an account, and why not. What was typed
   as a name is not kept.
6. A sign-in begins a session of its own and ends the one that was presented with it.
7. A flood of attempts takes neither the memory nor the threads of a process, nor the places of
   devices that are known.
8. A password stored at older costs is stored at today's by a process that may write it.
"""

import datetime as dt
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from cdp.access import devices, lockout, one_time, passwords, sessions
from cdp.access.lockout import ADDRESS, PERSON, Failures
from cdp.access.sessions import Begun
from cdp.audit import log
from cdp.audit.event import AuditEvent
from cdp.errors import Retry
from cdp.storage.schema import account, principal, throttle
from cdp.vault import primitives
from cdp.vault.primitives import NONCE_BYTES, Randomness, Stretching
from cdp.vault.roles import FULL
from cdp.vault.secret import Secret
from cdp.vault.sign_in import SEED_BYTES, SignInKeys
from cdp.workspace import Workspace
from connectors.record import Raw, Sensitive
from policies.claims import is_principal_id
from policies.vocabulary import Purpose

AT_ONCE: Final = 2  # passwords stretched at the same time; each takes 64 MiB
WAITING: Final = 8  # attempts under way; a flood of them must not take every thread there is
KNOWN_AT_ONCE: Final = 1  # beside them, of devices that are known: a flood takes none of these
KNOWN_WAITING: Final = 4
KEPT_FOR: Final = dt.timedelta(days=2)  # failures; none counts after one
NOBODY: Final = "unknown"  # the actor of an attempt under a name that is nobody's
NO_ROLE: Final = "none"
METHOD: Final = "password"
_SPENT: Final = (
    sa.update(account)
    .where(
        account.c.principal_id == sa.bindparam("who"),
        account.c.password == sa.bindparam("seen"),
        sa.exists().where(
            principal.c.id == account.c.principal_id, principal.c.locked_at.is_(None)
        ),
        sa.case(
            (
                sa.bindparam("step", type_=sa.BigInteger).is_not(None),
                sa.func.coalesce(account.c.totp_step < sa.bindparam("step"), sa.true()),
            ),
            else_=sa.bindparam("used", type_=sa.LargeBinary) == sa.any_(account.c.recovery),
        ),
    )
    .values(
        totp_step=sa.func.coalesce(sa.bindparam("step", type_=sa.BigInteger), account.c.totp_step),
        recovery=sa.func.array_remove(
            account.c.recovery, sa.bindparam("used", type_=sa.LargeBinary)
        ),
    )
)


@dataclass(frozen=True, slots=True)
class Client(Raw):
    """Where an attempt comes from."""

    address: str = field(repr=False)
    device: str | None = field(repr=False)  # what the device's cookie says
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Attempt(Raw):
    """What was typed."""

    principal_id: str = field(repr=False)  # anything may stand there
    password: Sensitive = field(repr=False)
    code: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SignedIn(Raw):
    """A sign-in that worked: the session, and what to know the device by."""

    session: Begun
    device: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Known(Raw):
    """What the first transaction found."""

    row: sa.Row[Any] | None = field(repr=False)
    is_locked: bool
    buckets: tuple[bytes, ...] = field(repr=False)  # in which the attempt was counted


class _Places:
    """Room for some attempts: so many are under way, and so many of them stretch a password."""

    def __init__(self, at_once: int, waiting: int) -> None:
        self.turn = threading.BoundedSemaphore(at_once)
        self.queue = threading.BoundedSemaphore(waiting)


class SigningIn:
    """Sign-in of one workspace. Any number of threads may use it."""

    def __init__(
        self,
        workspace: Workspace,
        keys: SignInKeys,
        costs: Stretching = passwords.COSTS,
        randomness: Randomness = primitives.system_randomness,
    ) -> None:
        self._workspace = workspace
        self._keys = keys
        self._costs = costs
        self._randomness = randomness
        self._known_places = _Places(KNOWN_AT_ONCE, KNOWN_WAITING)
        self._places = _Places(AT_ONCE, WAITING)
        # Checked where there is no account, so that nobody learns that there is none.
        self._nobodys = Secret(randomness(SEED_BYTES))

    def attempt(
        self, given: Attempt, client: Client, presented: str | None = None
    ) -> SignedIn | None:
        """Sign somebody in, or return None: one answer, whatever was wrong.

        Args:
            given: what was typed.
            client: where from.
            presented: the secret of a session that came with it; it ends when this one begins.

        Raises:
            Retry: too many try at the same time; nothing was counted.
        """
        if not is_principal_id(given.principal_id):
            given = replace(given, principal_id="")  # nobody's, and the database can hold it
        places = self._places_for(given, client)
        if not places.queue.acquire(blocking=False):
            raise Retry("too many sign in at the same time", "try again in a moment")
        try:
            return self._attempted(given, client, presented, places.turn)
        finally:
            places.queue.release()

    def _places_for(self, given: Attempt, client: Client) -> _Places:
        now, who = self._workspace.now(), given.principal_id
        with self._workspace.engine.connect() as connection:
            known = devices.is_known(connection, self._keys, who, client.device, now)
        return self._known_places if known else self._places

    def _attempted(
        self,
        given: Attempt,
        client: Client,
        presented: str | None,
        turn: threading.BoundedSemaphore,
    ) -> SignedIn | None:
        known = self._counted(given, client)
        row = known.row
        enrolled = row is not None and row.password is not None
        stored = row.password if row is not None else None
        with turn:
            fits = passwords.matches(given.password, stored)
        step, used = self._second_factor(given, row)
        reason = _why_not(known, enrolled=enrolled, fits=fits)
        with self._workspace.engine.begin() as connection:
            spent = connection.execute(
                _SPENT,
                {
                    "who": given.principal_id if reason is None else "",
                    "seen": stored or "",
                    "step": step,
                    "used": b"" if step is not None else used,
                },
            ).rowcount
            reason = reason if spent or reason else "wrong_code"
            log.append(connection, self._event(row, reason, client))
            if row is None or reason is not None:
                return None
            return self._begin(connection, given, known, client, presented)

    def _begin(
        self,
        connection: sa.Connection,
        given: Attempt,
        known: _Known,
        client: Client,
        presented: str | None,
    ) -> SignedIn:
        now = self._workspace.now()
        device = devices.own(client.device, self._randomness)
        self._forgive(
            connection, known, devices.bucket(self._keys, given.principal_id, device), now
        )
        devices.know(connection, self._keys, given.principal_id, device, now)
        if presented is not None:
            sessions.end_presented(connection, self._keys, presented, now)
        self._brought_up_to_date(connection, given, known)
        begun = sessions.begin(
            connection, self._keys, given.principal_id, METHOD, now, randomness=self._randomness
        )
        return SignedIn(begun, device)

    # ── failures ────────────────────────────────────────────────────────────

    def _counted(self, given: Attempt, client: Client) -> _Known:
        """Count the attempt as a failure, before it is known to be one."""
        now, keys = self._workspace.now(), self._keys
        mine = keys.bucket("account", given.principal_id)
        device = devices.bucket(keys, given.principal_id, client.device)
        address = keys.bucket("address", lockout.counted_as(client.address))
        with self._workspace.engine.begin() as connection:
            connection.execute(
                insert(throttle).on_conflict_do_nothing(),
                [
                    {"digest": one, "failures": 0, "failed_at": now}
                    for one in sorted((mine, address))
                ],
            )
            found = _hold(connection, [mine, device, address])
            row = connection.execute(
                sa.select(account, principal.c.assignments, principal.c.locked_at)
                .join(principal)
                .where(account.c.principal_id == given.principal_id)
            ).one_or_none()
            held = {bytes(one.digest): one for one in found}
            known = device in held and (held[device].known_until or now) > now
            terms = {device: PERSON} if known else {mine: PERSON, address: ADDRESS}
            stored = {one: Failures(held[one].failures, held[one].failed_at) for one in terms}
            buckets = {one: lockout.as_of(each, now) for one, each in stored.items()}
            locked = any(lockout.is_locked(buckets[one], terms[one], now) for one in terms)
            after = {
                one: held_ if locked else lockout.counted(held_, terms[one], now)
                for one, held_ in buckets.items()
            }
            _write(connection, after)
        return _Known(row, locked, tuple(terms))

    def _forgive(
        self, connection: sa.Connection, known: _Known, device: bytes, now: dt.datetime
    ) -> None:
        """Take the count back, and forget what counts no more; ``device`` is held as well."""
        mine, *address = known.buckets
        _hold(connection, [device, *known.buckets])
        _write(connection, {mine: Failures(0, now)})
        connection.execute(
            sa.update(throttle)
            .where(throttle.c.digest.in_(address), throttle.c.failures > 0)
            .values(failures=throttle.c.failures - 1)
        )
        over = sa.func.coalesce(throttle.c.known_until, throttle.c.failed_at) < now - KEPT_FOR
        stale = sa.select(throttle.c.digest).where(over, throttle.c.failed_at < now - KEPT_FOR)
        some = stale.limit(100).with_for_update(skip_locked=True)
        connection.execute(sa.delete(throttle).where(throttle.c.digest.in_(some)))

    # ── what was typed ──────────────────────────────────────────────────────

    def _second_factor(self, given: Attempt, row: sa.Row[Any] | None) -> tuple[int | None, bytes]:
        """Return the step of the code, if it is one now, and its digest as a recovery code."""
        now, last = self._workspace.now(), None
        sealed = self._keys.seal(NOBODY, self._nobodys, self._randomness(NONCE_BYTES))
        whose = NOBODY
        if row is not None:
            sealed, whose, last = bytes(row.totp), row.principal_id, row.totp_step
        seed = self._keys.open(whose, sealed)
        step = one_time.matching_step(seed, given.code, now, last)
        typed = one_time.typed_recovery(given.code)
        return step, self._keys.code("recovery", given.principal_id, typed)

    def _brought_up_to_date(self, connection: sa.Connection, given: Attempt, known: _Known) -> None:
        """Store the password at today's costs, and the seed under today's key."""
        row = known.row
        if row is None or self._workspace.role != FULL:
            return
        values: dict[str, object] = {}
        if not passwords.is_current(row.password, self._costs):
            salt = self._randomness(passwords.SALT_BYTES)
            values["password"] = passwords.stored(given.password, salt, self._costs)
        if not self._keys.is_current(bytes(row.totp)):
            seed = self._keys.open(row.principal_id, bytes(row.totp))
            nonce = self._randomness(NONCE_BYTES)
            values["totp"] = self._keys.seal(row.principal_id, seed, nonce)
        if values:
            mine = account.c.principal_id == row.principal_id
            connection.execute(sa.update(account).where(mine).values(**values))

    def _event(self, row: sa.Row[Any] | None, reason: str | None, client: Client) -> AuditEvent:
        who = row.principal_id if row is not None else NOBODY
        role = role_of(row.assignments if row is not None else ())
        return event(self._workspace, "session.begin", who, role, client.request_id, reason)


def role_of(assignments: Sequence[str]) -> str:
    """The role of the first assignment, for the log."""
    return assignments[0].partition("@")[0] if assignments else NO_ROLE


def event(
    workspace: Workspace,
    action: str,
    actor: str,
    role: str,
    request_id: str | None,
    reason: str | None = None,
) -> AuditEvent:
    """Return the event of something about signing in; with a reason, of its refusal."""
    return AuditEvent(
        actor=actor,
        role=role,
        action=action,
        purpose=Purpose.SERVICE.value,
        decision="allow" if reason is None else "deny",
        reason=reason or "granted",
        policy_version=workspace.policy.version,
        at=workspace.now(),
        request_id=request_id,
    )


def _why_not(known: _Known, *, enrolled: bool, fits: bool) -> str | None:
    row = known.row
    if row is None or not row.assignments:
        return "no_account"
    if row.locked_at is not None:
        return "locked"
    if known.is_locked:
        return "too_many_failures"
    if not enrolled:
        return "not_enrolled"
    return None if fits else "wrong_password"


def _hold(connection: sa.Connection, buckets: list[bytes]) -> Sequence[sa.Row[Any]]:
    """Hold buckets until the transaction ends; always in one order, so that nobody deadlocks."""
    mine = sa.select(throttle).where(throttle.c.digest.in_(buckets)).order_by(throttle.c.digest)
    return connection.execute(mine.with_for_update()).all()


def _write(connection: sa.Connection, buckets: Mapping[bytes, Failures]) -> None:
    connection.execute(
        sa.update(throttle)
        .where(throttle.c.digest == sa.bindparam("one"))
        .values(failures=sa.bindparam("count"), failed_at=sa.bindparam("last")),
        [
            {"one": one, "count": held.failures, "last": held.last}
            for one, held in sorted(buckets.items())
        ],
    )
