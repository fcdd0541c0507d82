"""What takes in single records, for each source of a workspace, made once for many of them."""

import datetime as dt
from threading import Lock

from cdp.ingest.features import Deriver
from cdp.ingest.prepare import deriver_of
from cdp.ingest.storing import reading_of
from cdp.resolution.online import Arrivals
from cdp.workspace import Workspace


class EverySource:
    """Hands out what resolves the records of a source. Any number of threads may use it."""

    __slots__ = ("_deriver", "_lock", "_made", "_workspace")

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._lock = Lock()
        self._made: dict[str, tuple[tuple[dt.date, str], Arrivals]] = {}
        self._deriver: Deriver | None = None  # of all sources; this process may lack its key

    def arrivals(self, source: str) -> Arrivals:
        """Return it: made anew each day, for dates, and under other masks."""
        today = self._workspace.now().date()
        made_for = today, self._workspace.forms.version
        with self._lock:
            made = self._made.get(source)
            if made is None or made[0] != made_for:
                if self._deriver is None:
                    reading = reading_of(self._workspace, today)
                    self._deriver = deriver_of(self._workspace.keyring, reading)
                made = made_for, Arrivals(self._workspace, source, self._deriver)
                self._made[source] = made
        return made[1]
