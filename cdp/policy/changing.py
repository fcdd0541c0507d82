"""Store, propose and put in force. Who may, is decided before: `cdp/access/policy_changes.py`.

Invariants, each named by a test in ``tests/integration/policy/test_changing.py``:

1. Every version is kept; one that is stored already is stored once.
2. Nothing is put in force but an open proposal, by another person than the proposer's, and only
   on top of the activation that was in force when it was proposed.
3. One change at a time: of two at once, the second sees what the first did.
4. The first activation is made once: where this machine saw one, its loss is no beginning.
5. Whoever follows is told by the commit itself (NOTIFY), not before and not without.
"""

import dataclasses
import datetime as dt
from typing import Final

import sqlalchemy as sa

from cdp.errors import Refused
from cdp.policy import content, versions
from cdp.policy.diff import difference
from cdp.policy.errors import PolicyUntrusted
from cdp.policy.seen import Link
from cdp.policy.signed import Activation, Proposal, Signer, Trust, Version, mark, sign
from cdp.policy.versions import INIT
from cdp.storage.locks import until_commit
from cdp.storage.schema import policy_activation, policy_proposal, policy_version
from policies.persons import same_person

CHANNEL: Final = "kith_policy"
_AGAIN: Final = "somebody else changes the policy now: try again"
_FIRST_REASON: Final = "the policy that was shipped"
_P = policy_proposal.c
_NUMBER: Final = sa.text("SELECT nextval(pg_get_serial_sequence('kith.policy_proposal', 'id'))")
_TELL: Final = sa.text("SELECT pg_notify(:channel, :serial)")


def alone(connection: sa.Connection) -> None:
    """Change the policy alone until the transaction ends.

    Raises:
        Refused: others kept it for long.
    """
    until_commit(connection, "policy", _AGAIN)


class Author:
    """Who writes to the tables of one workspace: its trust and its signing key.

    Args:
        trust: of the workspace.
        signer: its audit-signing key.
        now: the time of what is written.
    """

    def __init__(self, trust: Trust, signer: Signer, now: dt.datetime) -> None:
        self.trust = trust
        self._signer = signer
        self._now = now.astimezone(dt.UTC)

    def begin(self, connection: sa.Connection, text: str, seen: Link | None) -> Link | None:
        """Put the shipped policy in force as the first activation; None: there is one.

        Args:
            connection: any, in a transaction.
            text: see `cdp.policy.content`.
            seen: the newest link of this workspace that this machine saw; None: it saw none.

        Raises:
            PolicyUntrusted: there was one, and it is gone.
        """
        alone(connection)
        if versions.has_any(connection):
            return None
        if seen is not None:
            raise PolicyUntrusted(
                "policy_older_than_seen",
                "restore the newest backup of the database; only where there is none, and the "
                "database is to begin with the shipped policy: cdp init --begin-anew",
                serial=seen.serial,
            )
        name = self.store(connection, text, INIT)
        return self._activate(connection, name, (INIT, INIT), _FIRST_REASON, None)

    def store(self, connection: sa.Connection, text: str, by: str) -> str:
        """Keep a policy and return its version.

        Raises:
            PolicyUnusable: it does not compile.
            PolicyUntrusted: what is stored under that version is not as it was signed, or decides
                otherwise.
        """
        compiled = content.compiled(text)
        name = compiled.version
        known = policy_version.c.id == name
        if connection.scalar(sa.select(sa.exists().where(known))):
            stored = versions.version(connection, self.trust, name)
            if not difference(content.compiled(stored.content), compiled).empty:
                raise PolicyUntrusted(
                    "policy_version_decides_otherwise",
                    "change the sentence of a purpose, so that the new policy has another version",
                    version=name[:12],
                )
            return name
        one = Version(name, content.FORMAT, text, by, self._now)
        self._keep(connection, policy_version, one)
        return name

    def propose(self, connection: sa.Connection, version: str, by: str, reason: str) -> Proposal:
        """Keep somebody's wish to put a stored version in force; `alone` comes first."""
        base = _serial(connection)
        number = int(connection.scalar(_NUMBER) or 0)
        one = Proposal(number, version, base, by, reason, self._now)
        self._keep(connection, policy_proposal, one)
        return one

    def approve(self, connection: sa.Connection, proposal: Proposal, by: str) -> Link:
        """Put what was proposed in force; `alone` comes first.

        Raises:
            Refused: it is over, stale, or by the same person.
            PolicyUntrusted: the chain that it would continue is not as it was signed.
        """
        links = versions.chain(connection, self.trust)
        require_open(versions.proposed(connection, self.trust, proposal.id))
        if same_person(proposal.proposed_by, by):
            raise Refused("own_proposal", "have somebody else approve it", proposal=proposal.id)
        if links[-1].link.serial != proposal.base:
            raise Refused(
                "policy_changed_since",
                "look at the difference as it is now, and propose it again",
                proposal=proposal.id,
            )
        versions.version(connection, self.trust, proposal.version)
        self.end(connection, proposal.id, "approved", by, None)
        who = proposal.proposed_by, by
        return self._activate(connection, proposal.version, who, proposal.reason, links[-1].link)

    def end(
        self, connection: sa.Connection, number: int, how: str, by: str, reason: str | None
    ) -> None:
        """Keep how an open proposal ended."""
        connection.execute(
            sa.update(policy_proposal)
            .where(_P.id == number, _P.ended.is_(None))
            .values(ended=how, ended_by=by, ended_reason=reason, ended_at=self._now)
        )

    def _activate(
        self,
        connection: sa.Connection,
        version: str,
        who: tuple[str, str],
        reason: str,
        before: Link | None,
    ) -> Link:
        serial, previous = (before.serial + 1, before.mark) if before else (1, b"")
        one = Activation(serial, version, *who, reason, self._now, previous)
        self._keep(connection, policy_activation, one)
        connection.execute(_TELL, {"channel": CHANNEL, "serial": str(serial)})
        return Link(serial, mark(self.trust.workspace, one))

    def _keep(
        self, connection: sa.Connection, table: sa.Table, one: Version | Proposal | Activation
    ) -> None:
        """Sign it and store it: the columns of its table are its parts and the signature."""
        signed = sign(self.trust.workspace, one, self._signer)
        parts = {each.name: getattr(one, each.name) for each in dataclasses.fields(one)}
        signature = {"key_version": signed.key_version, "signature": signed.value}
        connection.execute(table.insert().values(**parts, **signature))


def require_open(found: versions.Proposed | None) -> Proposal:
    """Return a proposal that waits.

    Raises:
        Refused: there is none, or it is over; says how it ended and by whom.
    """
    if found is None:
        raise Refused("no_such_proposal", "list them with: cdp policy list")
    if found.ended is not None:
        raise Refused(
            f"proposal_already_{found.ended.how}",
            "see what is in force now: cdp policy status",
            proposal=found.proposal.id,
            by=found.ended.by,
        )
    return found.proposal


def _serial(connection: sa.Connection) -> int:
    newest = sa.select(sa.func.max(policy_activation.c.serial))
    return connection.scalar(newest) or 0
