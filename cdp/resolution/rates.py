"""How much one sender may send: a bucket that fills with time. Pure."""

import math
from dataclasses import dataclass
from threading import Lock


@dataclass(slots=True)
class _Level:
    held: float
    at: float  # seconds


class Bucket:
    """A token bucket: ``per_second`` tokens a second, and as many at most as a second brings.

    One request may take more than there are while there is one, and those after it wait: so a
    large batch is never refused for ever.
    """

    __slots__ = ("_level", "_lock", "_rate")

    def __init__(self, per_second: int) -> None:
        self._rate = per_second
        self._lock = Lock()
        self._level: _Level | None = None

    def wait(self, count: int, at: float) -> int:
        """Take ``count`` tokens at a time in seconds.

        Returns:
            0 when they were taken; else whole seconds after which there is one, 1 at least.
        """
        with self._lock:
            level = self._level or _Level(self._rate, at)
            passed = max(0.0, at - level.at)
            held = min(float(self._rate), level.held + passed * self._rate)
            if held <= 0:
                self._level = _Level(held, max(at, level.at))
                return max(1, math.ceil(-held / self._rate))
            self._level = _Level(held - count, max(at, level.at))
            return 0
