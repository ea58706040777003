"""``python -m pi_system.demo.relay HOST:PORT RATE_BIT_S RTT_S``: a TCP relay that behaves like a link, for the demo.

Bytes of each direction take the link for size / rate, one after the other, and half a round trip later they go on, so
both parties' programs are as they are. Like ``channel/shaped.py``, which measurements use, it imitates neither TCP's
slow start nor packet headers; unlike it, it sees TLS records and HTTP/2 frames, and those cost, too.
"""

import asyncio
import signal
import sys
from contextlib import suppress
from typing import Final

from pi_system.cli.parent import stop_with_parent

PIECE_BYTES: Final = 1 << 16
"""Read at once. Larger: delivered later. Smaller: more wake-ups."""
_HELD_BYTES: Final = 64 << 20
"""On the way at once in one direction; beyond, the sender is held back, as by a full window."""


class OneWay:
    """One direction of one connection."""

    def __init__(self, rate_bit_s: float, delay_s: float):
        """``delay_s``: half a round trip."""
        self._rate_bit_s, self._delay_s, self._free_at_s = rate_bit_s, delay_s, 0.0

    def due_s(self, now_s: float, nbytes: int) -> float:
        """When ``nbytes`` that come in now are delivered."""
        self._free_at_s = max(self._free_at_s, now_s) + 8 * nbytes / self._rate_bit_s
        return self._free_at_s + self._delay_s

    async def carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        """Until ``source`` ends."""
        clock = asyncio.get_running_loop().time
        way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_HELD_BYTES // PIECE_BYTES)

        async def deliver() -> None:
            while True:
                due_s, data = await way.get()
                await asyncio.sleep(due_s - clock())
                if not data:
                    return
                target.write(data)
                await target.drain()

        delivering = asyncio.create_task(deliver())
        with suppress(OSError):
            while data := await source.read(PIECE_BYTES):
                await way.put((self.due_s(clock(), len(data)), data))
            await way.put((clock(), b""))
            await delivering
        delivering.cancel()
        target.close()


async def relay(host: str, port: int, rate_bit_s: float, rtt_s: float) -> asyncio.Server:
    """A relay to ``host``:``port`` on a free port of this machine."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            to, back = await asyncio.open_connection(host, port)
        except OSError:
            writer.close()
            return
        there, here = (OneWay(rate_bit_s, rtt_s / 2) for _ in range(2))
        await asyncio.gather(there.carry(reader, back), here.carry(to, writer))

    return await asyncio.start_server(connected, "127.0.0.1", 0)


async def _main(address: str, rate_bit_s: str, rtt_s: str) -> None:
    host, _, port = address.rpartition(":")
    server = await relay(host, int(port), float(rate_bit_s), float(rtt_s))
    print(f"relay: listening on 127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)  # noqa: T201
    await server.serve_forever()


if __name__ == "__main__":
    stop_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group
    asyncio.run(_main(*sys.argv[1:]))
