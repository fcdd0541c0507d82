"""Deliver the queued messages of one destination.

For each batch, in this order:

1. *take*, one transaction: lock due messages (SKIP LOCKED), decide by what is true now
   what each of them says, write one audit event for each person, mark what the receiver
   has of them as in doubt, lease the messages. Commit.
2. *send*: nothing is locked and no transaction is open while the network is slow.
3. *settle*, one transaction: delivered, or when to try again; what the receiver has now.

Invariants, each named by a test in ``tests/integration/publish``:

1. No audit, no send: the event of a message is committed before its first byte leaves. If
   the process dies between the two, the log says more than was done, never less.
2. Once each in effect: a message that may have arrived is sent again with the same id as
   long as it says the same, and the receiver drops what it has seen (``webhook-id``). As
   soon as it would say something else it gets a new id, so that nothing newer is dropped.
   A message tells the whole state, so even a receiver that forgot the id ends up right.
3. In order: a profile has one undelivered message at most (`cdp.publish.plan`), a batch is
   settled before the next is taken, and the second publisher of a destination is refused
   (`cdp.publish.run`). So nothing about a profile overtakes anything about it.
4. From before the first byte until its removal is accepted, ``published`` names the
   profile: whoever may have been sent can always be taken back.
5. Consent, scope and contract are those of the moment of sending, not of queueing.
6. A message that keeps failing is parked after `Pace.attempts`, with its reason. A
   receiver that takes nothing at all is left in peace, and its messages stay queued.
7. No value is in the outbox, in ``published`` or in an error.
"""

import datetime as dt
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from secrets import SystemRandom
from typing import Final

from cdp.publish import ledger
from cdp.publish.contract import Contract
from cdp.publish.ledger import Outcome, Taken
from cdp.publish.render import Renderer
from cdp.publish.retry import Pace, wait
from cdp.resolution.announcing import UPDATED
from cdp.workspace import Workspace
from connectors.base import MessageDestination
from connectors.errors import ConnectorError, Retry, Skip, Stop

Progress = Callable[[str, int, int], None]
"""Called with the destination, what is done and what there is to do."""

NOT_THE_MESSAGE: Final = frozenset({"unreachable", "http_429", "http_502", "http_503", "http_504"})
"""Failures of a receiver that takes nothing: they do not count towards parking a message."""

_Sent = tuple[Taken, ConnectorError | None]
_draw: Final = SystemRandom().random


@dataclass(frozen=True, slots=True)
class World:
    """What delivery needs from outside: waiting and chance."""

    sleep: Callable[[float], None] = time.sleep
    draw: Callable[[], float] = _draw


@dataclass(slots=True)
class Delivered:
    """How a delivery went."""

    updated: int = 0
    removed: int = 0
    failed_attempts: int = 0
    parked: int = 0
    left: int = 0  # queued, for the next run
    stopped: str | None = None  # why it ended before everything was delivered

    @property
    def messages(self) -> int:
        """Messages that the receiver accepted."""
        return self.updated + self.removed


