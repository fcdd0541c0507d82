"""What an answer says of itself beside its status. Pure.

Many APIs answer 200 whatever happened, with a code in the body. Such answers are short: they
hold no rows.
"""

import json
from typing import Any, Final

from connectors.http_auth_declaration import Words, text_of
from connectors.sources.http_pages import found_at

SHORT: Final = 16 * 1024  # bytes: no longer answer is looked at


def says(body: bytes, words: Words | None) -> bool:
    """Whether a body is JSON and holds one of these words."""
    if words is None or len(body) > SHORT:
        return False
    there, value = found_at(json_of(body), words.path)
    plain = isinstance(value, bool | int | str)
    return there and plain and text_of(value) in words.values


def json_of(body: bytes) -> Any:
    """What a body holds; None where it is no JSON."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
