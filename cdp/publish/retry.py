"""When to try again. Pure.

Waiting grows twofold with each attempt up to a limit; half of it is drawn at random, so
that messages that failed together do not come back together ("equal jitter", M. Brooker,
Exponential Backoff And Jitter, AWS Architecture Blog, 2015). A receiver that says how long
to wait (Retry-After) is never asked earlier.
"""

from dataclasses import dataclass
from typing import Final

MAX_DOUBLINGS: Final = 30


@dataclass(frozen=True, slots=True)
class Pace:
    """How hard a destination is tried. Times are in seconds."""

    attempts: int = 8  # of one message, then it is parked
    base: float = 0.5  # after the first failure
    cap: float = 60.0
    patience: float = 60.0  # how long a run goes on waiting while nothing is delivered
    lease: float = 300.0  # how long a message that is being sent belongs to its sender
    batch: int = 64  # messages claimed together
    probe: int = 4  # messages claimed together while nothing is delivered
    threads: int = 8


def wait(pace: Pace, attempt: int, asked: float | None, drawn: float) -> float:
    """Return the seconds to wait after a failed attempt.

    Args:
        pace: of the destination.
        attempt: 1 for the first.
        asked: what the receiver said in Retry-After, if anything.
        drawn: uniform in [0, 1).
    """
    full = min(pace.cap, pace.base * 2.0 ** min(attempt - 1, MAX_DOUBLINGS))
    return max(full / 2 + drawn * full / 2, asked or 0.0)
