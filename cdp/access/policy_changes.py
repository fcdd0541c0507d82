"""Who may change the policy: one person proposes, another approves.

Invariants, each named by a test in ``tests/integration/policy/test_changing.py``:

1. Who may configure, or may approve for the purpose legal, proposes; who may approve for the
   purpose legal approves and rejects. Nobody approves their own, and only who proposed withdraws.
2. Every attempt has its event in the log, refused ones too, in the transaction that does it.
3. A policy under which nobody could change it again is not put in force.
4. What would change nothing is not proposed, unless it is said that only the texts are to change.
5. The newest policy decides, read under the lock of who changes it: not the proposed one, and
   not an older one that this process still had.
6. What is approved is the version that the approver looked at, proposed by somebody who may
   still propose.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final, NamedTuple, TypeVar

import sqlalchemy as sa

from cdp.access.trail import Attempt
from cdp.audit import event, log
from cdp.audit.errors import DetailRefused
from cdp.errors import KithError, Refused
from cdp.policy import content, versions
from cdp.policy.changing import Author, alone, require_open
from cdp.policy.diff import Difference, difference
from cdp.policy.seen import Link
from cdp.policy.signed import Proposal
from cdp.workspace import Workspace
from policies.decision import CompiledPolicy, Policy, Subject
from policies.persons import same_person
from policies.vocabulary import (
    ALL_CIRCUMSTANCES,
    NO_CIRCUMSTANCES,
    Action,
    Circumstances,
    FieldClass,
    Purpose,
)

T = TypeVar("T")
_APPROVE: Final = (Action.APPROVE, Purpose.LEGAL)
_PROPOSE: Final = (_APPROVE, (Action.CONFIGURE, Purpose.SERVICE))
LEAST_DIGITS: Final = 12  # of a version that is approved: so many are shown


class _Now(NamedTuple):
    """Of one attempt, alone with the policy until it ends."""

    connection: sa.Connection
    author: Author
    policy: Policy  # the newest


class PolicyChanges:
    """What one subject does to the policy of one workspace."""

    def __init__(self, workspace: Workspace, subject: Subject) -> None:
        self._workspace = workspace.pinned()
        self._subject = subject

    def propose(self, text: str, reason: str, *, texts_only: bool = False) -> Proposal:
        """Store a policy and propose to put it in force.

        Args:
            text: see `cdp.policy.content`.
            reason: typed by the subject; kept with the proposal and in the log.
            texts_only: it decides as the one in force does, on purpose.

        Raises:
            Refused: not allowed, it changes nothing, or nobody could change it again.
            PolicyUnusable: it is not a policy.
            KeyWithheld: this process may not sign.
        """

        def work(at: _Now) -> Proposal:
            compiled = content.compiled(text)
            name = at.author.store(at.connection, text, self._subject.id)
            self._require_useful(at.policy, compiled, name, texts_only=texts_only)
            return at.author.propose(at.connection, name, self._subject.id, reason)

        return self._try("propose", None, work, reason)

    def roll_back(self, typed: str, reason: str, *, texts_only: bool = False) -> Proposal:
        """Propose a version that is stored already. Raises as `propose`, and NoSuchVersion."""

        def work(at: _Now) -> Proposal:
            one = versions.find(at.connection, at.author.trust, typed)
            compiled = content.compiled(one.content)
            self._require_useful(at.policy, compiled, one.id, texts_only=texts_only)
            return at.author.propose(at.connection, one.id, self._subject.id, reason)

        return self._try("propose", None, work, reason)

    def approve(self, number: int, version: str) -> Link:
        """Put what somebody else proposed in force.

        Args:
            number: of the proposal.
            version: that was looked at: its first digits, `LEAST_DIGITS` at least.

        Raises:
            Refused: not allowed, one's own, over, proposed on top of another policy, by somebody
                who may not propose any more, or not what was looked at.
            PolicyUntrusted, PolicyUnusable: what is stored is not to be believed.
        """

        def work(at: _Now) -> Link:
            proposal = require_open(versions.proposed(at.connection, at.author.trust, number))
            if len(version) < LEAST_DIGITS or not proposal.version.startswith(version):
                step = f"look at what it is: cdp policy approve {number} --dry-run"
                raise Refused("not_the_version_looked_at", step, proposal=number)
            self._require_proposer(at.policy, proposal)
            one = versions.version(at.connection, at.author.trust, proposal.version)
            self._require_changeable(content.compiled(one.content))
            return at.author.approve(at.connection, proposal, self._subject.id)

        link = self._try("approve", number, work)
        self._workspace.policies.refresh()
        return link

    def reject(self, number: int, reason: str) -> None:
        """End a proposal that is not to come into force. Raises `Refused`."""

        def work(at: _Now) -> None:
            require_open(versions.proposed(at.connection, at.author.trust, number))
            at.author.end(at.connection, number, "rejected", self._subject.id, reason)

        self._try("reject", number, work, reason)

    def withdraw(self, number: int, reason: str) -> None:
        """End one's own proposal. Raises `Refused`."""

        def work(at: _Now) -> None:
            proposal = require_open(versions.proposed(at.connection, at.author.trust, number))
            if not same_person(proposal.proposed_by, self._subject.id):
                step = "have who proposed it withdraw it, or reject it"
                raise Refused("not_your_proposal", step, proposal=number)
            at.author.end(at.connection, number, "withdrawn", self._subject.id, reason)

        self._try("withdraw", number, work, reason)

    # ── inside ──────────────────────────────────────────────────────────────

    def _try(
        self,
        what: str,
        number: int | None,
        work: Callable[[_Now], T],
        reason: str | None = None,
    ) -> T:
        """Do it with its event, or keep the event of the refusal and raise it."""
        workspace = self._workspace
        about = None if number is None else f"proposal-{number}"
        version, now = workspace.policy.version, workspace.now()
        attempt = Attempt(self._subject, f"policy.{what}", Purpose.LEGAL, version, now, about)
        with workspace.engine.begin() as connection:
            try:
                with connection.begin_nested():
                    alone(connection)
                    policy = workspace.policies.newest(connection)
                    attempt = replace(attempt, policy_version=policy.version)
                    self._judge(policy, what, reason)
                    author = self._author()
                    log.append(connection, attempt.allowed("", (), reason))
                    return work(_Now(connection, author, policy))
            except KithError as error:
                refusal = error
            detail = None if isinstance(refusal, DetailRefused) else reason
            # Some refusals, such as that of a key that is not here, are told in a sentence.
            coded = isinstance(refusal, Refused) and refusal.rule.isidentifier()
            rule = refusal.rule if coded else "failed"
            log.append(connection, attempt.denied(rule, detail=detail))
        raise refusal

    def _author(self) -> Author:
        keyring = self._workspace.keyring
        return Author(versions.trust_of(keyring), keyring.signer(), self._workspace.now())

    def _judge(self, policy: Policy, what: str, reason: str | None) -> None:
        """Raise what a policy, or the house rule for typed reasons, has against it."""
        if reason is not None:
            event.screen(reason)
        ways = (_APPROVE,) if what in {"approve", "reject"} else _PROPOSE
        decisions = [
            policy.decide(self._subject, action, FieldClass.NONE, purpose, None)
            for action, purpose in ways
        ]
        if not any(one.allowed for one in decisions):
            why = decisions[0].reason
            raise Refused(why.value, why.sentence, principal=self._subject.id)

    def _require_useful(
        self, policy: Policy, compiled: CompiledPolicy, name: str, *, texts_only: bool
    ) -> None:
        if name == policy.version:
            raise Refused("policy_in_force_already", "nothing is to be done", version=name[:12])
        if not texts_only and difference(policy.compiled, compiled).empty:
            raise Refused(
                "policy_decides_alike",
                "nothing is to be done; to have its lines otherwise all the same: --texts-only",
                version=name[:12],
            )
        self._require_changeable(compiled)

    def _require_proposer(self, policy: Policy, proposal: Proposal) -> None:
        """Refuse what was proposed by somebody who may not propose any more."""
        acting = self._subjects(ALL_CIRCUMSTANCES)  # they need not be at work now
        mine = [one for one in acting if one.id == proposal.proposed_by]
        if not any(_may(policy, one, *way) for one in mine for way in _PROPOSE):
            raise Refused(
                "proposer_may_not_propose",
                "reject it, and have somebody who may propose it again",
                proposal=proposal.id,
                principal=proposal.proposed_by,
            )

    def _subjects(self, held: Circumstances) -> list[Subject]:
        """Everybody of cdp.yaml, as everything that they may act as."""
        return [
            Subject(one.id, each.role.value, each.node, circumstances=held)
            for one in self._workspace.declaration.principals.values()
            for each in one.assignments
        ]

    def _require_changeable(self, compiled: CompiledPolicy) -> None:
        """Refuse a policy that would lock everybody out of changing it."""
        policy = Policy(compiled, self._workspace.declaration.organisation)
        subjects = self._subjects(NO_CIRCUMSTANCES)
        approving = [one for one in subjects if _may(policy, one, *_APPROVE)]
        proposing = [one for one in subjects if any(_may(policy, one, *way) for way in _PROPOSE)]
        if not any(not same_person(one.id, other.id) for one in approving for other in proposing):
            raise Refused(
                "nobody_could_change_it_again",
                "leave two of the principals of cdp.yaml what they need: one to propose, "
                "another to approve",
            )


def _may(policy: Policy, one: Subject, action: Action, purpose: Purpose) -> bool:
    return policy.decide(one, action, FieldClass.NONE, purpose, None).allowed


def compare(workspace: Workspace, text: str) -> Difference:
    """Return what a policy would change here, against the one in force.

    Raises:
        PolicyUnusable: it is not a policy.
    """
    return difference(workspace.policy.compiled, content.compiled(text))
