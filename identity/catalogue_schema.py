"""Check a catalogue against ``identifiers.schema.json``.

An error quotes keys and the words the schema allows, never a value: a blocked value may be
a number that somebody has.
"""

import difflib
import json
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib import resources
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

from identity.errors import CatalogueError

_TYPE_WORDS: Final = {
    "string": "text in quotes",
    "object": "a mapping",
    "array": "a list",
    "boolean": "true or false",
    "integer": "a whole number",
}
NAME_FORM: Final = "Use lower-case letters, digits and _, beginning with a letter, at most 40."


def require(document: object, top: str, part: str | None = None) -> dict[str, Any]:
    """Return ``document`` when it has the form of ``part`` of the schema, or of all of it.

    Args:
        document: what YAML gave.
        top: what the document is called in an error.
        part: a name under ``$defs``.

    Raises:
        CatalogueError: naming path, rule and next step.
    """
    problem = best_match(_validator(part).iter_errors(document))
    if problem is not None:
        while problem.parent is not None:  # of a choice, what was to be chosen from
            problem = problem.parent
        rule, key, next_step = _explain(problem)
        steps = [top, *map(str, problem.absolute_path), *([key] if key else [])]
        raise CatalogueError(dotted(steps), rule, next_step)
    return dict(document) if isinstance(document, dict) else {}


def dotted(steps: Iterable[str]) -> str:
    """``("identifiers", "club_number", "feeds")`` as ``identifiers.club_number.feeds``."""
    return ".".join(steps)


@cache
def _validator(part: str | None) -> Draft202012Validator:
    text = resources.files("identity").joinpath("identifiers.schema.json").read_text("utf-8")
    schema: dict[str, Any] = json.loads(text)
    if part is not None:
        schema = {"$ref": f"#/$defs/{part}", "$defs": schema["$defs"]}
    return Draft202012Validator(schema)


_Explained = tuple[str, str, str]  # rule, key to add to the path or "", next step


def _explain(problem: ValidationError) -> _Explained:
    explanation = _EXPLANATIONS[str(problem.validator)]
    return explanation(problem.validator_value, problem.instance, problem.schema)


def _unknown_key(_wanted: Any, found: Any, schema: Any) -> _Explained:
    known = sorted(schema.get("properties", {}))
    unknown = min(map(str, set(found) - set(known)))
    near = difflib.get_close_matches(unknown, known, n=1)
    advice = f"Did you mean {near[0]}?" if near else "Remove it."
    return "unknown_key", unknown, f"{advice} Known here: {', '.join(known)}."


def _missing_key(wanted: Any, found: Any, _schema: Any) -> _Explained:
    return "key_missing", next(key for key in wanted if key not in found), "Add it."


def _wrong_type(wanted: Any, _found: Any, _schema: Any) -> _Explained:
    return "wrong_type", "", f"Write {_TYPE_WORDS[wanted]}."


def _not_listed(wanted: Any, _found: Any, _schema: Any) -> _Explained:
    return "not_one_of", "", f"Write one of: {', '.join(wanted)}."


def _says(rule: str, advice: str) -> Callable[[Any, Any, Any], _Explained]:
    """An explanation that holds what the schema wants at ``{}``."""
    return lambda wanted, _found, _schema: (rule, "", advice.format(wanted))


_EXPLANATIONS: Final[Mapping[str, Callable[[Any, Any, Any], _Explained]]] = {
    "additionalProperties": _unknown_key,
    "required": _missing_key,
    "type": _wrong_type,
    "enum": _not_listed,
    "const": _says("unknown_version", "Use version {}."),
    # The one choice in the schema: a share.
    "anyOf": _says("wrong_share", "Write a number from 0 to 1."),
    "pattern": _says("wrong_form", NAME_FORM),
    "uniqueItems": _says("repeated", "List each only once."),
    "minLength": _says("empty", "Write at least one character."),
    "maxLength": _says("too_long", "Use at most {} characters."),
    "maxItems": _says("too_many", "List at most {}."),
    "maxProperties": _says("too_many", "Name at most {}."),
    "minimum": _says("too_small", "Use {} or more."),
    "maximum": _says("too_large", "Use {} or less."),
}
