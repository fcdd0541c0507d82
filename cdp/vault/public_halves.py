"""The public halves of signing keys: what every process may have, to verify what it cannot sign.

A ring that holds the key derives them. An extract that lacks it carries them, base64 of 32
bytes by purpose and version, under the seal of the ring: who can only write to the database
cannot put another key in their place.
"""

from collections.abc import Mapping
from typing import Any, Final

from cdp.vault import primitives
from cdp.vault.roots import local
from cdp.vault.secret import Secret

SIGNING: Final = ("audit-signing",)
"""The purposes that sign."""

PublicHalves = Mapping[str, Mapping[int, bytes]]  # by purpose and version, 32 bytes each


def derived(seeds: Mapping[str, Mapping[int, Secret]]) -> dict[str, Mapping[int, bytes]]:
    """Return the public halves of the signing keys among ``seeds``, by purpose and version."""
    return {
        purpose: {version: primitives.public_key(seed) for version, seed in seeds[purpose].items()}
        for purpose in SIGNING
        if purpose in seeds
    }


def written(halves: PublicHalves) -> dict[str, dict[str, str]]:
    """Return them as a ring file holds them."""
    return {
        purpose: {str(version): local.text_of(half) for version, half in found.items()}
        for purpose, found in halves.items()
    }


def read(section: Any) -> dict[str, Mapping[int, bytes]]:
    """Read what `written` gives; the seal of the ring is checked by who reads the rest.

    Raises:
        AttributeError, KeyError, TypeError, ValueError: it is not of that shape.
    """
    found: dict[str, Mapping[int, bytes]] = {
        purpose: {int(version): local.bytes_of(text) for version, text in section[purpose].items()}
        for purpose in SIGNING
        if purpose in section
    }
    if any(
        len(half) != primitives.KEY_BYTES for halves in found.values() for half in halves.values()
    ):
        raise ValueError("not a public key")
    return found
