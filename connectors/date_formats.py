"""Which strptime formats say a whole day."""

from typing import Final

_FULL_DATE: Final = (("%Y", "%y"), ("%m", "%b", "%B", "%j"), ("%d", "%j"))


def names_a_day(form: str) -> bool:
    """Whether ``form`` has year, month and day; without one, strptime would make it up."""
    return all(any(part in form for part in parts) for parts in _FULL_DATE)
