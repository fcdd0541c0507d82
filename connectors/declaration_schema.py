"""Check a declaration against ``declaration.schema.json``: the one module that imports jsonschema.

An error is one sentence: the path, the rule, the next step. It quotes keys and the words the
schema allows, never a declared value: somebody may have pasted a secret where its name belongs.
"""

import difflib
import json
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib import resources
from typing import Any, Final, NamedTuple

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

from connectors.errors import DeclarationError

MAX_DEPTH: Final = 12  # a declaration needs 5; YAML aliases could make an endless one

_TYPE_WORDS: Final = {
    "string": "text",
    "object": "a mapping",
    "array": "a list",
    "boolean": "true or false",
    "number": "a number",
    "integer": "a whole number",
}


@cache
def _definitions() -> dict[str, Any]:
    text = resources.files("connectors").joinpath("declaration.schema.json").read_text("utf-8")
    definitions: dict[str, Any] = json.loads(text)["$defs"]
    return definitions


@cache
def _validator(kind: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": f"#/$defs/{kind}", "$defs": _definitions()})


def require(kind: str, name: str, entry: object) -> dict[str, Any]:
    """Return ``entry`` when it is a valid ``kind`` (source, destination, index, identifier).

    Raises:
        DeclarationError: naming the path, the rule and the next step.
    """
    require_plain(name, entry)
    problem = best_match(_validator(kind).iter_errors(entry))
    if problem is not None:
        raise _sentence(name, problem)
    return dict(entry) if isinstance(entry, dict) else {}


def is_identifier(text: str) -> bool:
    """Whether ``text`` may name a source, a destination or an attribute."""
    return bool(_validator("identifier").is_valid(text))


def require_name(name: str) -> None:
    """Check the name of a source or destination.

    Raises:
        DeclarationError: naming the rule and the next step.
    """
    if not is_identifier(name):
        raise DeclarationError(
            "(unnamed)",
            "name_form",
            "Name it with lower-case letters, digits and _, beginning with a letter, at most 63.",
        )


def dotted(path: Iterable[str | int]) -> str:
    """``("fields", "phone", 0)`` as ``fields.phone[0]``."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}"
    return text.removeprefix(".") or "(top)"


def require_plain(name: str, node: object, path: tuple[str | int, ...] = ()) -> None:
    """Refuse keys that are no text, and structures without an end.

    Raises:
        DeclarationError: naming the path.
    """
    if len(path) > MAX_DEPTH:
        raise DeclarationError(name, "too_deep", "Write it flat.", field=dotted(path[:3]))
    if isinstance(node, Mapping):
        for key, value in node.items():
            if not isinstance(key, str):
                raise DeclarationError(
                    name, "key_not_text", "Put every key in quotes.", field=dotted(path)
                )
            require_plain(name, value, (*path, key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            require_plain(name, value, (*path, index))


def _sentence(name: str, problem: ValidationError) -> DeclarationError:
    broken = _Broken(problem.validator_value, problem.instance, problem.schema)
    rule, key, next_step = _EXPLANATIONS[str(problem.validator)](broken)
    path = [*problem.absolute_path, *([key] if key else [])]
    return DeclarationError(name, rule, next_step, field=dotted(path))


class _Broken(NamedTuple):
    wanted: Any  # what the schema's keyword says
    found: Any  # what the declaration says; never quoted
    schema: Any  # the schema around the keyword


_Explained = tuple[str, str, str]  # rule, key to add to the path or "", next step


def _unknown_key(broken: _Broken) -> _Explained:
    known = sorted(broken.schema.get("properties", {}))
    unknown = min(set(broken.found) - set(known))
    near = difflib.get_close_matches(unknown, known, n=1)
    advice = f"Did you mean {near[0]}?" if near else "Remove it."
    return "unknown_key", unknown, f"{advice} Known here: {', '.join(known)}."


def _missing_key(broken: _Broken) -> _Explained:
    missing = next(key for key in broken.wanted if key not in broken.found)
    return "key_missing", missing, "Add it."


def _wrong_type(broken: _Broken) -> _Explained:
    wanted = broken.wanted
    words = [_TYPE_WORDS[one] for one in ([wanted] if isinstance(wanted, str) else wanted)]
    advice = f"Write {' or '.join(words)}."
    if "text" in words and isinstance(broken.found, bool | int | float):
        advice += " Put quotes around a number, yes, no, on or off."
    return "wrong_type", "", advice


def _not_listed(broken: _Broken) -> _Explained:
    allowed = ", ".join(repr(word) for word in broken.wanted)
    return "not_one_of", "", f"Write one of: {allowed}."


_PATTERN_ADVICE: Final = {
    "identifier": "Use lower-case letters, digits and _, beginning with a letter, at most 63.",
    "split": "List the separators in square brackets, without [ ] \\ ^ -, like [,;/].",
    "formats": "Use strptime directives, such as %Y-%m-%d.",
    "country": "Write its two letters of ISO 3166, such as DE.",
    "clock": "Write hours and minutes, such as 03:00.",
    "location": "Remove the spaces around it.",
    "origin": "Write scheme and host, such as https://shop.example.com.",
    "reference": "Write where the secret lies, never the secret: env:SOURCE_NAME, file:PATH or "
    "ring:NAME.",
    "text": "Write at least one character that is not a space.",
    "tombstone": "Write tombstone, or a mapping.",
}


def _wrong_form(broken: _Broken) -> _Explained:
    patterns = {
        schema.get("pattern") or schema["items"]["pattern"]: advice
        for schema, advice in ((_definitions()[one], text) for one, text in _PATTERN_ADVICE.items())
    }
    return "wrong_form", "", patterns[broken.wanted]


_EXPLANATIONS: Final[Mapping[str, Callable[[_Broken], _Explained]]] = {
    "additionalProperties": _unknown_key,
    "required": _missing_key,
    "type": _wrong_type,
    "enum": _not_listed,
    "pattern": _wrong_form,
    "oneOf": lambda _: ("column_or_columns", "", "Name either column or columns, not both."),
    "minItems": lambda _: ("empty", "", "List at least one."),
    "minProperties": lambda _: ("empty", "", "Name at least one."),
    "uniqueItems": lambda _: ("repeated", "", "List each only once."),
    "minLength": lambda _: ("empty", "", "Write at least one character."),
    "maxLength": lambda b: ("too_long", "", f"Use at most {b.wanted} characters."),
    "minimum": lambda b: ("too_small", "", f"Use {b.wanted} or more."),
    "not": lambda _: ("key_not_for_connector", "", "Remove it: this connector does not use it."),
    "maximum": lambda b: ("too_large", "", f"Use {b.wanted} or less."),
}
