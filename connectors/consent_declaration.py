"""What a source declares of consent: the ground, the purposes, and which cells refuse them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from connectors.errors import DeclarationError


@dataclass(frozen=True, slots=True)
class OptOut:
    """A cell that holds one of ``values`` (case ignored) refuses ``purposes``."""

    column: str
    values: tuple[str, ...]
    purposes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ConsentSpec:
    """On what ground, and for which purposes, the people of a source may be processed."""

    basis: str
    purposes: tuple[str, ...]
    opt_out: tuple[OptOut, ...] = ()


def parse_consent(source: str, raw: Mapping[str, Any]) -> ConsentSpec:
    """Read ``consent:`` of a source, whose form the schema has checked.

    Raises:
        DeclarationError: naming the path, the rule and the next step.
    """
    purposes = tuple(raw["purposes"])
    written = raw.get("opt_out", [])
    rules = []
    for rule in written if isinstance(written, list) else [written]:
        refused = tuple(rule.get("purposes", purposes))
        if not set(refused) <= set(purposes):
            raise DeclarationError(
                source,
                "purpose_not_granted",
                "Name only purposes that consent.purposes lists.",
                field="consent.opt_out.purposes",
            )
        rules.append(OptOut(rule["column"], tuple(rule["values"]), refused))
    return ConsentSpec(raw["basis"], purposes, tuple(rules))
