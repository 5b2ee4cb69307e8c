"""An engine that writes each token at a fixed time and remembers when it really did.

``python bench/truth_server.py --port 0``. One process, one epoll loop, the standard library only:
it writes 30,000 tokens a second from one core, each as a chunk of its own as vLLM does. ``GET
/truth`` returns and forgets what was written, on the monotonic clock that every process of the
machine shares; ``POST /config`` changes the settings and ``POST /freeze`` stops all writing.
"""

import argparse
import json
import select
import socket
import struct
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass, field, replace
from typing import Any

NANO = 1_000_000_000
Truth = tuple[str, int, int, int, int]
"""Start of the prompt, arrival, first token, last token, tokens."""
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
HEAD += b"x-served-by: truth\r\ntransfer-encoding: chunked\r\n\r\n"
WORDS = (" the", " hot", " fire", " test", " burns", " for", " its", " full", " time")
# How a stream may end. All but the first are wrong; from "truncate" on they come in its middle.
ENDINGS = {
    "ok": "finish reason, usage, [DONE] and the last chunk",
    "no_done": "finish reason, usage and the last chunk, but no [DONE]",
    "truncate": "the last chunk",
    "sse_error": "an error object, [DONE] and the last chunk",
    "fin": "the connection is closed",
    "rst": "the connection is reset",
    "hang": "silence",
}
WHOLE = ("ok", "no_done")
RESET = struct.pack("ii", 1, 0)
NOBODY = b"0" * 32
NAME = f"chatcmpl-{NOBODY.decode()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How every stream runs; ``ending`` is one of ``ENDINGS``."""

    ttft_seconds: float = 0.2
    tpot_seconds: float = 0.02
    ending: str = "ok"


@dataclass(slots=True)
class Stream:
    """One generation and its truth; stamps are monotonic nanoseconds."""

    connection: "Connection"
    settings: Settings
    prompt: str
    n_out: int
    arrival_ns: int
    due_ns: int
    chunks: list[bytes] = field(default_factory=list)
    role: bytes = b""
    tail: bytes = b""
    tokens: int = 0
    first_ns: int = 0
    last_ns: int = 0

    def truth(self) -> Truth:
        """Return what was written; the rest, a hundred thousand times, would fill the memory."""
        return self.prompt, self.arrival_ns, self.first_ns, self.last_ns, self.tokens


@dataclass(slots=True, eq=False)
class Connection:
    """One client connection; a request may arrive in pieces."""

    socket: socket.socket
    received: bytes = b""
    open: bool = True

    def send(self, data: bytes) -> None:
        """Write; a client that does not read, or has gone, is closed."""
        try:
            if self.open and self.socket.send(data) == len(data):
                return
        except OSError:
            pass
        self.open = False


def chunk(document: object) -> bytes:
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    event = b"data: " + text.replace(b": ", b":").replace(b", ", b",") + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(event), event)


class Shapes:
    """The chunks of every stream, as vLLM shapes them, but for the stream's own name."""

    def __init__(self, *, chat: bool) -> None:
        self.chat = chat
        kind = "chat.completion.chunk" if chat else "text_completion"
        self.base = {"id": NAME, "object": kind, "created": 1_790_000_000}
        self.base |= {"model": "meta-llama/Llama-3.1-8B-Instruct"}
        role = {"role": "assistant", "content": ""}
        first = {"index": 0, "delta": role, "logprobs": None, "finish_reason": None}
        self.role = chunk(self.base | {"choices": [first]}) if chat else b""
        self.tokens = [self.token(word) for word in WORDS]
        self.finish = self.token("", "length")

    def token(self, text: str, finish: str | None = None) -> bytes:
        part: dict[str, Any] = {"delta": {"content": text}} if self.chat else {"text": text}
        choice = {"index": 0, **part, "logprobs": None, "finish_reason": finish}
        return chunk(self.base | {"choices": [choice]})

    def usage(self, n_in: int, n_out: int) -> bytes:
        usage = {"prompt_tokens": n_in, "completion_tokens": n_out, "total_tokens": n_in + n_out}
        return chunk(self.base | {"choices": [], "usage": usage})


SHAPES = {chat: Shapes(chat=chat) for chat in (True, False)}
WRONG = {"message": "EngineCore encountered an issue", "type": "InternalServerError"}
ERROR, DONE, LAST = chunk({"error": WRONG}), chunk(b"[DONE]"), b"0\r\n\r\n"


def tail(ending: str, finish: bytes) -> bytes:
    """Return what follows the last token of a stream that ends so."""
    return {
        "ok": finish + DONE + LAST,
        "no_done": finish + LAST,
        "truncate": LAST,
        "sse_error": ERROR + DONE + LAST,
    }.get(ending, b"")


