"""The audit events of the gate: one attempt, and how it came out for each person."""

import datetime as dt
from dataclasses import dataclass
from typing import Final, Literal

from cdp.audit.event import AuditEvent
from cdp.profiles.reader import is_profile_id
from policies.decision import Subject
from policies.vocabulary import FieldClass, Purpose

UNKNOWN: Final = "unknown"
_FIELDS: Final = frozenset(field.value for field in FieldClass)
_PURPOSES: Final = frozenset(purpose.value for purpose in Purpose)


@dataclass(frozen=True, slots=True)
class Attempt:
    """Who tries to do what, for what purpose, under which policy.

    Words and ids that Kith did not make are replaced before they reach the log: what a
    caller types as a purpose, a field or an id may be anything.
    """

    subject: Subject
    action: str  # such as profile.read
    purpose: str
    policy_version: str
    at: dt.datetime
    request_id: str | None

    def allowed(
        self, profile_id: str | None, fields: tuple[str, ...], detail: str | None = None
    ) -> AuditEvent:
        """Return the event of something shown; without a person, of an answer about many."""
        return self._event("allow", "granted", profile_id, fields, detail)

    def denied(
        self,
        reason: str,
        profile_id: str | None = None,
        fields: tuple[str, ...] = (),
        detail: str | None = None,
    ) -> AuditEvent:
        """Return the event of something refused."""
        return self._event("deny", reason, profile_id, fields, detail)

    def _event(
        self,
        decision: Literal["allow", "deny"],
        reason: str,
        profile_id: str | None,
        fields: tuple[str, ...],
        detail: str | None,
    ) -> AuditEvent:
        return AuditEvent(
            actor=self.subject.id,
            role=str(self.subject.role),
            action=self.action,
            purpose=str(self.purpose) if self.purpose in _PURPOSES else UNKNOWN,
            decision=decision,
            reason=str(reason),
            policy_version=self.policy_version,
            at=self.at,
            profile_id=profile_id if profile_id and is_profile_id(profile_id) else None,
            fields=tuple(str(field) for field in fields if field in _FIELDS),
            detail=detail,
            request_id=self.request_id,
        )
