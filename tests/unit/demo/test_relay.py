"""The relay: bytes as they are, later."""

import asyncio

import pytest

from pi_system.channel.link import LINKS as MEASURED
from pi_system.demo.parties import LINKS
from pi_system.demo.relay import PIECE_BYTES, OneWay, relay


async def settled() -> None:
    """All connections are over."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.sleep(0)


def test_the_links_are_those_of_measurements() -> None:
    for name, link in MEASURED.items():
        assert LINKS[name] == (None if name == "loopback" else (link.rate_bits_s, link.rtt_s))
    assert LINKS.keys() == MEASURED.keys()


def test_bytes_take_the_link_one_after_the_other_and_then_half_a_round_trip() -> None:
    way = OneWay(8e6, 0.02)
    assert way.due_s(1.0, 1_000_000) == pytest.approx(2.02)
    assert way.due_s(1.0, 500_000) == pytest.approx(2.52)
    assert way.due_s(9.0, 1_000_000) == pytest.approx(10.02)


def test_what_goes_in_comes_out_both_ways_and_an_end_ends_it() -> None:
    data = bytes(range(256)) * (3 * PIECE_BYTES // 256)

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(1 << 16):
            writer.write(piece)
        writer.close()

    async def through() -> bytes:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        between = await relay("127.0.0.1", server.sockets[0].getsockname()[1], 1e9, 0.001)
        reader, writer = await asyncio.open_connection(*between.sockets[0].getsockname())
        writer.write(data)
        found = await reader.readexactly(len(data))
        writer.close()
        await writer.wait_closed()
        between.close()
        server.close()
        await settled()
        return found

    assert asyncio.run(through()) == data


def test_a_target_that_is_not_there_closes() -> None:
    async def through() -> bytes:
        between = await relay("127.0.0.1", 1, 1e9, 0.001)
        reader, writer = await asyncio.open_connection(*between.sockets[0].getsockname())
        found = await reader.read()
        writer.close()
        await writer.wait_closed()
        between.close()
        await settled()
        return found

    assert asyncio.run(through()) == b""
