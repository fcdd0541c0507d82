"""The shape of a name, and the fields it may come from."""

from dataclasses import dataclass, field
from enum import StrEnum

from cdp.ingest.normalise.result import Canonical


class NameKind(StrEnum):
    """The identity field that a text comes from."""

    NAME = "name"
    GIVEN_NAME = "given_name"
    SURNAME = "surname"
    REMARK = "remark"
    NICKNAME = "nickname"


class Script(StrEnum):
    """The writing of a name. `OTHER` also stands for a mixture without Han characters."""

    HAN = "han"
    LATIN = "latin"
    OTHER = "other"


@dataclass(frozen=True, slots=True, repr=False)
class Name(Canonical):
    """A person's name, or what is visible of it.

    `complete` says that surname and given name are both there and nothing is masked.
    `tokens` are the words in sorted order, equal for `smith john` and `john smith`; a Han name
    without `·` is one token. `sex` is what a form of address told, `male` or `female`; it is
    no part of the name.
    """

    full: str
    script: Script
    surname: str | None
    given: str | None
    masked: bool
    complete: bool
    tokens: tuple[str, ...]
    sex: str | None = field(default=None, compare=False)

    @property
    def canonical(self) -> str:
        """The full name."""
        return self.full
