"""Sources that are being removed, or were: nothing more is taken in under their names.

Who takes in records of a source asks first, in the transaction that stores them, or while nobody
else can begin to remove it (``only_one`` of ``sync NAME``).
"""

import sqlalchemy as sa

from cdp.errors import Refused
from cdp.storage.statements import Statement, ask

_REMOVED, _BEING_REMOVED = "source_removed", "source_being_removed"
_REMOVAL = Statement(
    "removal",
    ("text",),
    "SELECT r.ended_at IS NOT NULL FROM kith.source_removal r WHERE r.source = $1",
)


def require_not_removed(connection: sa.Connection, source: str) -> None:
    """Check that a source may take in records.

    Raises:
        Refused: it is being removed, or was.
    """
    for (ended,) in ask(connection, _REMOVAL, source):
        if ended:
            step = "take it out of cdp.yaml; records to come need a source of another name"
            raise Refused(_REMOVED, step, source=source)
        step = "finish what was begun: cdp source remove NAME --erase"
        raise Refused(_BEING_REMOVED, step, source=source)


def is_of_removed(error: Refused) -> bool:
    """Whether something was refused since its source is being removed, or was."""
    return error.rule in {_REMOVED, _BEING_REMOVED}
