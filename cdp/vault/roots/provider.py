"""Where the root of a key ring is kept: what every provider does, and the choice of them.

The root is 32 random bytes that wrap all other keys of a ring. A provider turns it into
what the ring file may hold, and back:

1. What it hands out opens for one workspace and one root version, and for no other.
2. It says what it needs before it can work, and what lacks, in a sentence with a next step.
3. Nothing of it shows the root or what guards it: no ``repr``, error or traceback with
   locals.

`file` is the exception to the first: there the root stands in the ring file itself.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol
from uuid import UUID

from cdp.vault.context import frame, number
from cdp.vault.errors import RootProviderUnknown
from cdp.vault.secret import Secret

Held = Mapping[str, str | int]  # what the ring file says of one root; JSON


class RootPlace(NamedTuple):
    """Which root it is: whose, and which version of it."""

    workspace: UUID
    version: int

    def bound(self, provider: str) -> bytes:
        """Return the associated data of this root at ``provider``."""
        return frame(b"kith/root", provider.encode(), self.workspace.bytes, number(self.version))


class RootProvider(Protocol):
    """One place that guards roots."""

    @property
    def name(self) -> str:
        """The word for it in the ring file and in ``CDP_ROOT_PROVIDER``."""
        ...

    @property
    def needs(self) -> str:
        """What must be there before it works, in a few words."""
        ...

    def wrap(self, root: Secret, place: RootPlace) -> Held:
        """Return what the ring file may hold of ``root``.

        Raises:
            RootNeeds, RootUnreachable, RootRefused.
        """
        ...

    def unwrap(self, held: Held, place: RootPlace) -> Secret:
        """Return the root that `wrap` was given for ``place``.

        Raises:
            RootNeeds, RootUnreachable, RootRefused: as `wrap`.
            PassphraseWrong, RootKeyWrong: another secret guards it.
            RootOfAnotherPlace: of another workspace or version, or changed.
            KeyError, TypeError, ValueError: ``held`` is not of the provider's shape; the
                reader of the ring turns these into `KeyRingGarbled`.
        """
        ...


class RootProviders:
    """The providers that this program has, by name."""

    __slots__ = ("_known",)

    def __init__(self, providers: Iterable[RootProvider]) -> None:
        self._known = {one.name: one for one in providers}

    def adding(self, provider: RootProvider) -> "RootProviders":
        """Return these and one more. One of the same name takes the place of the old."""
        return RootProviders([*self._known.values(), provider])

    def named(self, name: str) -> RootProvider:
        """Return the provider of that name.

        Raises:
            RootProviderUnknown: there is none; names those there are.
        """
        found = self._known.get(name)
        if found is None:
            raise RootProviderUnknown(
                f"this program has no root provider of that name, it has {', '.join(self._known)}",
                "use one of these, or the program that has the other",
                provider=name,
            )
        return found

    def __repr__(self) -> str:
        return f"<root providers: {', '.join(self._known)}>"
