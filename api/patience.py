"""How long a connection may take to say what it wants: a slow-loris client is hung up on.

The edge bounds the time of a body; here it is that of the line and the headers before it, which
the application never hears of until they are whole.
"""

import asyncio
from typing import Final

from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_SECONDS: Final = 10.0


class PatientProtocol(H11Protocol):
    """Uvicorn's HTTP protocol, with an end to its patience."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Take in what came; where that is no whole request yet, go on waiting for it."""
        super().data_received(data)
        if not self._is_waiting():
            self._stop_waiting()
        elif self._deadline is None:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _is_waiting(self) -> bool:
        cycle = getattr(self, "cycle", None)  # uvicorn's types say that there always is one
        return cycle is None or bool(cycle.response_complete)

    def _wait(self) -> None:
        self._deadline = self.loop.call_later(HEADER_SECONDS, self._hang_up)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _hang_up(self) -> None:
        self._deadline = None
        if self._is_waiting():
            self.transport.close()