@dataclass(slots=True)
class Courier:
    """Delivers to one destination. Use it once, in one thread."""

    workspace: Workspace
    contract: Contract
    destination: MessageDestination
    pace: Pace = field(default_factory=Pace)
    world: World = field(default_factory=World)
    progress: Progress | None = None
    _done: Delivered = field(default_factory=Delivered, init=False)
    _idle: float = field(default=0.0, init=False)  # seconds waited since the last delivery
    _failures: int = field(default=0, init=False)  # batches since then, nothing of them accepted

    def deliver(self) -> Delivered:
        """Send what is due; wait for what is due soon; return when nothing is or can be.

        Only for the one publisher of the destination: what a dead one had taken is taken
        over.
        """
        renderer = Renderer(self.workspace, self.contract)
        engine, name = self.workspace.engine, self.contract.destination
        with engine.begin() as connection:
            ledger.reclaim(connection, name, self.workspace.now())
            total, _ = ledger.open_messages(connection, name)
        with ThreadPoolExecutor(self.pace.threads, thread_name_prefix="publish") as pool:
            while self._done.stopped is None:
                with engine.begin() as connection:
                    limits = self._limits()
                    now = self.workspace.now()
                    taken = ledger.take(connection, self.contract, renderer, now, limits)
                if not taken:
                    if not self._wait_for_more():
                        break
                    continue
                outcomes = list(pool.map(self._send, taken))
                self._settle(outcomes)
                if self.progress:
                    done = self._done.messages + self._done.parked
                    self.progress(name, done, max(total, done))
        with engine.connect() as connection:
            self._done.left, _ = ledger.open_messages(connection, name)
        return self._done

    def _limits(self) -> Pace:
        """A receiver that takes nothing is asked with a few messages, not with many."""
        return replace(self.pace, batch=self.pace.probe) if self._failures else self.pace

    def _send(self, taken: Taken) -> _Sent:
        try:
            self.destination.deliver(taken.message)
        except ConnectorError as error:
            return taken, error
        return taken, None

    def _settle(self, sent: Sequence[_Sent]) -> None:
        now = self.workspace.now()
        accepted = any(error is None for _, error in sent)
        refused = next((error for _, error in sent if isinstance(error, Stop)), None)
        halted = not accepted and refused is not None
        self._failures = 0 if accepted else self._failures + 1
        outcomes = [self._outcome(one, error, now, halted=halted) for one, error in sent]
        with self.workspace.engine.begin() as connection:
            ledger.settle(connection, self.contract, outcomes, now)
        self._count(outcomes)
        if halted:
            self._done.stopped = str(refused)
        elif accepted:
            self._idle = 0.0
        else:
            self._pause(outcomes, now)

    def _outcome(
        self, taken: Taken, error: ConnectorError | None, now: dt.datetime, *, halted: bool
    ) -> Outcome:
        if error is None:
            return Outcome(taken)
        if halted:
            # Somebody has to put the destination right; the message is not to blame.
            return Outcome(taken, error.rule, counted=False)
        counted = self._failures == 0 or error.rule not in NOT_THE_MESSAGE
        asked = error.after if isinstance(error, Retry) else None
        attempt = max(taken.attempt, self._failures)
        seconds = wait(self.pace, attempt, asked, self.world.draw())
        return Outcome(
            taken,
            error.rule,
            not_before=now + dt.timedelta(seconds=seconds),
            parked=isinstance(error, Skip) or (counted and taken.attempt >= self.pace.attempts),
            counted=counted,
        )

    def _count(self, outcomes: Sequence[Outcome]) -> None:
        for one in outcomes:
            if one.rule is not None:
                self._done.failed_attempts += 1
                self._done.parked += one.parked
            elif one.taken.kind == UPDATED:
                self._done.updated += 1
            else:
                self._done.removed += 1

    def _pause(self, outcomes: Sequence[Outcome], now: dt.datetime) -> None:
        """Nothing was accepted: wait before anything else is sent, or give up for now."""
        until = [one.not_before for one in outcomes if one.not_before and not one.parked]
        if until:
            rule = next(one.rule for one in outcomes if one.rule)
            self._sleep((min(until) - now).total_seconds(), rule)

    def _wait_for_more(self) -> bool:
        """Say whether there is more to take, after waiting for it if need be."""
        with self.workspace.engine.connect() as connection:
            count, due = ledger.open_messages(connection, self.contract.destination)
        if not count or due is None:
            return False
        seconds = (due - self.workspace.now()).total_seconds()
        return seconds <= 0 or self._sleep(seconds, "waiting_to_retry")

    def _sleep(self, seconds: float, rule: str) -> bool:
        if self._idle + seconds > self.pace.patience:
            self._done.stopped = (
                f"{self.contract.destination}: {rule}, and nothing was accepted for long enough. "
                "Look after the receiver, then publish again: what is queued stays queued."
            )
            return False
        self._idle += max(seconds, 0.001)
        self.world.sleep(seconds)
        return True
