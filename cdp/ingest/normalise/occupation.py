"""What a person does for a living, as a register writes it: words, and nothing else."""

import re
from dataclasses import dataclass

from cdp.ingest.normalise.latin_name import fold
from cdp.ingest.normalise.result import Canonical, Problem
from cdp.ingest.normalise.text import MASKED, squeeze, tidy

LIMIT = 128  # characters

_NOTHING = Problem("not_an_occupation", "map a column that holds occupations")
_WORDS = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True, repr=False)
class Occupation(Canonical):
    """An occupation."""

    words: str

    @property
    def canonical(self) -> str:
        """The words, in the order they were written."""
        return self.words


def normalise_occupation(text: str) -> Occupation | Problem:
    """Return the occupation in `text`: `Ship-owner` and `ship owner` are equal.

    Problems: `empty`, `too_long`, `unreadable`, `masked`, `not_an_occupation`.
    """
    plain = tidy(text, LIMIT)
    if isinstance(plain, Problem):
        return plain
    if "*" in plain:
        return MASKED
    words = _WORDS.findall(fold(plain))
    return Occupation(squeeze(" ".join(words))) if words else _NOTHING
