"""Who may change the policy: one person proposes, another approves.

Invariants, each named by a test in ``tests/integration/policy/test_changing.py``:

1. Who may configure, or may approve for the purpose legal, proposes; who may approve for the
   purpose legal approves and rejects. Nobody approves their own, and only who proposed withdraws.
2. Every attempt has its event in the log, refused ones too, in the transaction that does it.
3. A policy under which nobody could change it again is not put in force.
4. What would change nothing is not proposed.

The policy that decides is the one in force, not the proposed one.
"""

from collections.abc import Callable
from typing import Final, TypeVar

import sqlalchemy as sa

from cdp.access.trail import Attempt
from cdp.audit import event, log
from cdp.audit.errors import DetailRefused
from cdp.errors import KithError, Refused
from cdp.policy import content, versions
from cdp.policy.changing import Author, require_open
from cdp.policy.diff import Difference, difference
from cdp.policy.seen import Link
from cdp.policy.signed import Proposal
from cdp.workspace import Workspace
from policies.decision import CompiledPolicy, Policy, Subject
from policies.vocabulary import Action, FieldClass, Purpose

T = TypeVar("T")
_APPROVE: Final = (Action.APPROVE, Purpose.LEGAL)
_PROPOSE: Final = (_APPROVE, (Action.CONFIGURE, Purpose.SERVICE))


class PolicyChanges:
    """What one subject does to the policy of one workspace."""

    def __init__(self, workspace: Workspace, subject: Subject) -> None:
        self._workspace = workspace.pinned()
        self._subject = subject

    def propose(self, text: str, reason: str) -> Proposal:
        """Store a policy and propose to put it in force.

        Args:
            text: see `cdp.policy.content`.
            reason: typed by the subject; kept with the proposal and in the log.

        Raises:
            Refused: not allowed, it changes nothing, or nobody could change it again.
            PolicyUnusable: it is not a policy.
            KeyWithheld: this process may not sign.
        """

        def work(connection: sa.Connection, author: Author) -> Proposal:
            compiled = content.compiled(text)
            name = author.store(connection, text, self._subject.id)
            self._require_useful(compiled, name)
            return author.propose(connection, name, self._subject.id, reason)

        return self._try("propose", None, work, reason)

    def roll_back(self, typed: str, reason: str) -> Proposal:
        """Propose a version that is stored already. Raises as `propose`, and NoSuchVersion."""

        def work(connection: sa.Connection, author: Author) -> Proposal:
            one = versions.find(connection, author.trust, typed)
            self._require_useful(content.compiled(one.content), one.id)
            return author.propose(connection, one.id, self._subject.id, reason)

        return self._try("propose", None, work, reason)

    def approve(self, number: int) -> Link:
        """Put what somebody else proposed in force.

        Raises:
            Refused: not allowed, one's own, over, or proposed on top of another policy.
            PolicyUntrusted, PolicyUnusable: what is stored is not to be believed.
        """

        def work(connection: sa.Connection, author: Author) -> Link:
            proposal = require_open(versions.proposed(connection, author.trust, number))
            one = versions.version(connection, author.trust, proposal.version)
            self._require_changeable(content.compiled(one.content))
            return author.approve(connection, proposal, self._subject.id)

        link = self._try("approve", number, work)
        self._workspace.policies.refresh()
        return link

    def reject(self, number: int, reason: str) -> None:
        """End a proposal that is not to come into force. Raises `Refused`."""

        def work(connection: sa.Connection, author: Author) -> None:
            require_open(versions.proposed(connection, author.trust, number))
            author.end(connection, number, "rejected", self._subject.id, reason)

        self._try("reject", number, work, reason)

    def withdraw(self, number: int, reason: str) -> None:
        """End one's own proposal. Raises `Refused`."""

        def work(connection: sa.Connection, author: Author) -> None:
            proposal = require_open(versions.proposed(connection, author.trust, number))
            if not versions.same_person(proposal.proposed_by, self._subject.id):
                step = "have who proposed it withdraw it, or reject it"
                raise Refused("not_your_proposal", step, proposal=number)
            author.end(connection, number, "withdrawn", self._subject.id, reason)

        self._try("withdraw", number, work, reason)

    # ── inside ──────────────────────────────────────────────────────────────

    def _try(
        self,
        what: str,
        number: int | None,
        work: Callable[[sa.Connection, Author], T],
        reason: str | None = None,
    ) -> T:
        """Do it with its event, or keep the event of the refusal and raise it."""
        workspace = self._workspace
        about = None if number is None else f"proposal-{number}"
        version, now = workspace.policy.version, workspace.now()
        attempt = Attempt(self._subject, f"policy.{what}", Purpose.LEGAL, version, now, about)
        refusal: KithError | None = self._refusal(what, reason)
        with workspace.engine.begin() as connection:
            detail = None if isinstance(refusal, DetailRefused) else reason
            if refusal is None:
                try:
                    with connection.begin_nested():
                        author = self._author()
                        author.alone(connection)
                        log.append(connection, attempt.allowed("", (), detail))
                        return work(connection, author)
                except KithError as error:
                    refusal = error
            # Some refusals, such as that of a key that is not here, are told in a sentence.
            coded = isinstance(refusal, Refused) and refusal.rule.isidentifier()
            rule = refusal.rule if coded else "failed"
            log.append(connection, attempt.denied(rule, detail=detail))
        raise refusal

    def _author(self) -> Author:
        keyring = self._workspace.keyring
        return Author(versions.trust_of(keyring), keyring.signer(), self._workspace.now())

    def _refusal(self, what: str, reason: str | None) -> Refused | None:
        """Say what the policy in force, or the house rule for typed reasons, has against it."""
        if reason is not None:
            try:
                event.screen(reason)
            except DetailRefused as error:
                return error
        ways = (_APPROVE,) if what in {"approve", "reject"} else _PROPOSE
        decisions = [
            self._workspace.policy.decide(self._subject, action, FieldClass.NONE, purpose, None)
            for action, purpose in ways
        ]
        if any(one.allowed for one in decisions):
            return None
        reason_why = decisions[0].reason
        return Refused(reason_why.value, reason_why.sentence, principal=self._subject.id)

    def _require_useful(self, compiled: CompiledPolicy, name: str) -> None:
        if name == self._workspace.policy.version:
            raise Refused("policy_in_force_already", "nothing is to be done", version=name[:12])
        self._require_changeable(compiled)

    def _require_changeable(self, compiled: CompiledPolicy) -> None:
        """Refuse a policy that would lock everybody out of changing it."""
        policy = Policy(compiled, self._workspace.declaration.organisation)
        subjects = [
            Subject(one.id, each.role.value, each.node)
            for one in self._workspace.declaration.principals.values()
            for each in one.assignments
        ]

        def may(one: Subject, action: Action, purpose: Purpose) -> bool:
            return policy.decide(one, action, FieldClass.NONE, purpose, None).allowed

        approving = [one for one in subjects if may(one, *_APPROVE)]
        proposing = [one for one in subjects if any(may(one, *way) for way in _PROPOSE)]
        if not any(
            not versions.same_person(one.id, other.id) for one in approving for other in proposing
        ):
            raise Refused(
                "nobody_could_change_it_again",
                "leave two of the principals of cdp.yaml what they need: one to propose, "
                "another to approve",
            )


def compare(workspace: Workspace, text: str) -> Difference:
    """Return what a policy would change here, against the one in force.

    Raises:
        PolicyUnusable: it is not a policy.
    """
    return difference(workspace.policy.compiled, content.compiled(text))
