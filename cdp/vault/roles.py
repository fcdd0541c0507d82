"""What a process that serves is started as, and so which keys it ever holds.

1. A process holds no key that its role does not name: it is not unwrapped for it, and not
   in the ring that `cdp key extract` writes for it.
2. No role but `full` holds a key that signs, seals what is delivered, or names records.

``counter`` serves clerks: masked forms, look-ups by a full identifier, API keys, sign-in.
``contact`` also opens contact fields, for those who may reveal one. ``full`` is every other
process.

Whoever serves people must let them in, so every role holds the ``sign-in`` key: it recognises
sessions and opens the seeds of one-time codes. It sets no password and enrols nobody: the
database lets only a full process write those. A session is good at processes of the role that
began it, and at no other (``cdp.access.sessions``).
"""

from types import MappingProxyType
from typing import Final, NamedTuple

from cdp.errors import Stop
from cdp.vault.ring_document import PURPOSES
from connectors.vocabulary import SENSITIVE_FIELDS


class ProcessRole(NamedTuple):
    """One role of a process.

    Attributes:
        name: as ``cdp serve --role`` takes it.
        purposes: of the keys that it holds.
        database: the group role that it takes in the database; None: that of its login.
    """

    name: str
    purposes: frozenset[str]
    database: str | None

    @property
    def withheld(self) -> tuple[str, ...]:
        """The purposes whose keys it must not hold."""
        return tuple(one for one in PURPOSES if one not in self.purposes)

    def opens(self, field: str) -> bool:
        """Say whether it opens the clear value of an identity field."""
        return ("sensitive" if field in SENSITIVE_FIELDS else "contact") in self.purposes


_COUNTER: Final = frozenset({"masked", "blind-index", "api-keys", "sign-in"})
COUNTER: Final = ProcessRole("counter", _COUNTER, "kith_counter")
CONTACT: Final = ProcessRole("contact", _COUNTER | {"contact"}, "kith_contact")
FULL: Final = ProcessRole("full", frozenset(PURPOSES), None)
ROLES: Final = MappingProxyType({one.name: one for one in (COUNTER, CONTACT, FULL)})


def named(name: str) -> ProcessRole:
    """Return the role of that name.

    Raises:
        Stop: there is none; names those there are.
    """
    found = ROLES.get(name)
    if found is None:
        raise Stop("no_such_process_role", f"name one of {', '.join(ROLES)}")
    return found


def first_that_opens(field: str) -> ProcessRole:
    """Return the role with the fewest keys that opens a field: whom to ask for a reveal."""
    return next(one for one in ROLES.values() if one.opens(field))
