"""Either end of an idle HTTP/1.1 connection, to see who closes it, and when.

    python idle_peer.py watch --seconds 100 --connections 4 10.0.0.1:8000 ...
    python idle_peer.py serve --port 8080 --name patient --keep-alive-seconds 0

``watch`` asks each server once over each connection and then only listens. ``serve`` answers every
request and closes what was idle for its keep-alive, after a long moment in which whatever arrives
is reset: the race of a real server, made wide enough to be met. Both print a JSON object a line:
``peer``, ``connection``, and as ``event``

    idle       an answer is over and nothing is under way
    closed     the other side closed, ``idle_seconds`` after that
    announced  the other side said that it would close, so nobody sends into it
    met        a request arrived while this side was closing
    expired    this side closed, and nothing arrived meanwhile
    error      there was no answer

Standard library only: a stock Python image runs it.
"""

import argparse
import asyncio
import contextlib
import http.client
import json
import socket
import struct
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

ANSWER_TIMEOUT_SECONDS = 10.0
# Requests that are to have connections of their own must overlap.
ANSWER_SECONDS = 0.1
CLOSING_SECONDS = 1.0
BODY = b'data: {"choices": []}\n\ndata: [DONE]\n\n'
_LINES = threading.Lock()


def tell(peer: str, connection: int, event: str, **facts: object) -> None:
    """Print one event, whole and at once."""
    line = json.dumps({"peer": peer, "connection": connection, "event": event, **facts})
    with _LINES:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def since(start: float) -> float:
    return round(time.monotonic() - start, 3)


def watch(peer: str, number: int, seconds: float) -> None:
    """Ask one server once, then tell when it closes; tell nothing if it does not in that time."""
    host, _, port = peer.rpartition(":")
    connection = http.client.HTTPConnection(
        host.strip("[]"), int(port), timeout=ANSWER_TIMEOUT_SECONDS
    )
    try:
        connection.request("GET", "/v1/models")
        connection.getresponse().read()
    except (OSError, http.client.HTTPException) as error:
        tell(peer, number, "error", detail=f"{type(error).__name__}: {error}")
        return
    tell(peer, number, "idle")
    # The client has closed its side by itself where the answer told it to.
    if connection.sock is None:
        tell(peer, number, "announced")
        return
    listen(peer, number, connection.sock, seconds)


def listen(peer: str, number: int, quiet: socket.socket, seconds: float) -> None:
    start = time.monotonic()
    quiet.settimeout(seconds)
    try:
        # An end, or bytes that nobody asked for: a 408 is how some say farewell.
        quiet.recv(1)
    except TimeoutError:
        return
    except OSError:
        pass  # A reset ends the connection as well.
    tell(peer, number, "closed", idle_seconds=since(start))


class Held:
    """One connection of ``serve``."""

    def __init__(
        self,
        options: argparse.Namespace,
        number: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.options, self.number = options, number
        self.reader, self.writer = reader, writer
        self.idle_since: float | None = None

    def tell(self, event: str) -> None:
        host, port = self.writer.get_extra_info("peername")[:2]
        idle = {} if self.idle_since is None else {"idle_seconds": since(self.idle_since)}
        tell(f"{host}:{port}", self.number, event, **({} if event == "idle" else idle))

    async def hold(self) -> None:
        """Answer until either side closes."""
        try:
            while await self.asked():
                await self.answer()
            await self.close()
        except (OSError, asyncio.IncompleteReadError):
            # One that never carried a request is somebody's probe.
            if self.idle_since is not None:
                self.tell("closed")
        finally:
            self.writer.close()

    async def asked(self) -> bool:
        """Read the next request; false when the keep-alive is over."""
        patience = self.options.keep_alive_seconds if self.idle_since is not None else 0.0
        try:
            head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), patience or None)
        except TimeoutError:
            return False
        for line in head.decode("latin-1").split("\r\n"):
            name, _, value = line.partition(":")
            if name.lower() == "content-length":
                await self.reader.readexactly(int(value))
        return True

    async def answer(self) -> None:
        await asyncio.sleep(ANSWER_SECONDS)
        head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
        head += f"x-served-by: {self.options.name}\r\ncontent-length: {len(BODY)}\r\n\r\n"
        self.writer.write(head.encode() + BODY)
        await self.writer.drain()
        self.idle_since = time.monotonic()
        self.tell("idle")

    async def close(self) -> None:
        """Close, and reset whatever arrives in that moment."""
        try:
            await asyncio.wait_for(self.reader.readexactly(1), CLOSING_SECONDS)
        except TimeoutError:
            self.tell("expired")
            return
        self.tell("met")
        raw: socket.socket = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


async def serve(options: argparse.Namespace) -> None:
    """Listen for good; the first line tells the port."""
    accepted = 0

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal accepted
        accepted += 1
        await Held(options, accepted, reader, writer).hold()

    server = await asyncio.start_server(connected, None, options.port)
    ports = {each.family: each.getsockname()[1] for each in server.sockets}
    sys.stdout.write(json.dumps({"listening": ports[socket.AF_INET]}) + "\n")
    sys.stdout.flush()
    await server.serve_forever()


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    ways = parser.add_subparsers(dest="way", required=True)
    watching = ways.add_parser("watch")
    watching.add_argument("peers", nargs="+", metavar="HOST:PORT")
    watching.add_argument("--seconds", type=float, required=True)
    watching.add_argument("--connections", type=int, default=1, help="to each of them")
    serving = ways.add_parser("serve")
    serving.add_argument("--port", type=int, required=True)
    serving.add_argument("--name", required=True, help="value of x-served-by")
    serving.add_argument("--keep-alive-seconds", type=float, default=0.0, help="0 = for ever")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    options = parse_arguments(arguments)
    if options.way == "serve":
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(serve(options))
        return
    asked = [peer for peer in options.peers for _ in range(options.connections)]
    with ThreadPoolExecutor(len(asked)) as pool:
        for number, peer in enumerate(asked, start=1):
            pool.submit(watch, peer, number, options.seconds)


if __name__ == "__main__":
    main()
