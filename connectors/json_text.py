"""How deep a JSON text nests, told without parsing it."""

import re
from itertools import accumulate
from typing import Final

MAX_DEPTH: Final = 64
_TEXT: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_STEPS: Final = {"{": 1, "[": 1, "}": -1, "]": -1}
_NO_BRACKET: Final = re.compile(r"[^{}\[\]]+")


def nests_too_deep(text: str) -> bool:
    """Whether objects and lists stand more than ``MAX_DEPTH`` deep."""
    if text.count("{") + text.count("[") <= MAX_DEPTH:
        return False
    return depth_of(text) > MAX_DEPTH


def depth_of(text: str) -> int:
    """How deep objects and lists stand in each other; what stands in quotes does not count."""
    brackets = _NO_BRACKET.sub("", _TEXT.sub("", text))
    return max(accumulate(map(_STEPS.__getitem__, brackets), initial=0))
