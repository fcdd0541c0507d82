"""Who may decide about people, and who may see how it came about. Decided, then logged.

A refusal is a value, so that its event is kept; hand it on after the commit.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from cdp.access.answers import NOT_FOUND, Denial, DenialKind
from cdp.access.trail import Attempt
from cdp.audit import event, log
from cdp.audit.errors import DetailRefused
from cdp.profiles import reader
from cdp.profiles.reader import Located
from cdp.resolution.links import Decision
from cdp.workspace import Workspace
from policies.decision import Scope, Subject
from policies.reasons import Reason
from policies.vocabulary import Action, FieldClass, Purpose

NOBODY: Final = ""  # an id of nobody: looked up like any other, and not in the log
_NO_SUCH: Final = "no_such_profile"
# Refusals that depend on the person: the caller must not tell them from "no such person".
_ABOUT_THE_PERSON: Final = frozenset({Reason.OUTSIDE_SCOPE, Reason.NO_STORE, _NO_SUCH})


@dataclass(frozen=True, slots=True)
class Permission:
    """What one subject asks to do with some people, and what for."""

    workspace: Workspace
    subject: Subject
    action: Action
    event: str  # the action's name in the audit log
    field: FieldClass = FieldClass.NONE
    purpose: Purpose = Purpose.SERVICE
    request_id: str | None = None

    def __post_init__(self) -> None:
        """Decide all that is asked of it under one policy."""
        object.__setattr__(self, "workspace", self.workspace.pinned())

    def people(
        self, connection: sa.Connection, named: Iterable[str], reason: str | None = None
    ) -> list[Located] | Denial:
        """Find the people of these ids, old ids followed, if the subject may do this to all.

        Args:
            connection: in a transaction.
            named: profile ids as typed, ``NOBODY`` for none that there is; none at all where
                nobody is left, and then only who may do this to people of no store is not
                refused.
            reason: typed by the subject; None where none is asked for.
        """
        ids = list(named)
        if reason is not None:
            try:
                event.screen(reason)
            except DetailRefused as error:
                self._log_denied(connection, error.rule, ids, None)
                return Denial(DenialKind.UNUSABLE, error.rule, error.next_step)
        if not ids:
            why = self.why_not(None)
            if why is not None and why != _NO_SUCH:
                self._log_denied(connection, why, ids, reason)
                return _denial(why)
        found: list[Located] = []
        for one in ids:
            known = one == NOBODY or reader.is_profile_id(one)
            there = reader.locate(connection, one) if known else None
            why = self.why_not(there)
            if why is not None or there is None:
                why = why or _NO_SUCH
                self._log_denied(connection, why, ids, reason)
                return _denial(why)
            found.append(there)
        return found

    def why_not(self, found: Located | None) -> str | None:
        """The code of the reason against it; None if nothing is."""
        stores = found.stores if found else frozenset[str]()
        decision = self.workspace.policy.decide(
            self.subject, self.action, self.field, self.purpose, stores
        )
        if not decision.allowed:
            return decision.reason.value
        return None if found else _NO_SUCH

    def refusal(self) -> Denial | None:
        """Say why the subject may do this to nobody at all; None when it depends on whom."""
        decision = self.workspace.policy.decide(
            self.subject, self.action, self.field, self.purpose, None
        )
        if decision.allowed or decision.reason is Reason.NEEDS_PERSON:
            return None
        return _forbidden(decision.reason)

    def reach(self) -> Scope:
        """The stores whose people the subject may do this to."""
        return self.workspace.policy.scope(self.subject, self.action, self.purpose)

    def within(self, connection: sa.Connection, made: Iterable[Decision]) -> list[Decision]:
        """The decisions about people that the subject may do this to."""
        if self.reach().all:
            return list(made)
        return [
            one
            for one in made
            if not any(self.why_not(reader.locate(connection, p)) for p in one.profiles)
        ]

    def log_refused(self, connection: sa.Connection, denial: Denial) -> None:
        """Keep a refusal that is about nobody."""
        log.append(connection, self._attempt().denied(denial.reason))

    def log_allowed(
        self, connection: sa.Connection, ids: Iterable[str], reason: str | None = None
    ) -> None:
        """Keep the event of what is about to happen to each of these people.

        What is done to ``NOBODY`` has an event too.
        """
        attempt = self._attempt()
        fields = () if self.field is FieldClass.NONE else (self.field.value,)
        log.append_all(connection, [attempt.allowed(one, fields, reason) for one in ids])

    def _log_denied(
        self, connection: sa.Connection, why: str, ids: Sequence[str], reason: str | None
    ) -> None:
        attempt = self._attempt()
        log.append_all(connection, [attempt.denied(why, i, (), reason) for i in ids or (NOBODY,)])

    def _attempt(self) -> Attempt:
        policy, now = self.workspace.policy, self.workspace.now()
        return Attempt(self.subject, self.event, self.purpose, policy.version, now, self.request_id)


def _denial(why: str) -> Denial:
    return NOT_FOUND if why in _ABOUT_THE_PERSON else _forbidden(why)


def _forbidden(reason: str) -> Denial:
    return Denial(DenialKind.FORBIDDEN, str(reason), Reason(reason).sentence)
