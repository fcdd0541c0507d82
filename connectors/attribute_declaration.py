"""What a source declares of its typed columns: attributes of people, properties of events."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from connectors.date_formats import names_a_day
from connectors.errors import DeclarationError

AttributeType = Literal["integer", "decimal", "date", "boolean", "category"]


@dataclass(frozen=True, slots=True)
class AttributeSpec:
    """A typed, non-identity column."""

    column: str
    type: AttributeType
    formats: tuple[str, ...] = ()  # date only


def parse_attributes(
    source: str, path: str, raw: Mapping[str, Any], taken: Collection[str] = ()
) -> Mapping[str, AttributeSpec]:
    """Read attributes whose form the schema has checked.

    Args:
        source: its name.
        path: where they stand in the entry of the source.
        raw: by name.
        taken: names that mean something else already.

    Raises:
        DeclarationError: naming the path, the rule and the next step.
    """
    found = {name: _attribute(source, f"{path}.{name}", spec) for name, spec in raw.items()}
    for name in found:
        if name in taken:
            step = "Map it under fields, or choose another name."
            raise DeclarationError(source, "name_taken", step, field=f"{path}.{name}")
    return MappingProxyType(found)


def _attribute(source: str, path: str, raw: Mapping[str, Any]) -> AttributeSpec:
    formats = tuple(raw.get("formats", ()))
    if formats and raw["type"] != "date":
        step = "Only a date has formats: remove them."
        raise DeclarationError(source, "formats_without_date", step, field=path)
    if not all(map(names_a_day, formats)):
        step = "Name year, month and day in each format."
        raise DeclarationError(source, "date_incomplete", step, field=path)
    return AttributeSpec(raw["column"], raw["type"], formats)
