"""How deep a JSON text nests, told without parsing it."""

from typing import Final

MAX_DEPTH: Final = 64


def nests_too_deep(text: str) -> bool:
    """Whether objects and lists stand more than ``MAX_DEPTH`` deep."""
    if text.count("{") + text.count("[") <= MAX_DEPTH:
        return False
    return _depth(text) > MAX_DEPTH


def _depth(text: str) -> int:
    deepest = depth = 0
    in_text = escaped = False
    for letter in text:
        if escaped:
            escaped = False
        elif in_text:
            escaped, in_text = letter == "\\", letter != '"'
        elif letter == '"':
            in_text = True
        else:
            depth += (letter in "{[") - (letter in "]}")
            deepest = max(deepest, depth)
    return deepest