class Server:
    """The loop. Constant pauses keep both queues in order of their due times."""

    def __init__(self, port: int) -> None:
        self.settings = Settings()
        self.listener = socket.create_server(("127.0.0.1", port), backlog=4096)
        self.listener.setblocking(False)
        self.epoll = select.epoll()
        self.epoll.register(self.listener.fileno(), select.EPOLLIN)
        self.connections: dict[int, Connection] = {}
        self.firsts: deque[Stream] = deque()
        self.nexts: deque[Stream] = deque()
        self.ended: list[Truth] = []
        self.started = 0

    def run(self) -> None:
        while True:
            wait = self.write_due()
            for fd, _ in self.epoll.poll(wait):
                if fd == self.listener.fileno():
                    self.accept()
                else:
                    self.receive(fd)

    def write_due(self) -> float:
        """Write every token that is due; return the seconds until the next, at most one."""
        firsts, nexts = self.firsts, self.nexts
        while firsts or nexts:
            early = not nexts or (bool(firsts) and firsts[0].due_ns < nexts[0].due_ns)
            queue = firsts if early else nexts
            now = time.monotonic_ns()
            if queue[0].due_ns > now:
                return min(1.0, (queue[0].due_ns - now) / NANO)
            self.write_token(queue.popleft(), now)
        return 1.0

    def write_token(self, stream: Stream, now: int) -> None:
        stream.last_ns = now
        if not stream.tokens:
            stream.first_ns = now
        token = stream.chunks[stream.tokens % len(stream.chunks)]
        # vLLM sends the role together with the first token.
        stream.connection.send(token if stream.tokens else stream.role + token)
        stream.tokens += 1
        if stream.tokens >= stream.n_out:
            stream.connection.send(stream.tail)
            self.end(stream)
        elif stream.connection.open:
            stream.due_ns += round(stream.settings.tpot_seconds * NANO)
            self.nexts.append(stream)
        else:
            self.ended.append(stream.truth())

    def end(self, stream: Stream) -> None:
        self.ended.append(stream.truth())
        ending = stream.settings.ending
        if ending == "rst":
            stream.connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        if ending in ("fin", "rst") or not stream.connection.open:
            self.close(stream.connection)

    def accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except BlockingIOError:
                return
            client.setblocking(False)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections[client.fileno()] = Connection(client)
            self.epoll.register(client.fileno(), select.EPOLLIN)

    def close(self, connection: Connection) -> None:
        connection.open = False
        if self.connections.pop(connection.socket.fileno(), None):
            connection.socket.close()

    def receive(self, fd: int) -> None:
        connection = self.connections[fd]
        try:
            data = connection.socket.recv(262_144)
        except OSError:
            data = b""
        if not data:
            self.close(connection)
            return
        connection.received += data
        head, end, rest = connection.received.partition(b"\r\n\r\n")
        _, found, after = head.lower().partition(b"content-length:")
        size = int(after.split(b"\r\n")[0]) if found else 0
        if end and len(rest) >= size:
            connection.received = rest[size:]
            method, path, *_ = head.split(b" ")
            self.answer(connection, f"{method.decode()} {path.decode()}", rest[:size])

    def answer(self, connection: Connection, what: str, body: bytes) -> None:
        document = json.loads(body) if body else {}
        if "completions" in what:
            self.start(connection, document, chat="chat" in what)
            return
        shown: object = {"object": "list", "data": [{"id": "truth", "object": "model"}]}
        if what.endswith("/truth"):
            shown = self.truth()
        elif what.endswith("/started"):
            shown = {"started": bool(self.firsts or self.nexts or self.ended)}
        elif what.endswith("/config"):
            self.settings = replace(self.settings, **document)
            shown = asdict(self.settings)
        text = json.dumps(shown).encode()
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
        connection.socket.setblocking(True)
        connection.socket.sendall(head + b"content-length: %d\r\n\r\n%s" % (len(text), text))
        connection.socket.setblocking(False)
        if what.endswith("/freeze"):
            # Everything stands still, as on a machine whose engine hangs.
            select.select([], [], [], document["seconds"])

    def start(self, connection: Connection, document: dict[str, Any], *, chat: bool) -> None:
        now = time.monotonic_ns()
        self.started += 1
        shapes, name = SHAPES[chat], b"%032x" % self.started
        messages = document.get("messages") or [{"content": document.get("prompt", "")}]
        prompt = str(messages[-1]["content"])
        n_out = document.get("max_completion_tokens") or document.get("max_tokens") or 16
        due = now + round(self.settings.ttft_seconds * NANO)
        stream = Stream(connection, self.settings, prompt[:12], n_out, now, due)
        if self.settings.ending not in WHOLE:
            stream.n_out = max(1, n_out // 2)
        stream.chunks = [text.replace(NOBODY, name) for text in shapes.tokens]
        finish = shapes.finish.replace(NOBODY, name) + shapes.usage(len(prompt.split()), n_out)
        stream.tail = tail(self.settings.ending, finish)
        stream.role = shapes.role.replace(NOBODY, name)
        connection.send(HEAD)
        self.firsts.append(stream)

    def truth(self) -> list[Truth]:
        """Return what has ended since the last call."""
        ended, self.ended = self.ended, []
        return ended


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    server = Server(parser.parse_args().port)
    print(f"listening on {server.listener.getsockname()[1]}", flush=True)
    server.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
