"""Relays TCP from the host's loopback into the lab: a program of the client machine.

Never imported by the tool. The listening sockets were opened on the host and are inherited;
connections leave from the client machine's own network.
``python relay.py '[[FD, "10.0.0.101", 6443], ...]'``. Standard library only.
"""

import asyncio
import contextlib
import json
import socket
import sys
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable

CONNECT_SECONDS = 10


async def pump(reader: StreamReader, writer: StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        writer.transport.abort()


def relay_to(host: str, port: int) -> Callable[[StreamReader, StreamWriter], Awaitable[None]]:
    """Return what serves one connection: a connection to there, and bytes both ways."""

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        try:
            opening = asyncio.open_connection(host, port)
            far_reader, far_writer = await asyncio.wait_for(opening, CONNECT_SECONDS)
        except OSError:  # TimeoutError is one, too.
            writer.transport.abort()
            return
        for each in (writer, far_writer):
            each.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))
        for each in (writer, far_writer):
            with contextlib.suppress(OSError):
                each.close()

    return serve


async def main() -> None:
    servers = []
    for fd, host, port in json.loads(sys.argv[1]):
        listener = socket.socket(fileno=fd)
        listener.setblocking(False)
        servers.append(await asyncio.start_server(relay_to(host, port), sock=listener))
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    asyncio.run(main())
