"""Signing in through the identity provider.

Invariants, each named by a test in ``tests/integration/signing_in``:

1. A state is good once, for ten minutes, and only in the browser that it was begun in.
2. Roles come from claims by the closed list of ``cdp.yaml``; whoever matches no line is refused,
   and so is everybody by a process whose list is not the one that was synced last.
3. A name of ``cdp.yaml`` is nobody's through the provider, in any spelling, and a name that
   somebody came with stays theirs: it is bound to issuer and subject. Nobody has two names.
4. Separation of duties holds for what the claims give.
5. Signing in again ends the sessions of before, and with them the roles of before; so does the
   session end that the browser had, whosoever it was.
6. Where the browser goes afterwards is no part of any request.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from cdp.access import sessions
from cdp.access.oidc import IdentityProvider, TokenRefused
from cdp.access.principals import DECLARED, SYNC, origin_of
from cdp.access.sessions import Begun
from cdp.access.signing_in import NO_ROLE, NOBODY, event, role_of
from cdp.audit import log
from cdp.errors import Refused
from cdp.storage import locks
from cdp.storage.schema import principal, sign_in_state
from cdp.storage.schema import workspace as workspace_table
from cdp.vault import primitives
from cdp.vault.primitives import Randomness
from cdp.vault.sign_in import SignInKeys
from cdp.workspace import Workspace
from connectors.record import Raw
from policies.claims import Matched, matched
from policies.decision import Subject
from policies.duties import duty_conflicts

STATE_LIFE: Final = dt.timedelta(minutes=10)
METHOD: Final = "oidc"
_ANOTHERS: Final = "name_of_another"
_OUTDATED: Final = "mapping_unknown_here"
_SYNCED: Final = sa.select(workspace_table.c.claims_origin)
_SECRET_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Started(Raw):
    """A sign-in that was begun: where the browser goes, and what it must bring back."""

    address: str = field(repr=False)
    state: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Returned(Raw):
    """What a browser comes back with."""

    state: str | None = field(repr=False)
    kept: str | None = field(repr=False)  # the state that its cookie holds
    code: str | None = field(repr=False)
    issuer: str | None = None


class SingleSignOn:
    """Sign-in through one provider. Any number of threads may use it."""

    def __init__(
        self,
        workspace: Workspace,
        keys: SignInKeys,
        provider: IdentityProvider,
        randomness: Randomness = primitives.system_randomness,
    ) -> None:
        self._workspace = workspace
        self._keys = keys
        self._provider = provider
        self._randomness = randomness

    def start(self) -> Started:
        """Begin a sign-in.

        Raises:
            ProviderUnreachable: the provider does not answer.
        """
        state, now = self._randomness(_SECRET_BYTES).hex(), self._workspace.now()
        keys = self._keys
        address = self._provider.address(state, keys.nonce(state), keys.verifier(state))
        with self._workspace.engine.begin() as connection:
            connection.execute(sa.delete(sign_in_state).where(sign_in_state.c.ends_at <= now))
            connection.execute(
                sa.insert(sign_in_state).values(digest=keys.state(state), ends_at=now + STATE_LIFE)
            )
        return Started(address, state)

    def finish(
        self, returned: Returned, request_id: str | None, presented: str | None = None
    ) -> Begun | None:
        """Begin the session of whoever came back, or return None: one answer to all refusals.

        Args:
            returned: what the browser brings.
            request_id: of the request.
            presented: the secret of a session that came with it; it ends when this one begins.

        Raises:
            ProviderUnreachable: the provider does not answer.
            Refused: another mapping of claims was synced than this process goes by.
        """
        found = self._claims(returned)
        with self._workspace.engine.begin() as connection:
            begun = found if isinstance(found, str) else self._admit(connection, found, request_id)
            if not isinstance(begun, str):
                if presented is not None:
                    now = self._workspace.now()
                    sessions.end_presented(connection, self._keys, presented, now)
                return begun
            refused = event(self._workspace, "session.begin", NOBODY, NO_ROLE, request_id, begun)
            log.append(connection, refused)
        if begun == _OUTDATED:
            step = "restart this process once cdp.yaml is synced: it goes by another mapping"
            raise Refused(_OUTDATED, step)
        return None

    def _claims(self, returned: Returned) -> Mapping[str, Any] | str:
        """The verified claims, or the code of why there are none."""
        state = returned.state
        if not state or not returned.kept or not _same(state, returned.kept):
            return "state_of_another_browser"
        if not self._taken(state):
            return "state_unknown"
        if not self._provider.names_itself(returned.issuer):
            return "issuer_differs"
        if not returned.code:
            return "no_code"
        keys = self._keys
        try:
            return self._provider.claims(returned.code, keys.verifier(state), keys.nonce(state))
        except TokenRefused as error:
            return error.rule

    def _taken(self, state: str) -> bool:
        """Take the state away; of two who come with it at once, one does."""
        gone = sa.delete(sign_in_state).where(sign_in_state.c.digest == self._keys.state(state))
        with self._workspace.engine.begin() as connection:
            ends = connection.scalar(gone.returning(sign_in_state.c.ends_at))
        return ends is not None and bool(ends > self._workspace.now())

    def _admit(
        self, connection: sa.Connection, claims: Mapping[str, Any], request_id: str | None
    ) -> Begun | str:
        """Begin the session, or return the code of why not."""
        declaration = self._workspace.declaration
        if declaration.claims is None:
            return "no_mapping"
        locks.share(connection, SYNC)  # so that no mapping goes while somebody comes in by it
        if connection.scalar(_SYNCED) != origin_of(declaration):
            return _OUTDATED
        who = matched(declaration.claims, claims, declaration.organisation)
        if not isinstance(who, Matched):
            return who.reason
        held = (Subject(who.principal, one.role.value, one.node) for one in who.assignments)
        if duty_conflicts(held):
            return "duty_conflict"
        if against := self._take_name(connection, who, str(claims["sub"])):
            return against
        now = self._workspace.now()
        sessions.end_all(connection, who.principal, now)
        assignments = tuple(one.text for one in who.assignments)
        role = role_of(assignments)
        log.append(
            connection,
            event(self._workspace, "session.begin", who.principal, role, request_id),
        )
        return sessions.begin(
            connection, self._keys, who.principal, METHOD, now,
            assignments=assignments, randomness=self._randomness,
        )  # fmt: skip

    def _take_name(self, connection: sa.Connection, who: Matched, subject: str) -> str | None:
        """Enter the principal under their name; or return the code of why it is not theirs."""
        told = self._keys.subject(self._provider.issuer, subject)
        origin, now = origin_of(self._workspace.declaration), self._workspace.now()
        # Always the name first, so that no two wait for each other.
        for held in (f"name {who.principal.lower()}", f"subject {told.hex()}"):
            connection.execute(
                sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtext(f"kith.{held}")))
            )
        folded = sa.func.lower(principal.c.id) == who.principal.lower()
        theirs = principal.c.subject == told
        others = connection.execute(sa.select(principal).where(sa.or_(folded, theirs))).all()
        if against := _against(others, who.principal, told):
            return against
        fresh = insert(principal).values(id=who.principal, origin=origin, subject=told, at=now)
        taken = {name: fresh.excluded[name] for name in ("origin", "subject", "at")}
        free = sa.or_(principal.c.subject.is_(None), principal.c.subject == told)
        entered = connection.execute(
            fresh.on_conflict_do_update(
                index_elements=[principal.c.id],
                set_=taken,
                where=sa.and_(principal.c.origin != DECLARED, free),
            )
        )
        return None if entered.rowcount else _ANOTHERS


def _against(others: Sequence[sa.Row[Any]], name: str, told: bytes) -> str | None:
    """The code of why a name is not for whoever comes with it; None: it is theirs, or free.

    Args:
        others: everybody of that name, in any spelling, or of that subject.
        name: as the provider says it.
        told: the digest of issuer and sub.
    """
    for one in (each for each in others if each.id.lower() == name.lower()):
        mine = one.subject is None or primitives.same(bytes(one.subject), told)
        if one.id != name or one.origin == DECLARED or not mine:
            return _ANOTHERS
    if any(one.id != name for one in others):
        return "subject_has_a_name"
    return "locked" if any(one.locked_at for one in others) else None


def _same(left: str, right: str) -> bool:
    one, other = (text.encode(errors="surrogatepass") for text in (left, right))
    return primitives.same(one, other)
