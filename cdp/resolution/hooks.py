"""Webhooks that other systems send: whose they are, what becomes of them, and what is answered.

Invariants, each named by a test in ``tests/integration/hooks``:

1. Nothing of a body is read, stored or looked up before its signature is known to be good.
2. Acknowledged is committed: all of a message, or what is answered is an error.
3. A message that had its effect has none a second time, and is answered the same.
4. Whoever says who somebody is does it in the transaction that resolves them.
5. A row that is no record stands, sealed, among the rejected rows: its sender does not read
   answers. What was not asked for is counted by rule.
6. A row never replaces one with a greater order, where the source declares a cursor.
7. That a secret was used stands in the audit log once an hour, before anything that came with it.
8. While a declared secret cannot be used nobody is told that theirs is bad.
"""

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from threading import BoundedSemaphore, Lock
from typing import Final

import sqlalchemy as sa

from cdp import logs
from cdp.audit import log
from cdp.errors import Retry
from cdp.ingest import happenings
from cdp.ingest.feed_sync import Departures
from cdp.ingest.storing import committed
from cdp.resolution import inbound_upkeep
from cdp.resolution.every_source import EverySource
from cdp.resolution.hooks_proof import HookSecrets, Proven
from cdp.resolution.hooks_storing import Message, forget_old, store
from cdp.resolution.inbound import AT_ONCE, PATIENCE, REFRESH, SOON, Wait
from cdp.resolution.rates import Bucket
from cdp.vault.event_keys import EventKeys
from cdp.workspace import Workspace
from connectors.credentials import Credentials, Lookup
from connectors.errors import ConnectorError
from connectors.hooks.rows import HookRows, Post, Sent
from connectors.record import Sensitive

NOT_ASKED_FOR: Final = "not_asked_for"
PRUNED: Final = dt.timedelta(minutes=1)  # how often old messages are forgotten
_log = logs.get_logger("kith.hooks")


class Hooks:
    """Takes in the webhooks of a workspace. Any number of threads may use it."""

    def __init__(
        self, workspace: Workspace, sources: EverySource, lookup: Lookup, departures: Departures
    ) -> None:
        """Prepare; no secret is fetched yet. ``departures`` destroys what a source deleted."""
        self._workspace, self._sources, self._departures = workspace, sources, departures
        self._declared = {
            name: one for name, one in workspace.declaration.sources.items() if one.hook is not None
        }
        self._specs = {name: one.hook for name, one in self._declared.items() if one.hook}
        self._rows = {
            name: HookRows(self._declared[name], one) for name, one in self._specs.items()
        }
        self._buckets = {name: Bucket(one.most_per_second) for name, one in self._specs.items()}
        self._credentials = {
            name: Credentials(name, one.credentials, lookup) for name, one in self._declared.items()
        }
        self._names: EventKeys | None = None
        self._turns = BoundedSemaphore(AT_ONCE)
        self._lock, self._noting = Lock(), Lock()
        self._held: tuple[dt.datetime, HookSecrets] | None = None
        self._noted: dict[str, dt.datetime] = {}  # the hour whose event is committed, by source
        self._pruned: dt.datetime | None = None

    def is_able(self) -> bool:
        """Whether this process holds the keys that messages are taken in with."""
        return all(self._workspace.keyring.holds(one) for one in ("records", "features"))

    @contextmanager
    def turn(self) -> Iterator[Wait | None]:
        """Hold one of the few turns; None where there is one, else how long to wait."""
        taken = self._turns.acquire(timeout=PATIENCE)
        try:
            yield None if taken else Wait(1)
        finally:
            if taken:
                self._turns.release()

    def proven(self, source: str, post: Post) -> Proven | None:
        """Return a message that is its source's own; None for every other.

        Raises:
            Retry: it is not proven, and some secret cannot be used right now.
        """
        now = self._workspace.now()
        names, secrets = self._keys(now)
        found = secrets.proven(source, post, names, now)
        if found is None and not secrets.whole:
            raise Retry("secrets_unavailable", "send the same again in a moment")
        return found

    def take_in(self, proven: Proven, post: Post) -> Wait | None:
        """Store a message, resolve what it says of people, and commit; None when it is done.

        Raises:
            BodyRefused: the body cannot be read; nothing was stored.
            Refused: others kept changing the same people, or destroy; send it again.
            Retry: the database went away, or a key was retired meanwhile; send it again.
        """
        received, source = self._workspace.now(), proven.source
        seconds = self._buckets[source].wait(1, received.timestamp())
        if seconds:
            return Wait(seconds)
        self._note(source, received)
        rows = self._rows[source].of(post)
        if rows is None:
            self._leave_out(source, received, Counter({NOT_ASKED_FOR: 1}))
            return None
        self._store(proven, rows, received)
        self._prune(received)
        return None

    def _store(self, proven: Proven, rows: Sequence[Sent], received: dt.datetime) -> None:
        declared = self._declared[proven.source]
        message = Message(proven.source, proven.message, proven.until, received)
        arrivals = partial(self._sources.arrivals, proven.source)
        ways = arrivals, self._departures
        left_out = store(self._workspace, declared, message, rows, ways)
        self._leave_out(proven.source, received, left_out)

    def _leave_out(self, source: str, received: dt.datetime, left_out: Counter[str]) -> None:
        """Count what had no effect, by rule."""

        def count(connection: sa.Connection) -> None:
            happenings.tally(connection, source, received.date(), left_out)

        if left_out:
            committed(self._workspace.engine, count)

    def _note(self, source: str, received: dt.datetime) -> None:
        """Write down that the secret was used, once an hour in each process."""
        hour = received.replace(minute=0, second=0, microsecond=0)
        with self._noting:
            if self._noted.get(source) == hour:
                return
            used = inbound_upkeep.received(source, self._workspace.policy.version, received)
            with self._workspace.engine.begin() as connection:
                log.append(connection, used)
            self._noted[source] = hour

    def _prune(self, received: dt.datetime) -> None:
        with self._lock:
            due = self._pruned is None or received - self._pruned >= PRUNED
            self._pruned = received if due else self._pruned
        if due:
            committed(self._workspace.engine, partial(forget_old, now=received))

    def _keys(self, now: dt.datetime) -> tuple[EventKeys, HookSecrets]:
        with self._lock:
            if self._names is None:
                self._names = EventKeys(self._workspace.keyring)
            held = self._held
            if held is None or now - held[0] > (REFRESH if held[1].whole else SOON):
                found = {
                    source: {name: self._secret(source, name) for name in sorted(one.credentials)}
                    for source, one in self._declared.items()
                }
                held = self._held = (now, HookSecrets(self._specs, found))
            return self._names, held[1]

    def _secret(self, source: str, name: str) -> Sensitive | None:
        try:
            return self._credentials[source].find(name)
        except ConnectorError as error:
            _log.warning("credential_unavailable", source=source, field=name, rule=error.rule)
            return None
