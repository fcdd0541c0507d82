"""The root sealed under a key from outside: 32 bytes in base 64, in ``CDP_ROOT_KEY``.

For whatever puts secrets into a service's environment. The ring file without that key, and
that key without the ring file, open nothing.
"""

import base64
import binascii
from typing import Final

from cdp.vault.errors import RootKeyWrong, RootNeeds
from cdp.vault.primitives import KEY_BYTES, NONCE_BYTES, Randomness, system_randomness
from cdp.vault.roots import local
from cdp.vault.roots.provider import Held, RootPlace
from cdp.vault.secret import Secret


class EnvironmentRoot:
    """Who has the ring file must have the key from outside too.

    Args:
        given: the key as it was given, base 64; None: it was not.
        randomness: of the nonce.
    """

    __slots__ = ("_given", "_randomness")
    name: Final = "environment"
    needs: Final = "CDP_ROOT_KEY: 32 random bytes in base 64"

    def __init__(self, given: Secret | None, randomness: Randomness = system_randomness) -> None:
        self._given = given
        self._randomness = randomness

    def wrap(self, root: Secret, place: RootPlace) -> Held:
        """Seal ``root`` under the key from outside."""
        nonce = self._randomness(NONCE_BYTES)
        return local.seal(self._key(), root, place.bound(self.name), nonce)

    def unwrap(self, held: Held, place: RootPlace) -> Secret:
        """Open the root with the key from outside.

        Raises:
            RootKeyWrong: it is another one.
            RootOfAnotherPlace: it is the right one, and the root is of another place.
        """
        key = self._key()
        if not local.is_key(key, held):
            raise RootKeyWrong(
                "CDP_ROOT_KEY is not the key that this root was sealed with",
                "set it to the key that was in force when the key ring was last written",
                provider=self.name,
                root_version=place.version,
            )
        return local.open_sealed(key, held, place, self.name)

    def _key(self) -> Secret:
        if self._given is None:
            raise RootNeeds(
                "CDP_ROOT_KEY is not set",
                "set it to 32 random bytes in base 64, as `openssl rand -base64 32` prints",
                provider=self.name,
            )
        key = _decoded(self._given)
        if key is None:
            raise RootNeeds(
                "CDP_ROOT_KEY is not 32 bytes in base 64",
                "set it to what `openssl rand -base64 32` prints, whole and on one line",
                provider=self.name,
            )
        return key

    def __repr__(self) -> str:
        return "<root under a key from outside>"


def _decoded(given: Secret) -> Secret | None:
    try:
        key = Secret(base64.b64decode(given.expose().strip(), validate=True))
    except (binascii.Error, ValueError):
        return None
    return key if len(key.expose()) == KEY_BYTES else None
