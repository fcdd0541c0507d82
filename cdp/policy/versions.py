"""What is stored of policy versions, read and verified.

Invariants, each named by a test in ``tests/integration/policy/test_tampering.py``:

1. Nothing is handed out that the workspace's key did not sign: version, proposal or activation.
2. The chain of activations starts at 1, has no gap, and each link names the one before: none can
   be left out, moved, or put in from elsewhere.
3. Every activation but the first, which is `init`'s, was wanted by one person and approved by
   another; two spellings of one id are one person. It is checked again whenever it is read.
4. A chain that has become shorter than it was, for this process or for this machine
   (`cdp.policy.seen`), is refused.
5. No link is signed by an older key than the link before it, or than the newest key that this
   process or this machine knew of when it verified that one.
6. Whoever cannot verify a stored policy is not told that there is none.
"""

import datetime as dt
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from cdp.policy.errors import NoSuchVersion, PolicyUntrusted
from cdp.policy.seen import Link, SeenFile
from cdp.policy.signed import Activation, Proposal, Signature, Statement, Trust, Version, mark
from cdp.storage.schema import policy_activation, policy_proposal, policy_version
from cdp.vault import primitives
from cdp.vault.errors import KeyMissing, KeyWithheld
from cdp.vault.keyring import KeyRing
from policies.persons import same_person

INIT: Final = "init"
"""In the place of both persons in the first activation: what was shipped."""
_RESTORE: Final = "restore the tables of policy versions from a backup"
_EXTRACT: Final = "take the newest key ring; of an extract: cdp key extract again"
_TYPED: Final = re.compile("[0-9a-f]{4,64}")
_V, _P, _A = policy_version.c, policy_proposal.c, policy_activation.c


class Linked(NamedTuple):
    """A verified activation, and its place in the chain."""

    activation: Activation
    link: Link
    stored_at: dt.datetime  # by the database's clock


@dataclass(frozen=True, slots=True)
class InForce:
    """The newest activation, verified, and what it put in force."""

    activation: Activation
    link: Link
    content: str  # see `cdp.policy.content`
    stored_at: dt.datetime  # by the database's clock


@dataclass(frozen=True, slots=True)
class Ended:
    """How a proposal ended."""

    how: str  # approved, rejected or withdrawn
    by: str
    reason: str | None
    at: dt.datetime


@dataclass(frozen=True, slots=True)
class Proposed:
    """A proposal and how it ended; None: it is open."""

    proposal: Proposal
    ended: Ended | None


def trust_of(keyring: KeyRing) -> Trust:
    """Return whose signatures count, by the public halves in the ring.

    Raises:
        PolicyUntrusted: the ring is an extract of an earlier release and has none.
    """
    try:
        return Trust(keyring.workspace, keyring.public_keys())
    except (KeyMissing, KeyWithheld):
        raise PolicyUntrusted(
            "public_key_missing",
            "take the key ring of this process again: cdp key extract",
            key="audit-signing",
        ) from None


def news(
    connection: sa.Connection,
    trust: Callable[[], Trust],
    known: Link | None,
    seen: SeenFile | None = None,
) -> InForce | None:
    """Return what is in force now, verified from ``known`` on; None where that is still it.

    Args:
        connection: any.
        trust: asked only where something is to be verified.
        known: the newest link that this process has verified; None verifies the whole chain.
        seen: the file of this machine, for a process that knows of no link yet.

    Raises:
        PolicyUntrusted: what is stored cannot be believed.
    """
    newest = seen.newest() if seen and known is None else None
    if known is None and newest is None and not has_any(connection):
        return None
    trusted = trust()
    links = chain(connection, trusted, known, newest)
    if newest is not None and newest not in [one.link for one in links]:
        raise PolicyUntrusted(
            "policy_older_than_seen",
            "restore the newest backup of the database; if there is none, remove the file",
            serial=newest.serial,
            path=seen.path if seen else None,
        )
    last = links[-1]
    if last.link == known:
        return None
    content = version(connection, trusted, last.activation.version).content
    digest = primitives.digest(content.encode())
    if newest == last.link and newest.content not in {b"", digest}:
        raise PolicyUntrusted("policy_version_exchanged", _RESTORE, serial=last.link.serial)
    link = replace(last.link, key=max(trusted.keys), content=digest)
    return InForce(last.activation, link, content, last.stored_at)


def has_any(connection: sa.Connection) -> bool:
    """Say whether any activation is stored."""
    return bool(connection.scalar(sa.select(sa.exists().where(_A.serial > 0))))


