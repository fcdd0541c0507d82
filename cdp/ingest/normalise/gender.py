"""Gender as sources write it: a word, a letter, a code, or a form of address."""

from dataclasses import dataclass

from cdp.ingest.normalise.result import Canonical, Problem
from cdp.ingest.normalise.text import tidy

LIMIT = 64  # characters

# The codes 1 and 2 are those of GB/T 2261.1, which also has 0 (unknown) and 9 (not stated).
_MALE = frozenset(
    {"男", "男性", "男士", "先生", "男生", "m", "male", "man", "boy", "mr", "mr.", "1", "1.0"}
)
_FEMALE = frozenset(
    {
        "女", "女性", "女士", "小姐", "太太", "夫人", "女生", "f", "female", "woman", "girl",
        "ms", "ms.", "mrs", "mrs.", "miss", "2", "2.0",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True, repr=False)
class Gender(Canonical):
    """`male`, `female`, or None where the source does not say."""

    value: str | None

    @property
    def canonical(self) -> str:
        """The value, or `unknown`."""
        return self.value or "unknown"


_UNKNOWN = Gender(None)
_KNOWN = {word: Gender("male") for word in _MALE} | {word: Gender("female") for word in _FEMALE}


def normalise_gender(text: str) -> Gender | Problem:
    """Return the gender that `text` states; any other word is an unknown gender, not an error.

    Problems: `too_long`, `unreadable`.
    """
    known = _KNOWN.get(text)
    if known is not None:
        return known
    plain = tidy(text, LIMIT)
    if isinstance(plain, Problem):
        return _UNKNOWN if plain.rule == "empty" else plain
    return _KNOWN.get(plain.casefold(), _UNKNOWN)
