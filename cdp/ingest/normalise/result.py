"""What a normaliser answers: `X | Problem`, a canonical value or what stands in its way.

Invariants:

1. A canonical value shows its type and nothing else: `repr`, `str` and format hide it, and
   pickle and copy refuse it.
2. A problem names the rule and the next step; it never holds the text it refused.
"""

from dataclasses import dataclass

from connectors.record import Raw


class Canonical(Raw):
    """Base of every canonical value: it hides its content (invariant 1).

    It is no ABC: their ``isinstance`` costs more than most of what ingest does to a value.
    """

    __slots__ = ()

    def __init__(self) -> None:
        raise TypeError("abstract: a canonical value is made by its own type")

    @property
    def canonical(self) -> str:
        """The text that, normalised again, gives an equal value."""
        raise TypeError("abstract: each type has its own canonical text")


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a text has no canonical form.

    `rule` is a stable lower-case word, fit for counting. `next_step` is a sentence for
    the person who owns the source. Rule `empty` means that the cell says nothing, which
    is an absent value and no error.
    """

    rule: str
    next_step: str
