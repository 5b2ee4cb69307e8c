"""The proxy that is late: what clients send waits, what they are answered does not."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from hotfire.engine.late_proxy import Proxy
from tests.ports import free_port

LATE_SECONDS = 0.2
OWN, BEHIND = "127.0.0.1", "127.0.0.2"
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def echoing(port: int) -> AsyncIterator[None]:
    """Have a server that sends back what comes, until its client says no more."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(100):
            writer.write(piece)
        writer.close()

    async with await asyncio.start_server(echo, BEHIND, port):
        yield


@asynccontextmanager
async def through(port: int) -> AsyncIterator[Stream]:
    """Have a connection that leads through the proxy."""
    async with await Proxy(LATE_SECONDS, [BEHIND]).listen(port, address=OWN):
        reader, writer = await asyncio.open_connection(OWN, port)
        yield reader, writer
        writer.close()


def test_each_piece_is_so_much_later_and_none_waits_for_the_one_before() -> None:
    async def course() -> list[float]:
        port, came = free_port(), []
        async with echoing(port), through(port) as (reader, writer):
            for piece in (b"one", b"two"):
                writer.write(piece)
                began = time.monotonic()
                assert await reader.readexactly(3) == piece
                came.append(time.monotonic() - began)
            began = time.monotonic()
            for piece in (b"one", b"two", b"six"):
                writer.write(piece)
                await asyncio.sleep(LATE_SECONDS / 4)
            assert await reader.readexactly(9) == b"onetwosix"
            came.append(time.monotonic() - began)
        return came

    first, second, three = asyncio.run(course())

    assert first >= LATE_SECONDS
    assert second >= LATE_SECONDS
    assert LATE_SECONDS <= three < 3 * LATE_SECONDS


def test_the_end_is_passed_on_to_either_side() -> None:
    async def course() -> bytes:
        port = free_port()
        async with echoing(port), through(port) as (reader, writer):
            writer.write(b"last")
            writer.write_eof()
            return await asyncio.wait_for(reader.read(), 10)

    assert asyncio.run(course()) == b"last"


def test_where_nobody_is_behind_it_a_connection_ends() -> None:
    async def course() -> bytes:
        async with through(free_port()) as (reader, _):
            return await asyncio.wait_for(reader.read(), 10)

    assert asyncio.run(course()) == b""
