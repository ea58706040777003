"""Connections of REST that are closed when they are silent in the middle of a request, or before one.

Only so many are taken at once; who opens them and says nothing would shut all others out. Needs the extra ``web``.
"""

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.h11_impl import H11Protocol

SILENT_S: Final = 10.0
"""As gRPC's handshake. Longer: others are told for longer that it is busy. Shorter: slow callers are cut."""


class Impatient(H11Protocol):
    """A connection; once a request is whole, its answer may take its time."""

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """See asyncio.Protocol."""
        super().connection_made(transport)
        self._expect()

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        super().data_received(data)
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._cancel()
        super().connection_lost(exc)

    def _expect(self) -> None:
        self._cancel()
        self._timer = self.loop.call_later(SILENT_S, self._silent)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _silent(self) -> None:
        answering = self.cycle is not None and not self.cycle.more_body and not self.cycle.response_complete
        if not answering:
            self.transport.close()
