"""The root in the ring file itself. The default: it needs nothing but the file's mode 0600."""

from typing import Final

from cdp.vault.roots import local
from cdp.vault.roots.provider import Held, RootPlace, RootProviders
from cdp.vault.secret import Secret


class FileRoot:
    """Who has the ring file has the root."""

    __slots__ = ()
    name: Final = "file"
    needs: Final = "nothing beside the key ring file"

    def wrap(self, root: Secret, place: RootPlace) -> Held:
        """Return the root as it is."""
        del place
        return {"secret": local.text_of(root.expose())}

    def unwrap(self, held: Held, place: RootPlace) -> Secret:
        """Return the root as it stands there."""
        del place
        return Secret(local.bytes_of(held["secret"]))


FILE: Final = FileRoot()
ONLY_FILE: Final = RootProviders((FILE,))
