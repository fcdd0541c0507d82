"""What can go wrong with keys and sealed values, sorted by what to do next."""

from cdp.errors import Refused, Stop


class KeyRingMissing(Stop):
    """There is no key ring where one is expected."""


class KeyRingExposed(Stop):
    """The key ring can be read or replaced by others than its owner."""


class KeyRingGarbled(Stop):
    """The key ring is cut short, changed or not a key ring."""


class KeyRingUnwritable(Stop):
    """The key ring cannot be written: no folder, no room, or no hard links."""


class KeyRingExists(Refused):
    """A key ring is never overwritten."""


class OtherWorkspace(Stop):
    """The key ring belongs to another workspace than the data."""


class KeyMissing(Stop):
    """The key ring does not hold the key version that sealed this."""


class KeyWithheld(Refused):
    """This process was started without the key of that purpose."""


class CellGarbled(Stop):
    """A sealed value is too short, of an unknown format, or not text."""


class CellRefused(Stop):
    """A sealed value was changed, or is not in the place it was sealed for."""


class WrappedKeyRefused(Stop):
    """A wrapped data key was changed, or is not in the place it was wrapped for."""


class NotSealable(Stop):
    """What was handed in to be sealed is not what the vault seals."""


class NotIndexable(Refused):
    """A blind index of this field or value would tell more than it finds."""


class NotKeyable(Refused):
    """An empty value, or one that is not text, has no keyed form."""
