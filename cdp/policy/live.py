"""The policy in force in this process, and how it changes while people are served.

Invariants, each named by a test in ``tests/integration/policy``:

1. A reader gets one frozen policy by reading one attribute; a change is one assignment. Nobody
   sees half of a change, and nobody waits for one.
2. What cannot be verified or does not compile is never in force. The old one stays, the
   refusal is logged and told by `status`, and this process goes on serving.
3. A process that has no old one yet does not start with another than the stored one.
4. Where nothing is stored, the shipped policy is in force.
5. The serial never goes back, nor does the version of the key that later links need.
6. `status` says that changes are followed only where a look was completed a moment ago.
"""

import datetime as dt
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import sqlalchemy as sa

from cdp.errors import KithError
from cdp.policy import content, versions
from cdp.policy.changing import CHANNEL
from cdp.policy.following import LATE, LOOK, Follower, tell
from cdp.policy.seen import Link, SeenFile
from cdp.policy.signed import Trust
from policies.decision import Policy
from policies.organisation import Organisation

SOON: Final = 2.0  # seconds until what was refused is looked at again


@dataclass(frozen=True, slots=True)
class LiveStatus:
    """How this process stands to what is stored.

    Attributes:
        version: in force here.
        serial: of its activation; None: the shipped policy, for none is stored.
        since: of its activation.
        following: whether changes are heard of at once: it listens, and looked a moment ago.
        looked: seconds since the last look was completed; None: nobody follows.
        changes: how often the policy changed in this process.
        staleness: seconds between the last activation and its being in force here.
        longest: the greatest staleness so far.
        refusal: why a newer one is not in force here.
    """

    version: str
    serial: int | None
    since: dt.datetime | None
    following: bool
    looked: float | None
    changes: int
    staleness: float | None
    longest: float | None
    refusal: str | None


@dataclass(frozen=True, slots=True)
class _Held:
    """What is in force, as it was read."""

    text: str
    version: str | None = None  # as it was signed; None: what compiling says
    link: Link | None = None
    since: dt.datetime | None = None


