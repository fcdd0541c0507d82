"""Credentials of a source, by reference: where a secret lies, never the secret itself.

A declaration says ``env:SOURCE_NAME``, ``file:PATH`` or ``ring:NAME``. Who opens the source
gives a ``Lookup``, which fetches the secret when it is needed; this package reads no environment.

Invariants, each named by a test in ``tests/unit/connectors/test_credentials.py``:

1. A secret written in the declaration is refused, and not quoted.
2. No error and no ``repr`` shows a secret.
3. A secret is fetched when a source needs it, and not kept.
4. Only variables that are named for it can be read: a declaration reaches no other setting.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, NoReturn

from connectors.errors import DeclarationError, Stop
from connectors.record import Sensitive

Kind = Literal["env", "file", "ring"]

ENVIRONMENT_PREFIX: Final = "SOURCE_"
"""Every variable that a declaration may name begins with it."""
_ENVIRONMENT: Final = re.compile(rf"{ENVIRONMENT_PREFIX}[A-Z0-9_]{{1,100}}")
_IDENTIFIER: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
_FORM: Final = (
    f"Write where the secret lies, never the secret: env:{ENVIRONMENT_PREFIX}NAME, file:PATH or "
    "ring:NAME."
)


@dataclass(frozen=True, slots=True)
class Reference:
    """Where one secret lies."""

    kind: Kind
    name: str  # of the variable, the file or the entry of the key ring

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"


class NoCredentialError(Exception):
    """A lookup found no secret. Carries the rule and the next step, never a secret."""

    def __init__(self, rule: str, next_step: str) -> None:
        super().__init__(rule, next_step)
        self.rule = rule
        self.next_step = next_step


Lookup = Callable[[Reference], Sensitive]
"""Fetches the secret of a reference; raises ``NoCredentialError``."""


def refuse(reference: Reference) -> NoReturn:
    """The lookup of somebody who has no secrets to give."""
    del reference
    raise NoCredentialError("credentials_unavailable", "Open the source with cdp source.")


def parse_credentials(source: str, raw: object) -> Mapping[str, Reference]:
    """Read ``credentials:`` of a source, a mapping of names to references.

    Raises:
        DeclarationError: naming the path, never what stands there.
    """
    if not isinstance(raw, Mapping):
        raise DeclarationError(
            source, "wrong_type", "Write a mapping of names to references.", field="credentials"
        )
    if not all(isinstance(name, str) and _IDENTIFIER.fullmatch(name) for name in raw):
        step = "Name each with lower-case letters, digits and _, beginning with a letter."
        raise DeclarationError(source, "name_form", step, field="credentials")
    return MappingProxyType({name: _reference(source, name, text) for name, text in raw.items()})


def _reference(source: str, name: str, text: object) -> Reference:
    kind, separator, rest = text.partition(":") if isinstance(text, str) else ("", "", "")
    if separator:
        if kind == "env" and _ENVIRONMENT.fullmatch(rest):
            return Reference("env", rest)
        if kind == "file" and rest.strip() == rest != "" and rest.isprintable():
            return Reference("file", rest)
        if kind == "ring" and _IDENTIFIER.fullmatch(rest):
            return Reference("ring", rest)
    raise DeclarationError(source, "not_a_reference", _FORM, field=f"credentials.{name}")


class Credentials:
    """The credentials of one source: what it declares, and a way to fetch it."""

    __slots__ = ("_lookup", "_references", "_source")

    def __init__(
        self, source: str, references: Mapping[str, Reference], lookup: Lookup = refuse
    ) -> None:
        self._source = source
        self._references = references
        self._lookup = lookup

    @property
    def source(self) -> str:
        """The name of the source."""
        return self._source

    def __contains__(self, name: str) -> bool:
        return name in self._references

    def require_known(self, known: frozenset[str]) -> None:
        """Refuse a name that the connector does not use.

        Raises:
            Stop: naming it and those that there are.
        """
        for name in sorted(self._references.keys() - known):
            step = f"Remove it. Used here: {', '.join(sorted(known)) or 'none'}."
            raise Stop(self._source, "credential_not_used", step, field=f"credentials.{name}")

    def find(self, name: str) -> Sensitive | None:
        """Return the secret of that name, or None when none is declared.

        Raises:
            Stop: it is declared and cannot be had.
        """
        reference = self._references.get(name)
        if reference is None:
            return None
        try:
            return self._lookup(reference)
        except NoCredentialError as error:
            raise self._stop(name, error.rule, error.next_step) from None

    def require(self, name: str) -> Sensitive:
        """Return the secret of that name.

        Raises:
            Stop: none is declared, or it cannot be had.
        """
        found = self.find(name)
        if found is None:
            raise self._stop(name, "credential_missing", _FORM)
        return found

    def _stop(self, name: str, rule: str, next_step: str) -> Stop:
        return Stop(self._source, rule, next_step, field=f"credentials.{name}")

    def __repr__(self) -> str:
        return f"<credentials of {self._source}: {', '.join(self._references) or 'none'}>"
