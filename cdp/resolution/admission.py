"""Who sends is let in here: a turn, a rate, the secrets of sources, and the note of their use.

Webhooks and what SDKs send share one of it, since they share the pool of connections.

Invariants, each named by a test in ``tests/integration/hooks/test_admission.py``:

1. No more than ``AT_ONCE`` requests are worked on, of whatever kind; each has one connection.
2. That a secret of a source was used stands in the audit log once an hour, before anything that
   came with it.
3. Secrets are fetched again after a minute; while some cannot be used, after seconds.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from threading import BoundedSemaphore, Lock
from typing import Final, Generic, Protocol, TypeVar

from cdp import logs
from cdp.audit import log
from cdp.ingest import remembered
from cdp.ingest.storing import committed
from cdp.resolution import inbound_upkeep
from cdp.resolution.rates import Bucket
from cdp.workspace import Workspace
from connectors.credentials import Credentials, Lookup
from connectors.declaration import SourceDeclaration
from connectors.errors import ConnectorError
from connectors.record import Sensitive

AT_ONCE: Final = 6
"""Requests that are worked on: a quarter of the pool, which serves everything else beside them."""
PATIENCE: Final = 0.25  # seconds that a request waits for its turn
REFRESH: Final = dt.timedelta(minutes=1)  # secrets are fetched again after it
SOON: Final = dt.timedelta(seconds=2)  # and after it where some cannot be used
FORGET: Final = dt.timedelta(minutes=1)  # how often names of old messages are forgotten
_log = logs.get_logger("kith.admission")
Found = Mapping[str, Mapping[str, Sensitive | None]]
"""Source -> name of a credential -> secret; None: it cannot be had."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Too much at once: the same may work after so many seconds."""

    seconds: int


class _Made(Protocol):
    @property
    def whole(self) -> bool:
        """Whether every secret that is declared can be used."""
        ...


T = TypeVar("T", bound=_Made)


class Secrets(Generic[T]):
    """What is made of the secrets of some sources, made anew since they may be replaced."""

    def __init__(
        self,
        declared: Mapping[str, SourceDeclaration],
        lookup: Lookup,
        make: Callable[[Found], T],
    ) -> None:
        """Fetch nothing yet."""
        self._make = make
        self._credentials = {
            name: (Credentials(name, one.credentials, lookup), sorted(one.credentials))
            for name, one in declared.items()
        }
        self._lock = Lock()
        self._held: tuple[dt.datetime, T] | None = None

    def at(self, now: dt.datetime) -> T:
        """Return what is made of them."""
        with self._lock:
            if self._held is None or not self._is_fresh(*self._held, now):
                found = {
                    source: {name: _secret(source, name, held) for name in names}
                    for source, (held, names) in self._credentials.items()
                }
                self._held = now, self._make(found)
            return self._held[1]

    @staticmethod
    def _is_fresh(fetched: dt.datetime, made: T, now: dt.datetime) -> bool:
        return dt.timedelta() <= now - fetched <= (REFRESH if made.whole else SOON)


class Admission:
    """Lets in what is sent to a workspace. Any number of threads may use it."""

    def __init__(self, workspace: Workspace, lookup: Lookup) -> None:
        self._workspace, self._lookup = workspace, lookup
        self._turns = BoundedSemaphore(AT_ONCE)
        self._noting, self._forgetting = Lock(), Lock()
        self._noted: dict[str, dt.datetime] = {}  # the hour whose event is committed, by source
        self._forgot: dt.datetime | None = None
        rates = {
            name: spec.most_per_second
            for name, one in workspace.declaration.sources.items()
            if (spec := one.inbound or one.hook) is not None
        }
        self._buckets = {name: Bucket(rate) for name, rate in rates.items() if rate}

    def is_able(self) -> bool:
        """Whether this process holds the keys that messages are taken in with."""
        return all(self._workspace.keyring.holds(one) for one in ("records", "features"))

    def secrets(
        self, declared: Mapping[str, SourceDeclaration], make: Callable[[Found], T]
    ) -> Secrets[T]:
        """Return what is made of the secrets of some sources."""
        return Secrets(declared, self._lookup, make)

    @contextmanager
    def turn(self) -> Iterator[Wait | None]:
        """Hold one of the few turns; None where there is one, else how long to wait."""
        taken = self._turns.acquire(timeout=PATIENCE)
        try:
            yield None if taken else Wait(1)
        finally:
            if taken:
                self._turns.release()

    def enter(self, source: str, messages: int, received: dt.datetime) -> Wait | None:
        """Let messages of a source in, whose secret is known; None, or how long to wait."""
        bucket = self._buckets.get(source)
        seconds = bucket.wait(messages, received.timestamp()) if bucket else 0
        if seconds:
            return Wait(seconds)
        self._note(source, received)
        self._forget(received)
        return None

    def _note(self, source: str, received: dt.datetime) -> None:
        """Write down that the secret was used, once an hour in each process."""
        hour = received.replace(minute=0, second=0, microsecond=0)
        with self._noting:
            if self._noted.get(source) == hour:
                return
            shown = (
                "write_key" if self._workspace.declaration.source(source).inbound else "signature"
            )
            used = inbound_upkeep.received(source, shown, self._workspace.policy.version, received)
            with self._workspace.engine.begin() as connection:
                log.append(connection, used)
            self._noted[source] = hour

    def _forget(self, received: dt.datetime) -> None:
        with self._forgetting:
            due = self._forgot is None or received - self._forgot >= FORGET
            self._forgot = received if due else self._forgot
        if due:
            committed(self._workspace.engine, partial(remembered.forget_old, now=received))


def _secret(source: str, name: str, credentials: Credentials) -> Sensitive | None:
    try:
        return credentials.find(name)
    except ConnectorError as error:
        _log.warning("credential_unavailable", source=source, field=name, rule=error.rule)
        return None
