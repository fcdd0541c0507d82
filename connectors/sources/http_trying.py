"""Asking again: which answers are worth it, after how long, and when to give up.

The module here that imports tenacity. Time, sleep and chance are arguments.

Invariants, each named (Trying 1 and so on) by a test in
``tests/integration/http_source/test_hostile.py``:

1. What the other side says of waiting is kept to, and bounded.
2. Tries and the time of all of them are bounded.
3. Requests come no faster than declared.
"""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import tenacity

from connectors.destinations.webhook import retry_after
from connectors.errors import ConnectorError, Retry, Stop
from connectors.http_declaration import HttpSpec
from connectors.sources.http_engine import Answer, Fault
from connectors.sources.http_words import says

FIRST_WAIT: Final = 1.0  # seconds; doubled with each try
LONGEST_WAIT: Final = 60.0
_BUSY: Final = frozenset({429, 503})  # they say when to come again
_AGAIN: Final = frozenset({408, 425, *_BUSY})
_STEPS: Final = {
    "timed_out": "Run it again, or raise limits.read and limits.total.",
    "not_reachable": "Look at the address and the network, then run it again.",
    "connection_lost": "Run it again.",
    "packed_broken": "Run it again; if it stays so, ask who runs the API.",
    "packed_unknown": "Ask who runs the API: it packs answers in a way nobody asked for.",
    "page_too_large": "Ask for fewer rows a page, or raise limits.page_mb.",
    "certificate_refused": "Have the host show a certificate that is trusted.",
    "answer_empty": "Run it again; if it stays so, ask who runs the API.",
    "request_unusable": "Correct location, request and auth, and look for spaces in the secret.",
}


@dataclass(frozen=True, slots=True)
class Ways:
    """What a reading needs of the world.

    Attributes:
        clock: seconds that only grow.
        wall: seconds since 1970.
        sleep: waits so many seconds; whatever it raises ends the reading.
        chance: a number from 0 to 1.
    """

    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = secrets.SystemRandom().random


class _Again(Exception):  # noqa: N818 - never seen outside
    def __init__(self, rule: str, next_step: str, after: float | None = None) -> None:
        super().__init__(rule)
        self.rule, self.next_step, self.after = rule, next_step, after


class Trying:
    """Sends until an answer counts, or until it is no use."""

    def __init__(self, source: str, spec: HttpSpec, ways: Ways) -> None:
        self._source, self._limits, self._ways = source, spec.limits, ways
        self._busy_words = spec.busy
        self._gap = 1 / spec.rate if spec.rate else 0.0  # seconds between two requests
        self._free = 0.0  # when the next one may be sent

    def send(self, once: Callable[[], Answer]) -> Answer:
        """The first answer that says something: anything but busy, broken or away.

        Raises:
            Retry: none came; ``after`` has what the other side asked for.
            Stop: none can come.
        """
        began = self._ways.clock()
        failed: ConnectorError | None = None

        def ends(state: tenacity.RetryCallState) -> bool:
            passed = self._ways.clock() - began
            tried = state.attempt_number >= self._limits.tries
            return tried or passed + state.upcoming_sleep > self._limits.patience

        trying = tenacity.Retrying(
            sleep=self._ways.sleep,
            wait=self._wait,
            stop=ends,
            retry=tenacity.retry_if_exception_type(_Again),
            reraise=True,
        )
        try:
            return trying(self._once, once)
        except _Again as again:
            failed = Retry(self._source, again.rule, again.next_step, after=again.after)
        except Fault as fault:
            failed = Stop(self._source, fault.rule, _STEPS[fault.rule], field="location")
        raise failed

    def _once(self, once: Callable[[], Answer]) -> Answer:
        self._keep_pace()
        fault: _Again | None = None
        try:
            answer = once()
        except Fault as error:
            if not error.again:
                raise
            fault = _Again(error.rule, _STEPS[error.rule])
        else:
            if answer.status < 500 and answer.status not in _AGAIN:
                fault = self._good_but(answer)
                if fault is None:
                    return answer
            else:
                fault = self._busy(answer)
        raise fault

    def _good_but(self, answer: Answer) -> _Again | None:
        """What makes a good answer worth asking again."""
        if _has_lost_its_body(answer):
            return _Again("answer_empty", _STEPS["answer_empty"])
        if says(answer.body, self._busy_words):
            return _Again("asked_to_wait", "Run it again later, or declare a smaller rate.")
        return None

    def _busy(self, answer: Answer) -> _Again:
        if answer.status not in _BUSY:
            return _Again(f"http_{answer.status}", "Run it again later.")
        now = datetime.fromtimestamp(self._ways.wall(), UTC)
        after = retry_after(answer.headers.get("retry-after", ""), now)
        rule = "asked_to_wait" if answer.status == 429 else "http_503"
        return _Again(rule, "Run it again later, or declare a smaller rate.", after)

    def _keep_pace(self) -> None:
        now = self._ways.clock()
        if now < self._free:
            self._ways.sleep(self._free - now)
        self._free = max(now, self._free) + self._gap

    def _wait(self, state: tenacity.RetryCallState) -> float:
        """Twice as long as before, less up to half by chance; longer if the other side asks."""
        doubled = min(FIRST_WAIT * 2.0 ** (state.attempt_number - 1), LONGEST_WAIT)
        # A wait of nothing, or until a time that is past, would use up all tries at once.
        return max(self._told(state) or 0.0, doubled * (1 - self._ways.chance() / 2))

    def _told(self, state: tenacity.RetryCallState) -> float | None:
        error = state.outcome.exception() if state.outcome else None
        return error.after if isinstance(error, _Again) else None


def _has_lost_its_body(answer: Answer) -> bool:
    """Whether a good answer holds nothing, and does not say that there is nothing (204)."""
    good = 200 <= answer.status < 300 and answer.status != 204
    return good and (not answer.body or answer.body.isspace())
