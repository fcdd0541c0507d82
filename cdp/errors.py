"""Errors of the platform, sorted by what to do next.

Every error of ``cdp`` is a `KithError` in one of three families:

* `Stop`: something must be put right first; trying again gives the same answer.
* `Retry`: nothing is wrong with what was asked; the same call may work in a moment.
* `Refused`: a rule of the house says no, and says which rule.

An error names where it happened (source, position, field, record, path), the rule and
the next step. It never carries a value: what is passed as ``where`` are coordinates.
"""

from collections.abc import Mapping
from os import PathLike
from types import MappingProxyType
from typing import Self
from uuid import UUID

_SHOWN = (str, int, UUID, PathLike)


class KithError(Exception):
    """Base of every error of the platform.

    Args:
        rule: what was found and which rule it breaks, as a phrase without a full stop.
        next_step: what to do now, as a phrase that starts with a verb.
        where: coordinates such as ``source="pos", position=12, field="phone"``. Text,
            numbers, UUIDs and paths are shown; anything else only by the name of its
            type, so that a value passed by mistake stays hidden. ``None`` is left out.
    """

    rule: str
    next_step: str
    where: Mapping[str, object]

    def __init__(self, rule: str, next_step: str, **where: object) -> None:
        self.rule = rule
        self.next_step = next_step
        self.where = MappingProxyType({k: _shown(v) for k, v in where.items() if v is not None})
        super().__init__(rule, next_step)

    def __str__(self) -> str:
        """One sentence: what, rule and next step."""
        place = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in self.where.items())
        start = f"{place}: " if place else ""
        return f"{start}{self.rule}; next: {self.next_step}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __reduce__(self) -> tuple[object, ...]:
        # Worker processes hand errors back pickled; the default forgets ``where``.
        return _rebuild, (type(self), self.rule, self.next_step, dict(self.where))

    def at(self, **where: object) -> Self:
        """Return the same error with more coordinates."""
        return type(self)(self.rule, self.next_step, **{**self.where, **where})


class Stop(KithError):  # noqa: N818 - the name says what to do, which "StopError" hides
    """Put something right first; trying again gives the same answer."""


class Retry(KithError):  # noqa: N818 - as above
    """The same call may work in a moment."""


class Refused(KithError):  # noqa: N818 - as above
    """A rule of the house says no."""


def _shown(value: object) -> object:
    return value if isinstance(value, _SHOWN) else f"<{type(value).__name__}>"


def _rebuild(
    kind: type[KithError], rule: str, next_step: str, where: dict[str, object]
) -> KithError:
    return kind(rule, next_step, **where)
