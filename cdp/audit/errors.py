"""What can go wrong with the audit log, sorted by what to do next."""

from cdp.errors import Refused, Stop


class EventNotRecordable(Stop):
    """An event holds something that an audit line may not hold."""


class DetailRefused(Refused):
    """The reason a person typed is blank, too long or looks like personal data."""


class NotAudited(Stop):
    """What was asked would happen without an audit event that allows it."""


class TransactionNeeded(Stop):
    """The connection cannot keep the event and what it describes together."""


class LogBroken(Stop):
    """The stored log is not the one that the newest checkpoint signed."""


class CheckpointGarbled(Stop):
    """A checkpoint text is cut short, changed or not a checkpoint."""


class CheckpointNotOurs(Stop):
    """A checkpoint is signed by another key or for another workspace."""
