r"""Regular expressions that cannot hang: the one module that imports google-re2.

RE2 has no backtracking: the time of a search is the product of the length of the text and the
size of the compiled pattern, and both are bounded here. It has neither back-references nor
look-around, and ``\d`` and ``\w`` mean ASCII.
"""

from collections.abc import Callable
from functools import cache
from typing import Final

import re2

MAX_SEARCHED: Final = 4096  # characters of one text
_MEMORY: Final = 128 * 1024  # bytes of a compiled pattern


class PatternRefused(ValueError):  # noqa: N818 - never leaves this package
    """A pattern cannot be used; carries the rule and the next step, never the pattern."""

    def __init__(self, rule: str, next_step: str) -> None:
        super().__init__(rule, next_step)
        self.rule = rule
        self.next_step = next_step


Search = Callable[[str], str | None]


@cache
def _options() -> re2.Options:
    options = re2.Options()
    options.log_errors = False  # it would write the pattern to standard error
    options.max_mem = _MEMORY
    return options


def compiled(pattern: str) -> Search:
    """Return what gives the one group of the first match; None where there is no match.

    Texts are at most ``MAX_SEARCHED`` characters long: the caller sees to it.

    Raises:
        PatternRefused: no pattern of RE2's, too large, or not exactly one group.
    """
    try:
        program = re2.compile(pattern, options=_options())
    except re2.error:  # from None: its message quotes the pattern
        raise PatternRefused(
            "pattern_unreadable",
            "Write a smaller pattern, in RE2's syntax: no back-references, no look-around.",
        ) from None
    if program.groups != 1:
        raise PatternRefused(
            "pattern_groups",
            "Put what is to be taken in one pair of brackets; write (?:...) for the others.",
        )

    def search(text: str) -> str | None:
        match = program.search(text)
        found: str | None = match[1] if match else None
        return found

    return search
