"""What SDKs send: who may, what becomes of it, and what the sender is told.

Invariants, each named by a test in ``tests/integration/inbound/test_inbound.py``:

1. Nothing is stored or looked up before the write key is known.
2. Acknowledged is committed: all of a body, or what is answered is an error.
3. The same messages sent again change nothing.
4. Whoever says who somebody is does it in the transaction that resolves them.
5. What is left out is counted by rule, and refused messages are named to their sender, who
   still has them; nothing of them is stored.
6. Too much, or too many at once, is answered with how long to wait.
7. That a key was used stands in the audit log once an hour, before anything that came with it.
8. While a declared key cannot be read nobody is told that theirs is bad.
"""

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from threading import BoundedSemaphore, Lock
from typing import Final

from cdp import logs
from cdp.audit import log
from cdp.errors import Retry
from cdp.ingest.judging import Judge, Judged
from cdp.resolution import inbound_upkeep
from cdp.resolution.every_source import EverySource
from cdp.resolution.inbound_storing import Body, Refusal, Storing
from cdp.resolution.rates import Bucket
from cdp.vault.event_keys import WriteKeys
from cdp.workspace import Workspace
from connectors.credentials import Credentials, Lookup
from connectors.errors import ConnectorError
from connectors.events.declaration import IDENTITY_KEY
from connectors.events.event import Event, Unusable
from connectors.record import Sensitive

AT_ONCE: Final = 6  # requests that are worked on; the pool of connections has more
PATIENCE: Final = 0.25  # seconds that a request waits for its turn
REFRESH: Final = dt.timedelta(minutes=1)  # credentials are fetched again after it
SOON: Final = dt.timedelta(seconds=2)  # and after it where some could not be read
NAMED: Final = 20  # refused messages that an answer names
_log = logs.get_logger("kith.inbound")


@dataclass(frozen=True, slots=True)
class Delivered:
    """What became of a body.

    Attributes:
        stored: messages that had their effect now.
        repeated: messages that had it before.
        left_out: how many messages or parts were left out, by rule.
        refused: the first messages that cannot be used.
    """

    stored: int
    repeated: int
    left_out: Mapping[str, int]
    refused: tuple[Refusal, ...]


@dataclass(frozen=True, slots=True)
class Wait:
    """Too much at once: the same may work after so many seconds."""

    seconds: int


class Inbound:
    """Takes in what is sent to a workspace. Any number of threads may use it."""

    def __init__(self, workspace: Workspace, sources: EverySource, lookup: Lookup) -> None:
        self._workspace = workspace
        self._sources = sources
        self._turns = BoundedSemaphore(AT_ONCE)
        self._lock = Lock()
        self._keys: _Keys | None = None
        declared = workspace.declaration.sources.values()
        inbound = {one.name: one for one in declared if one.inbound is not None}
        self._declared = inbound
        self._credentials = {
            name: Credentials(name, one.credentials, lookup) for name, one in inbound.items()
        }
        self._buckets = {
            name: Bucket(one.inbound.most_per_second)
            for name, one in inbound.items()
            if one.inbound and one.inbound.most_per_second
        }
        self._judges: dict[str, Judge] = {}
        self._noted: dict[str, dt.datetime] = {}  # the hour whose event is committed, by source
        self._noting = Lock()

    def source(self, write_key: str, connectors: Iterable[str]) -> str | None:
        """Return the source that a write key is for, if it has one of these connectors.

        Raises:
            Retry: it is none that is known, and some cannot be read right now: who is told that
                its key is bad drops what it has to send.
        """
        keys = self._write_keys()
        found = keys.known.source(write_key)
        if found is None and not keys.whole:
            raise Retry("write_keys_unavailable", "send the same again in a moment")
        if found is None or self._declared[found].connector not in set(connectors):
            return None
        return found

    def origins(self, source: str | None = None) -> frozenset[str]:
        """Return the origins whose pages may send to a source, or to any."""
        chosen = self._declared.values() if source is None else [self._declared[source]]
        return frozenset(origin for one in chosen if one.inbound for origin in one.inbound.origins)

    def connector(self, source: str) -> str:
        """Return the connector of a source."""
        return self._declared[source].connector

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

    def take_in(self, source: str, messages: Sequence[Event | Unusable]) -> Delivered | Wait:
        """Store messages, resolve what they say of people, and commit.

        Raises:
            Refused: others kept changing the same people; send all of it again.
            Retry: the database went away, or a key was retired meanwhile; send all of it again.
        """
        received = self._workspace.now()
        bucket = self._buckets.get(source)
        seconds = bucket.wait(len(messages), received.timestamp()) if bucket else 0
        if seconds:
            return Wait(seconds)
        self._note(source, received)
        judge = self._judge(source)
        body = Body([], received, Counter(), [])
        for position, message in enumerate(messages, start=1):
            if isinstance(message, Unusable):
                body.refuse(Refusal(position, message.rule, message.next_step))
            elif isinstance(found := judge.judge(message, received), Judged):
                body.messages.append((position, found))
            else:
                body.left_out[found] += 1
        arrivals = partial(self._sources.arrivals, source)
        stored, repeated = Storing(self._workspace, source, judge.teller, arrivals).store(body)
        return Delivered(stored, repeated, dict(body.left_out), tuple(body.refused[:NAMED]))

    def _note(self, source: str, received: dt.datetime) -> None:
        """Write down that the key was used, once an hour in each process."""
        hour = received.replace(minute=0, second=0, microsecond=0)
        with self._noting:
            if self._noted.get(source) == hour:
                return
            used = inbound_upkeep.received(source, self._workspace.policy.version, received)
            with self._workspace.engine.begin() as connection:
                log.append(connection, used)
            self._noted[source] = hour

    def _judge(self, source: str) -> Judge:
        found = self._judges.get(source)
        if found is None:
            key = partial(self._credential, source, IDENTITY_KEY)
            found = Judge(self._workspace.keyring, self._declared[source], key)
            self._judges[source] = found
        return found

    def _credential(self, source: str, name: str) -> Sensitive | None:
        try:
            return self._credentials[source].find(name)
        except ConnectorError as error:
            _log.warning("credential_unavailable", source=source, field=name, rule=error.rule)
            return None

    def _write_keys(self) -> "_Keys":
        now = self._workspace.now()
        with self._lock:
            held = self._keys
            if held is None or now - held.at > (REFRESH if held.whole else SOON):
                found: dict[str, list[Sensitive]] = {}
                whole = True
                for source, declared in self._declared.items():
                    names = sorted(set(declared.credentials) - {IDENTITY_KEY})
                    several = [self._credential(source, one) for one in names]
                    found[source] = [one for one in several if one is not None]
                    whole = whole and None not in several
                held = self._keys = _Keys(now, WriteKeys(found), whole)
            return held


@dataclass(frozen=True, slots=True)
class _Keys:
    """The write keys as they were read, and whether all that are declared were there."""

    at: dt.datetime
    known: WriteKeys
    whole: bool
