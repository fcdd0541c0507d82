"""Put an epoch in force: a named person signs it, having seen what it changes.

Invariants, each named by a test in ``tests/integration/test_epochs.py``:
    1. Who signs is named, gives a reason, and may by policy merge and split everybody: a
       new epoch does both.
    2. The event, the signature, the switch and everything that follows from it are one
       transaction. Killed at any moment, the old epoch is in force and nobody has moved.
    3. What changes is shown before anything is stored; without consent nothing is.
    4. A signed epoch stays until another is put in force: no run replaces it by itself.
"""

from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa

from cdp.access.answers import Denial, DenialKind
from cdp.access.trail import Attempt
from cdp.audit import event, log
from cdp.audit.errors import DetailRefused
from cdp.resolution import epochs
from cdp.resolution.loading import Loaded
from cdp.resolution.permission import Permission
from cdp.resolution.run import Adoption, Progress, ResolveReport, quiet, resolve
from cdp.resolution.simulating import EXAMPLES, Simulation, compared, simulate
from cdp.workspace import Workspace
from identity.batch import Resolution
from identity.model import Model
from policies.decision import Subject
from policies.reasons import Reason
from policies.vocabulary import Action, Purpose

EVENT, LOOK = "identity.adopt", "identity.simulate"
_MUST_BE_ALLOWED = (Action.MERGE, Action.SPLIT)


@dataclass(frozen=True, slots=True)
class Adopter:
    """One person who puts an epoch in force, and why.

    Attributes:
        workspace: whose epoch it is.
        subject: who signs.
        model: the epoch.
        reason: kept with the epoch and in the audit log.
    """

    workspace: Workspace
    subject: Subject
    model: Model
    reason: str

    def __post_init__(self) -> None:
        """Decide all that is asked of it under one policy."""
        object.__setattr__(self, "workspace", self.workspace.pinned())

    def denial(self) -> Denial | None:
        """The refusal, kept in the log; None where the subject may sign."""
        found = self._unusable() or self._forbidden()
        if found:
            with self.workspace.engine.begin() as connection:
                log.append(connection, self._attempt().denied(found.reason))
        return found

    def rehearse(self, limit: int = EXAMPLES, progress: Progress = quiet) -> Simulation:
        """Say what would change; nothing of it is stored."""
        found = simulate(self.workspace, self.model, limit, progress)
        self._log_look()
        return found

    def adopt(
        self,
        show: Callable[[Simulation], None],
        limit: int = EXAMPLES,
        progress: Progress = quiet,
    ) -> ResolveReport | Denial:
        """Put the epoch in force and bring everybody up to date.

        Args:
            show: told what will change, before it does; what it raises leaves all as it is.
            limit: how many examples ``show`` gets of each kind.
            progress: told the name of each step.

        Raises:
            Refused: a resolve runs, or another epoch is being adopted.
            Stop: there are no records.
        """
        found = self.denial()
        if found:
            return found

        def look(loaded: Loaded, resolution: Resolution) -> None:
            with self.workspace.engine.connect() as connection:
                found = compared(connection, self.workspace, loaded, resolution, limit)
            self._log_look()
            show(found)

        adoption = Adoption(self.model, self.subject.id, self.reason, look, self._log)
        return resolve(self.workspace, adoption=adoption, progress=progress)

    # ── inside ──────────────────────────────────────────────────────────────

    def _unusable(self) -> Denial | None:
        try:
            event.screen(self.reason)
        except DetailRefused as error:
            return Denial(DenialKind.UNUSABLE, error.rule, error.next_step)
        return None

    def _forbidden(self) -> Denial | None:
        policy = self.workspace.policy
        for action in _MUST_BE_ALLOWED:
            refusal = Permission(self.workspace, self.subject, action, EVENT).refusal()
            if refusal:
                return refusal
            if not policy.scope(self.subject, action, Purpose.SERVICE).all:
                reason = Reason.OUTSIDE_SCOPE
                return Denial(DenialKind.FORBIDDEN, reason.value, reason.sentence)
        return None

    def _log(self, connection: sa.Connection) -> None:
        log.append(connection, self._attempt().allowed("", (), self.reason))

    def _log_look(self) -> None:
        """Committed before ids of profiles are shown."""
        with self.workspace.engine.begin() as connection:
            log.append(connection, self._attempt(LOOK).allowed("", ()))

    def _attempt(self, what: str = EVENT) -> Attempt:
        policy, now = self.workspace.policy, self.workspace.now()
        # The epoch is what was asked for. The word before it keeps digits from being
        # taken for somebody's number.
        asked = f"epoch-{epochs.id_of(self.model)}"
        return Attempt(self.subject, what, Purpose.SERVICE, policy.version, now, asked)
