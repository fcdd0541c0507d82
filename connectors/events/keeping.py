"""Which of an event's properties are kept: those that are declared, and of their type."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from connectors.attributes import AttributeRefused, typed
from connectors.cells import trim
from connectors.events.declaration import EventSpec
from connectors.events.event import ABSENT, Event, at_path
from connectors.record import AttributeValue, Raw

NOT_DECLARED: Final = "property_not_declared"
_PROPERTIES: Final = "properties"


@dataclass(frozen=True, slots=True)
class Kept(Raw):
    """The properties that are kept, and a rule for each that is not."""

    properties: Mapping[str, AttributeValue] = field(repr=False)
    left_out: tuple[str, ...]


class Keeper:
    """Keeps what one declared event says."""

    __slots__ = ("_declared", "_paths")

    def __init__(self, spec: EventSpec) -> None:
        self._paths = [
            (name, tuple(one.column.split(".")), one) for name, one in spec.properties.items()
        ]
        self._declared = frozenset(
            path[1] for _, path, _ in self._paths if path[0] == _PROPERTIES and len(path) > 1
        )

    def kept(self, event: Event) -> Kept:
        """Return what is kept of an event; what is left out is told by rule alone."""
        found: dict[str, AttributeValue] = {}
        sent = event.row.get(_PROPERTIES)
        undeclared = len(sent.keys() - self._declared) if isinstance(sent, dict) else 0
        left_out = [NOT_DECLARED] * undeclared
        for name, path, spec in self._paths:
            value = at_path(event.row, path)
            if value is None or value is ABSENT:
                continue
            try:
                text = _text(value)
                if text:
                    found[name] = typed(text, spec)
            except AttributeRefused as refused:
                left_out.append(refused.rule)
        return Kept(found, tuple(left_out))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        raise AttributeRefused("not_plain", "Give a plain value.")
    return trim(value)
