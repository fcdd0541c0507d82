"""What a source says of a connector that is not ours: its name, and options of its own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from connectors.errors import Stop

Option = str | int | bool


@dataclass(frozen=True, slots=True)
class Installed:
    """A connector that an installed package announces; another option means reading anew.

    Attributes:
        name: that it is announced by.
        options: names and plain values, which it alone understands; by name.
    """

    name: str
    options: tuple[tuple[str, Option], ...] = ()

    def find(self, option: str) -> Option | None:
        """The value of an option; None: it is not there."""
        return dict(self.options).get(option)

    def require(self, source: str, option: str) -> str:
        """Return an option that is text.

        Raises:
            Stop: it is missing, or no text.
        """
        found = self.find(option)
        if not isinstance(found, str):
            step = "Write it, as text, in cdp.yaml."
            raise Stop(source, "option_missing", step, field=f"installed.options.{option}")
        return found


def parse_installed(raw: Mapping[str, Any]) -> Installed | None:
    """Read ``installed`` of an entry whose form was checked."""
    written = raw.get("installed")
    if written is None:
        return None
    return Installed(written["name"], tuple(sorted(written.get("options", {}).items())))
