"""Write keys that two sources have: such a key lets nobody into either.

One place that two sources refer to is refused when the declaration is read. Two places may hold
the same key all the same; only who can fetch both can tell.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from cdp.vault.event_keys import WriteKeys
from connectors.base import Finding, Level
from connectors.credentials import Lookup, NoCredentialError
from connectors.declaration import SourceDeclaration
from connectors.events.declaration import WRITE_KEYS
from connectors.record import Sensitive

RULE: Final = "write_key_shared"


def shared_keys(
    declared: Mapping[str, SourceDeclaration], lookup: Lookup
) -> tuple[tuple[str, ...], ...]:
    """Return which sources have a write key in common, as far as keys can be had here."""
    found: dict[str, list[Sensitive]] = {}
    for one in declared.values():
        if one.inbound is not None:
            for name in sorted(WRITE_KEYS & set(one.credentials)):
                with suppress(NoCredentialError):
                    found.setdefault(one.name, []).append(lookup(one.credentials[name]))
    return WriteKeys(found).shared


def findings(
    declared: Mapping[str, SourceDeclaration], lookup: Lookup
) -> list[tuple[str, Finding]]:
    """Return what is wrong with write keys, by source. No key is in it."""
    return [
        (source, Finding(Level.ERROR, RULE, "credentials.write_key", _step(source, several)))
        for several in shared_keys(declared, lookup)
        for source in several
    ]


def _step(source: str, several: tuple[str, ...]) -> str:
    others = ", ".join(one for one in several if one != source)
    return f"It lets nobody in, since {others} has it too: give each source a key of its own."
