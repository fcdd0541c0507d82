"""A source that reads nothing by itself: its rows come on standard input, by ``cdp ingest``."""

from collections.abc import Iterator

from connectors.base import Delivery, Finding, Level, State
from connectors.credentials import Credentials
from connectors.declaration import SourceDeclaration
from connectors.errors import Stop

_STEP = "Pipe it in: tap | cdp ingest singer --source NAME."


class PipedFeed:
    """Stands for such a source where sources are checked and synced."""

    def __init__(self, declaration: SourceDeclaration, credentials: Credentials) -> None:
        credentials.require_known(frozenset())
        self._name = declaration.name

    @property
    def name(self) -> str:
        """The name the declaration gives the source."""
        return self._name

    def check(self) -> list[Finding]:
        """A note that there is nothing to look at."""
        return [Finding(Level.NOTE, "comes_on_standard_input", self._name, _STEP)]

    def count(self, state: State | None) -> int | None:
        """Nobody knows what will be sent."""
        del state
        return None

    def read(self, state: State | None) -> Iterator[Delivery]:
        """Raise ``Stop``: nothing can be fetched."""
        del state
        raise Stop(self._name, "comes_on_standard_input", _STEP)
