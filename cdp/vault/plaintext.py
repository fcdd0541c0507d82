"""What stands inside a cell, once it is open: the values of one field of one record.

A JSON list of ``[value, scope]`` pairs, so that a field with several values (phones) and
an identifier with a scope (an openid of one app) need no format of their own.
"""

import json
from collections.abc import Iterable
from json.encoder import encode_basestring as quoted

Values = list[tuple[str, str | None]]


def encode(values: Iterable[tuple[str, str | None]]) -> bytes:
    """Write canonical values, each with its scope, as the bytes to seal."""
    if isinstance(values, list) and len(values) == 1:  # as nearly always
        ((value, scope),) = values
        return f"[[{quoted(value)},{'null' if scope is None else quoted(scope)}]]".encode()
    pairs = [
        f"[{quoted(value)},{'null' if scope is None else quoted(scope)}]" for value, scope in values
    ]
    return f"[{','.join(pairs)}]".encode()


def decode(text: str) -> Values:
    """Read what ``encode`` wrote."""
    return [(value, scope) for value, scope in json.loads(text)]