def chain(
    connection: sa.Connection, trust: Trust, after: Link | None = None, seen: Link | None = None
) -> list[Linked]:
    """Return the activations, verified, the oldest first.

    Args:
        connection: any.
        trust: whose signatures count.
        after: begin with this link, which was verified before; it is part of what is returned.
        seen: was verified on this machine; only its key counts here.

    Raises:
        PolicyUntrusted: a link is missing, altered or not signed, or signed by a key that was
            not the newest any more; or there is none.
    """
    found: list[Linked] = []
    bound, key = after or seen, 0
    statement = sa.select(policy_activation).order_by(_A.serial)
    if after is not None:
        statement = statement.where(_A.serial >= after.serial)
    before, due = b"", after.serial if after else 1
    for row in connection.execute(statement):
        one = _activation(row)
        link = Link(one.serial, mark(trust.workspace, one), row.key_version)
        if one.serial != due:
            raise _broken("policy_chain_cut", due)
        follows = one.previous == before if after is None or found else link == after
        if not follows:
            raise _broken("policy_chain_altered", one.serial)
        _judge(trust, one, row, key)
        key = max(row.key_version, bound.key if bound and bound.serial <= one.serial else 0)
        found.append(Linked(one, link, row.stored_at))
        before, due = link.mark, due + 1
    if not found:
        raise _broken("policy_chain_cut", due)
    return found


def version(connection: sa.Connection, trust: Trust, version_id: str) -> Version:
    """Return one stored version.

    Raises:
        PolicyUntrusted: it is not as it was signed, or is gone: versions are never deleted.
    """
    row = connection.execute(sa.select(policy_version).where(_V.id == version_id)).one_or_none()
    if row is None:
        raise PolicyUntrusted("policy_version_missing", _RESTORE, version=version_id)
    return _version(trust, row)


def find(connection: sa.Connection, trust: Trust, typed: str) -> Version:
    """Return the version whose id begins with what was typed, at least 4 digits of it.

    Raises:
        NoSuchVersion: none or several begin so.
        PolicyUntrusted: it is not as it was signed.
    """
    if not _TYPED.fullmatch(typed):
        raise NoSuchVersion("not_a_version", "give 4 to 64 digits of an id: cdp policy list")
    statement = sa.select(policy_version).where(_V.id.startswith(typed, autoescape=True)).limit(2)
    rows = connection.execute(statement).all()
    if len(rows) != 1:
        rule = "several_such_versions" if rows else "no_such_version"
        raise NoSuchVersion(rule, "give more of its id: cdp policy list", version=typed)
    return _version(trust, rows[0])


def proposals(connection: sa.Connection, trust: Trust) -> list[Proposed]:
    """Return every proposal, the newest first.

    Raises:
        PolicyUntrusted: one is not as it was signed.
    """
    statement = sa.select(policy_proposal).order_by(_P.id.desc())
    return [_proposed(trust, row) for row in connection.execute(statement)]


def proposed(connection: sa.Connection, trust: Trust, number: int) -> Proposed | None:
    """Return one proposal; None: there is none of that number.

    Raises:
        PolicyUntrusted: it is not as it was signed.
    """
    statement = sa.select(policy_proposal).where(_P.id == number)
    row = connection.execute(statement).one_or_none()
    return None if row is None else _proposed(trust, row)


def _judge(trust: Trust, one: Activation, row: sa.Row[Any], key: int) -> None:
    """Refuse a link by itself: its signature, its persons, and a key older than ``key``."""
    _require(trust, one, row, serial=one.serial)
    if not _is_of_two(one):
        raise _broken("policy_not_approved_by_another", one.serial)
    if row.key_version < key:
        raise PolicyUntrusted(
            "policy_signed_by_an_older_key",
            "find out who signed with a key that was rotated, then restore the tables of policy "
            "versions from a backup without it",
            serial=one.serial,
            key_version=row.key_version,
        )


def _is_of_two(one: Activation) -> bool:
    if one.serial == 1:
        return one.proposed_by == one.approved_by == INIT
    return not same_person(one.proposed_by, one.approved_by)


def _activation(row: sa.Row[Any]) -> Activation:
    who = row.proposed_by, row.approved_by
    return Activation(
        row.serial, row.version, *who, row.reason, row.at.astimezone(dt.UTC), bytes(row.previous)
    )


def _version(trust: Trust, row: sa.Row[Any]) -> Version:
    one = Version(row.id, row.format, row.content, row.stored_by, row.at.astimezone(dt.UTC))
    _require(trust, one, row, version=row.id)
    return one


def _proposed(trust: Trust, row: sa.Row[Any]) -> Proposed:
    at = row.at.astimezone(dt.UTC)
    one = Proposal(row.id, row.version, row.base, row.proposed_by, row.reason, at)
    _require(trust, one, row, proposal=row.id)
    if row.ended is None:
        return Proposed(one, None)
    return Proposed(one, Ended(row.ended, row.ended_by, row.ended_reason, row.ended_at))


def _require(trust: Trust, one: Statement, row: sa.Row[Any], **where: object) -> None:
    signature = Signature(row.key_version, bytes(row.signature))
    if not trust.holds(one, signature):
        rule = "signed_by_a_key_not_here" if row.key_version not in trust.keys else "not_as_signed"
        step = _EXTRACT if row.key_version not in trust.keys else _RESTORE
        raise PolicyUntrusted(f"policy_{rule}", step, **where)


def _broken(rule: str, serial: int) -> PolicyUntrusted:
    return PolicyUntrusted(rule, _RESTORE, serial=serial)
