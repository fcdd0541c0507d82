"""A provider that was asked about some roots beforehand, and is not asked about them again.

A provider may wait: for somebody who types a passphrase, for a KMS that does not answer. Who
edits a ring while others are kept from writing asks it before that.
"""

from collections.abc import Mapping

from cdp.errors import KithError
from cdp.vault import primitives
from cdp.vault.roots import local
from cdp.vault.roots.provider import Held, RootPlace, RootProvider
from cdp.vault.secret import Secret


class AskedRoot:
    """What ``provider`` said about the roots that `ask` was called with. Holds them.

    About any other root it is asked when that is needed.
    """

    __slots__ = ("_known", "_provider")

    def __init__(self, provider: RootProvider) -> None:
        self._provider = provider
        self._known: dict[RootPlace, tuple[Secret, Held]] = {}

    @property
    def name(self) -> str:
        """That of the provider."""
        return self._provider.name

    @property
    def needs(self) -> str:
        """What the provider needs."""
        return self._provider.needs

    def ask(self, roots: Mapping[RootPlace, Secret]) -> None:
        """Have the provider wrap these roots, and open what it made of each.

        Raises:
            RootOfAnotherPlace: it gives no root back, or another.
            What the provider raises.
        """
        for place, root in roots.items():
            self._known[place] = root, dict(self._provider.wrap(root, place))
            failure = self._opened(place)
            if failure is not None:
                del self._known[place]
                raise failure.at()  # anew: its own traceback may pass by the root

    def _opened(self, place: RootPlace) -> KithError | None:
        """Open what was just wrapped; the error if that does not give the root back."""
        root, held = self._known[place]
        try:
            again = self._provider.unwrap(held, place)
        except KithError as error:
            return error
        except (KeyError, TypeError, ValueError):
            return local.misplaced(place, self.name)
        fits = primitives.same(again.expose(), root.expose())
        return None if fits else local.misplaced(place, self.name)

    def wrap(self, root: Secret, place: RootPlace) -> Held:
        """Return what the provider made of ``root``."""
        known = self._known.get(place)
        if known is not None and primitives.same(known[0].expose(), root.expose()):
            return known[1]
        return self._provider.wrap(root, place)

    def unwrap(self, held: Held, place: RootPlace) -> Secret:
        """Return the root that the provider found in ``held``."""
        known = self._known.get(place)
        if known is not None and known[1] == held:
            return known[0]
        return self._provider.unwrap(held, place)

    def __repr__(self) -> str:
        return f"<asked beforehand: {self._provider!r}>"
