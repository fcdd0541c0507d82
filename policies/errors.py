"""Why a policy or an organisation was not accepted, and what to do about it."""

from typing import Final

_LONGEST_QUOTE: Final = 40


def quoted(word: object) -> str:
    """Return a short, printable form of a word from a configuration file."""
    text = repr(word)
    return text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}…"


class PoliciesError(Exception):
    """What was declared cannot be used; fix the place it names, then load again.

    Every error of this package stops: retrying the same input changes nothing.

    Attributes:
        source: the file or section, as the reader knows it.
        line: 1-based line in that file, or None when no single line is at fault.
        rule: what was broken.
        next_step: what to do now.
    """

    def __init__(self, source: str, rule: str, next_step: str, line: int | None = None) -> None:
        self.source = source
        self.line = line
        self.rule = rule
        self.next_step = next_step
        place = source if line is None else f"{source}, line {line}"
        super().__init__(f"{place}: {rule}. Next: {next_step}.")


class PolicyRefusedError(PoliciesError):
    """A policy file is empty, unparsable, contradictory or uses an unknown word."""


class OrganisationRefusedError(PoliciesError):
    """The tree of brand, regions and stores is not a tree."""
