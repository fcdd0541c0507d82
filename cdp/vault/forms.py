"""The masked tier's content: what is stored of a value for who must not open the value itself.

1. A form is the mask of its value, or nothing where the mask shows nothing of any value. Only
   the fields of `AT_COUNTER` are stored as they are.
2. A form under the mask of its field shows what the value itself shows under it.
3. Other masks, another ``masking.yaml`` or another list of such fields has another version.

Pure: masks and their declaration are arguments.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from cdp.vault import primitives
from connectors.vocabulary import IDENTITY_FIELDS
from policies import masks

AT_COUNTER: Final = frozenset({"gender", "city", "district", "region"})
"""Fields that clerks see as they are. None of them, nor all together, names or reaches anybody."""

_FORMAT: Final = 1  # of what `Forms.of` returns
_VERSION_BYTES: Final = 8


@dataclass(frozen=True)
class Forms:
    """The forms of values under one declaration of masks.

    Args:
        masking: name of the mask by field, as ``policies.declarations.read_masking`` gives it.
    """

    masking: Mapping[str, str]

    @cached_property
    def version(self) -> str:
        """Names the masks behind a form, 16 hexadecimal digits."""
        content = [_FORMAT, masks.VERSION, sorted(AT_COUNTER), sorted(self.masking.items())]
        return primitives.digest(json.dumps(content).encode())[:_VERSION_BYTES].hex()

    @cached_property
    def fields(self) -> frozenset[str]:
        """The fields that have a form: those whose mask shows something, and `AT_COUNTER`."""
        showing = {name for name, one in masks.MASKS.items() if one.residual_guesses is not None}
        shown = {field for field in IDENTITY_FIELDS if self.masking.get(field) in showing}
        return frozenset(shown | AT_COUNTER)

    def of(self, values: Iterable[tuple[str, str]]) -> dict[str, str]:
        """Return the form of each field that has one.

        Args:
            values: field and its first canonical value; what has no form is left out.
        """
        found: dict[str, str] = {}
        for field, text in values:
            form = self.form(field, text)
            if form is not None:
                found[field] = form
        return found

    def form(self, field: str, text: str) -> str | None:
        """Return the form of one value; None if it has none."""
        make = self._makers.get(field)
        if make is None:
            return None
        form = make(text)
        return None if form == masks.HIDDEN and field not in AT_COUNTER else form

    @cached_property
    def _makers(self) -> Mapping[str, Callable[[str], str]]:
        """What makes the form of a value, by field."""
        masking = {field: masks.masker(self.masking[field]) for field in self.fields - AT_COUNTER}
        return masking | dict.fromkeys(AT_COUNTER, str)
