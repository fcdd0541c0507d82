"""How the stored policy stands, and whose stores an explanation is about.

Invariants, each named by a test in ``tests/integration/policy/test_commands.py``:

1. `status` verifies every link and every version in force, and never fails on what is wrong.
2. Explaining a decision about one person tells something of that person: only who may read the
   log asks it, with an event, and "no such person" is an answer like any other.
"""

import datetime as dt
from dataclasses import dataclass

from cdp.access.trail import Attempt
from cdp.audit import log
from cdp.errors import KithError, Refused
from cdp.policy import content, versions
from cdp.policy.diff import difference
from cdp.policy.versions import trust_of
from cdp.profiles import reader
from cdp.workspace import Workspace
from policies.decision import Subject
from policies.vocabulary import Action, FieldClass, Purpose


@dataclass(frozen=True, slots=True)
class PolicyStatus:
    """What is in force, and what is wrong with what is stored.

    Attributes:
        in_force: version; None: nothing that could be believed.
        serial: of its activation; None: the shipped policy, for none is stored.
        since, proposed_by, approved_by: of its activation.
        activations: how many there were.
        open_proposals: that wait for somebody.
        differs_from_shipped: whether this release ships a policy that decides otherwise.
        refusal: why the stored one is not to be believed; None: it is.
    """

    in_force: str | None
    serial: int | None = None
    since: dt.datetime | None = None
    proposed_by: str | None = None
    approved_by: str | None = None
    activations: int = 0
    open_proposals: int = 0
    differs_from_shipped: bool | None = None
    refusal: str | None = None


def status(workspace: Workspace) -> PolicyStatus:
    """Verify what is stored, from the first link on, and say how it stands."""
    try:
        policy = workspace.policy
        shipped = content.compiled(content.shipped())
        differs = not difference(policy.compiled, shipped).empty
        with workspace.engine.connect() as connection:
            if not versions.has_any(connection):
                return PolicyStatus(policy.version, differs_from_shipped=differs)
            trust = trust_of(workspace.keyring)
            links = versions.chain(connection, trust)
            for one in {link.activation.version for link in links}:
                versions.version(connection, trust, one)
            proposals = versions.proposals(connection, trust)
    except KithError as refusal:
        return PolicyStatus(None, refusal=str(refusal))
    last = links[-1].activation
    base = last.serial
    return PolicyStatus(
        policy.version,
        last.serial,
        last.at,
        last.proposed_by,
        last.approved_by,
        len(links),
        sum(one.ended is None and one.proposal.base == base for one in proposals),
        differs,
    )


def stores_of(workspace: Workspace, subject: Subject, profile_id: str) -> frozenset[str] | None:
    """Return the stores of a person, for `cdp.policy.explaining`; None: there is no such person.

    Raises:
        Refused: the subject may not read the log.
    """
    policy = workspace.policy
    asked = subject, Action.AUDIT, FieldClass.NONE, Purpose.LEGAL, None
    decision = policy.decide(*asked)
    attempt = Attempt(
        subject, "policy.explain", Purpose.LEGAL, policy.version, workspace.now(), None
    )
    with workspace.engine.begin() as connection:
        if not decision.allowed:
            log.append(connection, attempt.denied(decision.reason.value, profile_id))
            found = None
        else:
            log.append(connection, attempt.allowed(profile_id, (FieldClass.STORES.value,)))
            known = reader.is_profile_id(profile_id)
            found = reader.locate(connection, profile_id) if known else None
    if not decision.allowed:
        raise Refused(decision.reason.value, decision.reason.sentence, principal=subject.id)
    return found.stores if found else None
