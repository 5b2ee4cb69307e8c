"""Passes connections on, and what clients send on them so much later.

    python -m hotfire.engine.late_proxy SECONDS ADDRESS[,ADDRESS] PORT[,PORT]

It reads no protocol: each piece that comes waits for its time and goes on as it is, and answers
pass at once. Standard library only: a stock image runs this file as text.
"""

import asyncio
import contextlib
import itertools
import sys
from collections.abc import Sequence

PIECE_BYTES, MOST_PIECES = 1 << 16, 64
Held = asyncio.Queue[tuple[float, bytes]]


class Proxy:
    """Listens, and leads each connection to one of several addresses in turn, at the same port."""

    def __init__(self, seconds: float, addresses: Sequence[str]) -> None:
        self._seconds, self._addresses = seconds, itertools.cycle(addresses)

    async def listen(self, port: int, *, address: str | None = None) -> asyncio.Server:
        """Take connections on a port from now on, at every address of ours or at one."""

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.closing(writer), contextlib.suppress(OSError):
                await self._passed(reader, writer, port)

        return await asyncio.start_server(connected, address, port)

    async def _passed(
        self, asking: asyncio.StreamReader, asked: asyncio.StreamWriter, port: int
    ) -> None:
        reader, writer = await asyncio.open_connection(next(self._addresses), port)
        with contextlib.closing(writer):
            await asyncio.gather(pass_on(asking, writer, self._seconds), pass_on(reader, asked, 0))


async def pass_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float
) -> None:
    """Pass on what comes, each piece so long after it came, and the end as well."""
    held, now = Held(MOST_PIECES), asyncio.get_running_loop().time
    taking = asyncio.create_task(take(reader, held))
    try:
        while True:
            came, piece = await held.get()
            await asyncio.sleep(max(0.0, came + seconds - now()))
            if not piece:
                break
            writer.write(piece)
            await writer.drain()
        writer.write_eof()
    finally:
        taking.cancel()


async def take(reader: asyncio.StreamReader, held: Held) -> None:
    """Stamp each piece that comes; an empty one is the end."""
    now, piece = asyncio.get_running_loop().time, b"?"
    while piece:
        try:
            piece = await reader.read(PIECE_BYTES)
        except OSError:
            piece = b""
        await held.put((now(), piece))


async def serve(seconds: float, addresses: Sequence[str], ports: Sequence[int]) -> None:
    """Pass on until the process is ended."""
    proxy = Proxy(seconds, addresses)
    servers = [await proxy.listen(port) for port in ports]
    sys.stdout.write(f"listening on {', '.join(map(str, ports))}\n")
    sys.stdout.flush()
    await asyncio.gather(*(one.serve_forever() for one in servers))


def main(seconds: str, addresses: str, ports: str) -> None:
    """Pass on until the process is ended."""
    numbers = [int(one) for one in ports.split(",")]
    asyncio.run(serve(float(seconds), addresses.split(","), numbers))


if __name__ == "__main__":
    main(*sys.argv[1:])