class LivePolicy:
    """The policy of one workspace in this process.

    Args:
        engine: of its database.
        trust: whose signatures count; asked whenever something is verified, for keys change.
        organisation: of cdp.yaml; asked when the policy is first needed.
        seen: the file of this machine.
    """

    def __init__(
        self,
        engine: sa.Engine,
        trust: Callable[[], Trust],
        organisation: Callable[[], Organisation],
        seen: SeenFile,
    ) -> None:
        self._engine = engine
        self._trust = trust
        self._organisation = organisation
        self._seen = seen
        self._lock = threading.RLock()  # of who changes; readers take none
        self._held: _Held | None = None
        self._policy: Policy | None = None
        self._follower: Follower | None = None
        self._changes = 0
        self._staleness: list[float] = []  # the last, and the longest
        self._refusal: str | None = None

    @property
    def policy(self) -> Policy:
        """The policy in force. Take it once for a request: the next read may give a newer one.

        Raises:
            PolicyUntrusted, PolicyUnusable: this process has none yet, and what is stored is
                not to be believed.
        """
        return self._policy or self._first()

    @property
    def masking(self) -> Mapping[str, str]:
        """The masks in force, without compiling the rest. Raises as `policy`."""
        if self._policy is not None:
            return self._policy.compiled.masking
        return content.masking(self._read().text)

    def refresh(self, connection: sa.Connection | None = None) -> bool:
        """Look for a newer policy and put it in force here; say whether there was one.

        What cannot be believed is told by `status` and leaves the old one in force.

        Raises:
            PolicyUntrusted, PolicyUnusable: there is no old one.
            sqlalchemy.exc.SQLAlchemyError: the database does not answer.
        """
        if connection is None:
            with self._engine.connect() as opened:
                return self.refresh(opened)
        with self._lock:
            _ = self.policy
            try:
                return self._renew(connection)
            except KithError as refusal:
                self._refuse(refusal)
                return False

    def newest(self, connection: sa.Connection) -> Policy:
        """Return the newest policy that a transaction sees, which is in force here from now on.

        Whoever holds the right to change the policy decides by it: nothing newer can come.

        Raises:
            PolicyUntrusted, PolicyUnusable: it is not to be believed; the one that is in force
                here stays so for everybody else.
        """
        with self._lock:
            _ = self.policy
            self._renew(connection)
            return self.policy

    def follow(self) -> None:
        """Hear of changes from now on, in a thread. Again and again is once."""
        with self._lock:
            _ = self.policy  # what is wrong now is the caller's to know
            if self._follower is None:
                self._follower = Follower(self._engine, CHANNEL, self._look)
                self._follower.start()

    def stop(self) -> None:
        """Hear of no more changes. The policy stays in force."""
        follower, self._follower = self._follower, None
        if follower is not None:
            follower.stop()

    def status(self) -> LiveStatus:
        """Say what is in force here, and how fresh it is. Raises as `policy`."""
        policy = self.policy
        held, follower = self._held, self._follower
        staleness, longest = self._staleness or (None, None)
        looked = follower.age if follower is not None else None
        return LiveStatus(
            version=policy.version,
            serial=held.link.serial if held and held.link else None,
            since=held.since if held else None,
            following=follower is not None and follower.listening and (looked or 0) <= LATE,
            looked=looked,
            changes=self._changes,
            staleness=staleness,
            longest=longest,
            refusal=self._refusal,
        )

    # ── inside ──────────────────────────────────────────────────────────────

    def _look(self, connection: sa.Connection) -> float:
        self.refresh(connection)
        return LOOK if self._refusal is None else SOON

    def _renew(self, connection: sa.Connection) -> bool:
        """Put in force what is newer; say whether something was. Raises what is against it."""
        before, held = self._policy, self._held
        found = versions.news(connection, self._trust, held.link if held else None)
        if found is not None:
            self._take(_of(found))
        self._raise_key()
        self._refusal = None
        if found is None or self._policy is before:
            return False
        took = connection.scalar(sa.select(sa.func.clock_timestamp() - found.stored_at))
        seconds = took.total_seconds() if took is not None else 0.0
        self._staleness = [seconds, max([seconds, *self._staleness])]
        self._changes += 1  # last: whoever sees that it changed sees how long it took
        return True

    def _raise_key(self) -> None:
        """From now on, let no link count that an older key signed than the newest known now."""
        held = self._held
        if held is None or held.link is None:
            return
        newest = max(self._trust().keys)
        if newest > held.link.key:
            link = replace(held.link, key=newest)
            self._held = replace(held, link=link)
            self._note(link)

    def _note(self, link: Link) -> None:
        """Write down what was verified; a file that is spoilt stops no newer policy."""
        try:
            self._seen.note(link)
        except KithError as failure:
            tell("policy_seen_not_noted", failure)

    def _first(self) -> Policy:
        with self._lock:
            if self._policy is None:
                return self._take(self._read())
            return self._policy

    def _read(self) -> _Held:
        """What is stored, or shipped where nothing is; verified, not yet compiled."""
        with self._lock:
            if self._held is None:
                with self._engine.connect() as connection:
                    found = versions.news(connection, self._trust, None, self._seen)
                self._held = _of(found) if found else _Held(content.shipped())
            return self._held

    def _take(self, held: _Held) -> Policy:
        """Put it in force, or raise and leave everything as it was."""
        compiled = content.compiled(held.text)
        if held.version is not None and compiled.version != held.version:
            # Stored by another release: it is known by the name that was signed.
            compiled = replace(compiled, version=held.version)
        policy = Policy(compiled, self._organisation())
        self._held, self._policy = held, policy
        if held.link is not None:
            self._note(held.link)
        return policy

    def _refuse(self, refusal: KithError) -> None:
        if str(refusal) != self._refusal:
            self._refusal = str(refusal)
            tell("policy_refused", refusal)


def _of(found: versions.InForce) -> _Held:
    one = found.activation
    return _Held(found.content, one.version, found.link, one.at)
