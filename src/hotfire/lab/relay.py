"""Relays TCP from the host's loopback into the lab: a program of the lab's client machine, never imported.

The listening sockets were opened on the host and are inherited; connections leave from the client machine's own
network. ``python relay.py '[[FD, "10.0.0.101", 6443], ...]'``. Standard library only.
"""

import asyncio
import contextlib
import json
import socket
import sys


async def pump(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        writer.transport.abort()


def relay_to(host, port):
    async def serve(reader, writer):
        try:
            far_reader, far_writer = await asyncio.wait_for(asyncio.open_connection(host, port), 10)
        except (OSError, asyncio.TimeoutError):
            writer.transport.abort()
            return
        for each in (writer, far_writer):
            each.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))
        for each in (writer, far_writer):
            with contextlib.suppress(OSError):
                each.close()

    return serve


async def main():
    servers = []
    for fd, host, port in json.loads(sys.argv[1]):
        listener = socket.socket(fileno=fd)
        listener.setblocking(False)
        servers.append(await asyncio.start_server(relay_to(host, port), sock=listener))
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    asyncio.run(main())
