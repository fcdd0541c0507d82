"""What can go wrong with keys and sealed values, sorted by what to do next."""

from cdp.errors import Refused, Retry, Stop


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


class KeyRingChanged(Retry):
    """Somebody else changed the key ring between the reading and the writing."""


class RootNeeds(Stop):
    """The provider of the root lacks something: a passphrase, a key, a library, an account."""


class RootProviderUnknown(Stop):
    """The key ring names a provider of its root that this program does not have."""


class RootUnreachable(Retry):
    """The provider of the root does not answer."""


class RootRefused(Stop):
    """The provider of the root answered, and said no."""


class PassphraseWrong(Stop):
    """The passphrase is not the one that the root was sealed with."""


class PassphraseWeak(Refused):
    """The passphrase is too short to guard a root."""


class RootKeyWrong(Stop):
    """The key outside is not the one that the root was sealed with."""


class RootOfAnotherPlace(Stop):
    """The root was sealed for another workspace or root version, or was changed."""


class NotRotatable(Refused):
    """This key has no second version: what derives from it must stay as it is."""


class VersionInUse(Refused):
    """A key version that is still needed is not retired."""


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


class RestoredBeforeShred(Stop):
    """The database is older than the shred ledger: what was destroyed may be in it again."""


class ShredLedgerBehind(Stop):
    """The ledger file lacks lines that the database has."""


class ShredLedgerAltered(Stop):
    """The shred ledger was changed or cut, or is not one."""


class ShredLedgerUnwritable(Stop):
    """The ledger file cannot be written: nothing was destroyed."""
