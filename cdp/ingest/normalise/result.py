"""What a normaliser answers: `X | Problem`, a canonical value or what stands in its way.

Invariants:

1. A canonical value shows its type and nothing else: `repr`, `str` and format hide it, and
   pickle and copy refuse it.
2. A problem names the rule and the next step; it never holds the text it refused.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from connectors.record import Raw


class Canonical(Raw, ABC):
    """Base of every canonical value: it hides its content (invariant 1)."""

    __slots__ = ()

    @property
    @abstractmethod
    def canonical(self) -> str:
        """The text that, normalised again, gives an equal value."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a text has no canonical form.

    `rule` is a stable lower-case word, fit for counting. `next_step` is a sentence for
    the person who owns the source. Rule `empty` means that the cell says nothing, which
    is an absent value and no error.
    """

    rule: str
    next_step: str
