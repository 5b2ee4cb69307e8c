"""Whatever the target does comes back in a Reply; nothing is raised for it."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from hotfire import Endpoint, Reply

Handler = Callable[[httpx.Request], httpx.Response]
STREAM = """\
data: {"choices": [{"delta": {"role": "assistant", "content": ""}, "finish_reason": null}]}

: keep-alive

data: {"choices": [{"delta": {"content": "one "}, "finish_reason": null}]}

data: {"choices": [{"delta": {"content": "two"}, "finish_reason": "length"}]}

data: {"choices": [], "usage": {"completion_tokens": 2}}

data: [DONE]

"""


def endpoint(handler: Handler, entries: list[object] | None = None) -> Endpoint:
    record = None if entries is None else entries.append
    transport = httpx.MockTransport(handler)
    return Endpoint("http://target", "tiny", record=record, transport=transport)


def streaming(text: str) -> Handler:
    headers = {"content-type": "text/event-stream; charset=utf-8", "x-served-by": "canary"}
    return lambda _request: httpx.Response(200, headers=headers, content=text)


def test_stream_is_assembled() -> None:
    reply = endpoint(streaming(STREAM)).chat("Count.", stream=True)

    assert reply.ok
    assert reply.text == "one two"
    assert reply.events[-1] == "[DONE]"
    assert (reply.finish_reason, reply.usage) == ("length", {"completion_tokens": 2})
    assert reply.served_by == "canary"
    assert len(reply.chunks) == len(reply.events) - 1


def test_whole_answer_is_assembled() -> None:
    body = {
        "choices": [{"message": {"content": "hello"}, "finish_reason": "stop"}],
        "usage": {"completion_tokens": 1},
    }

    reply = endpoint(lambda _request: httpx.Response(200, json=body)).chat("Hi.")

    assert (reply.text, reply.finish_reason, reply.body) == ("hello", "stop", body)
    assert reply.events == []


def test_request_carries_what_was_asked() -> None:
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={})

    endpoint(handler).complete("Once", max_tokens=3, stream=True, headers={"x-a": "b"}, seed=7)

    sent = json.loads(seen[0].content)
    assert seen[0].url == "http://target/v1/completions"
    assert seen[0].headers["x-a"] == "b"
    assert seen[0].headers["accept-encoding"] == "identity"
    assert sent == {
        "model": "tiny",
        "prompt": "Once",
        "max_tokens": 3,
        "stream": True,
        "seed": 7,
        "stream_options": {"include_usage": True},
    }


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not json",
        b"[]",
        b'{"choices": 3}',
        b'{"choices": [null]}',
        b'{"choices": [{}]}',
        b'{"choices": [{"message": {"content": null}}], "usage": 5}',
        b"\xff\xfe",
        b"[" * 5000,
    ],
)
def test_nonsense_is_data(content: bytes) -> None:
    replies = [
        endpoint(lambda _request: httpx.Response(200, content=content)).chat("Hi."),
        endpoint(streaming(f"data: {content.decode(errors='replace')}\n\n")).chat("Hi."),
    ]

    assert [(reply.text, reply.usage, reply.error) for reply in replies] == [("", None, None)] * 2


def test_refusal_by_status_is_data() -> None:
    reply = endpoint(lambda _request: httpx.Response(503, text="busy")).models()

    assert (reply.status, reply.ok, reply.error) == (503, False, None)


def test_exchange_is_recorded_once() -> None:
    entries: list[object] = []

    endpoint(streaming(STREAM), entries).chat("Count.", stream=True)

    [entry] = entries
    assert json.dumps(entry).count("[DONE]") == 1


def test_nobody_listening_is_data() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        reply = Endpoint(f"http://127.0.0.1:{unused.getsockname()[1]}", "tiny").models()

    assert reply.status is None
    assert (reply.error or "").startswith("connect: ")


class Trouble(BaseHTTPRequestHandler):
    """A target that announces more than it sends, or sends it too slowly."""

    protocol_version = "HTTP/1.1"
    released = threading.Event()

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("content-length", "1000")
        self.end_headers()
        self.wfile.write(b"data: one\n\n")
        if self.path == "/slow":
            self.released.wait(10)
        if self.path == "/drip":
            while not self.released.wait(0.02):
                self.wfile.write(b": x\n\n")
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def trouble() -> Iterator[str]:
    Trouble.released.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Trouble)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    Trouble.released.set()
    server.shutdown()
    thread.join()
    server.server_close()


def ask(url: str, path: str) -> Reply:
    with Endpoint(url, "tiny", deadline_seconds=0.3) as target:
        return target.get(path)


@pytest.mark.parametrize(
    ("path", "error"), [("/cut", "protocol: "), ("/slow", "deadline: "), ("/drip", "deadline")]
)
def test_what_arrived_before_a_break_is_kept(trouble: str, path: str, error: str) -> None:
    reply = ask(trouble, path)

    assert reply.status == 200
    assert reply.events == ["one"]
    assert (reply.error or "").startswith(error)
    assert reply.seconds < 2
