"""The root sealed under a passphrase, stretched with Argon2id.

The costs are RFC 9106's second recommended option (section 4): 64 MiB, 3 passes, 4 lanes,
salt of 128 bits. That is above the least that OWASP's password storage cheat sheet asks
for (19 MiB, 2 passes, 1 lane). They stand in the ring file. Stored costs outside the
bounds below are refused: less was not written by Kith, more would exhaust the machine.
"""

import unicodedata
from collections.abc import Callable
from typing import Final

from cdp.vault import primitives
from cdp.vault.errors import PassphraseWeak, PassphraseWrong
from cdp.vault.primitives import NONCE_BYTES, Randomness, Stretching, system_randomness
from cdp.vault.roots import local
from cdp.vault.roots.provider import Held, RootPlace
from cdp.vault.secret import Secret

COSTS: Final = Stretching(memory_kib=64 * 1024, iterations=3, lanes=4)
_LEAST: Final = Stretching(memory_kib=19 * 1024, iterations=1, lanes=1)
_MOST: Final = Stretching(memory_kib=1024 * 1024, iterations=64, lanes=16)
_FUNCTION: Final = "argon2id"
SALT_BYTES: Final = 16
LEAST_CHARACTERS: Final = 12


class PassphraseRoot:
    """Who has the ring file must know the passphrase too.

    Args:
        ask: gives the passphrase, UTF-8; called when it is needed, and may raise `RootNeeds`.
        costs: of sealing anew; opening takes those that are stored.
        randomness: of salt and nonce.
    """

    __slots__ = ("_ask", "_costs", "_randomness")
    name: Final = "passphrase"
    needs: Final = "CDP_PASSPHRASE, CDP_PASSPHRASE_FILE, or somebody at the terminal to type it"

    def __init__(
        self,
        ask: Callable[[], Secret],
        costs: Stretching = COSTS,
        randomness: Randomness = system_randomness,
    ) -> None:
        self._ask = ask
        self._costs = costs
        self._randomness = randomness

    def wrap(self, root: Secret, place: RootPlace) -> Held:
        """Seal ``root`` under the passphrase, with a salt of its own.

        Raises:
            PassphraseWeak: fewer than 12 characters.
        """
        passphrase = _normal(self._ask())
        if len(passphrase.expose().decode()) < LEAST_CHARACTERS:
            raise PassphraseWeak(
                f"the passphrase has fewer than {LEAST_CHARACTERS} characters",
                "take a longer one: five words drawn by chance are good",
            )
        salt = self._randomness(SALT_BYTES)
        key = primitives.stretched(passphrase, salt, self._costs)
        nonce = self._randomness(NONCE_BYTES)
        return {
            "function": _FUNCTION,
            **self._costs._asdict(),
            "salt": local.text_of(salt),
            **local.seal(key, root, place.bound(self.name), nonce),
        }

    def unwrap(self, held: Held, place: RootPlace) -> Secret:
        """Open the root with the passphrase.

        Raises:
            PassphraseWrong: it is another one.
            RootOfAnotherPlace: it is the right one, and the root is of another place.
        """
        costs, salt = _costs(held), local.bytes_of(held["salt"])
        if len(salt) != SALT_BYTES:
            raise ValueError("not a salt")
        key = primitives.stretched(_normal(self._ask()), salt, costs)
        if not local.is_key(key, held):
            raise PassphraseWrong(
                "the passphrase is wrong",
                "give the one that this key ring was sealed with, capitals and spaces alike",
                provider=self.name,
                root_version=place.version,
            )
        return local.open_sealed(key, held, place, self.name)

    def __repr__(self) -> str:
        return "<root under a passphrase>"


def _costs(held: Held) -> Stretching:
    found = Stretching(*(_whole(held[name]) for name in Stretching._fields))
    within = all(low <= one <= high for low, one, high in zip(_LEAST, found, _MOST, strict=True))
    if held["function"] != _FUNCTION or not within:
        raise ValueError("not costs that Kith writes")
    return found


def _whole(value: object) -> int:
    if type(value) is not int:
        raise ValueError("not a whole number")
    return value


def _normal(passphrase: Secret) -> Secret:
    # Composed and decomposed letters look alike and are typed alike (RFC 8265, NFC).
    return Secret(unicodedata.normalize("NFC", passphrase.expose().decode()).encode())
