"""What every part of the RAG application has: an HTTP server, metrics, and a way to ask others."""

import http.client
import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

READY, METRICS = "/ready", "/metrics"
JSON_TYPE = "application/json"
MOST_BYTES = 1 << 20
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class Call:
    """One request; the names of its headers are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    at: float = field(default_factory=time.monotonic)
    """When it came, by the monotonic clock."""


@dataclass(frozen=True)
class Answer:
    """What is answered: bytes at once, or pieces as they come."""

    status: int
    content: bytes | Iterable[bytes] = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    kind: str = JSON_TYPE


Answering = Callable[[Call], Answer]
Serving = Callable[[str, Mapping[str, str]], AbstractContextManager[None]]
"""What is entered while a call is answered, by what is asked and the headers of who asks."""


def in_json(document: object, status: int = HTTPStatus.OK) -> Answer:
    """Return an answer that is a JSON document."""
    return Answer(status, json.dumps(document).encode())


def refused(status: int, message: str) -> Answer:
    """Return a refusal in the words of the OpenAI API."""
    error = {"message": message, "type": HTTPStatus(status).phrase, "code": status}
    return in_json({"error": error}, status)


class Metrics:
    """Counters, and how long each hop took, as Prometheus reads them."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts: Counter[str] = Counter()
        self._sums: defaultdict[str, float] = defaultdict(float)
        self._buckets: dict[str, Counter[float]] = {}

    def count(self, name: str) -> None:
        """Add one to a counter."""
        with self._lock:
            self._counts[name] += 1

    @contextmanager
    def timed(self, hop: str) -> Iterator[None]:
        """Observe how long a block takes, also one that fails."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.observe(hop, time.monotonic() - began)

    def observe(self, hop: str, seconds: float) -> None:
        """Add an observation to the histogram of a hop."""
        with self._lock:
            buckets = self._buckets.setdefault(hop, Counter())
            buckets.update(le for le in (*_BUCKETS, float("inf")) if seconds <= le)
            self._sums[hop] += seconds

    def page(self) -> Answer:
        """Return the metrics page."""
        with self._lock:
            text = "".join(f"{line}\n" for line in self._lines())
        return Answer(HTTPStatus.OK, text.encode(), kind="text/plain; version=0.0.4")

    def _lines(self) -> Iterator[str]:
        yield "# TYPE rag_hop_seconds histogram"
        for hop, buckets in self._buckets.items():
            for le in (*_BUCKETS, float("inf")):
                shown = "+Inf" if le == float("inf") else le
                yield f'rag_hop_seconds_bucket{{hop="{hop}",le="{shown}"}} {buckets[le]}'
            yield f'rag_hop_seconds_sum{{hop="{hop}"}} {self._sums[hop]}'
            yield f'rag_hop_seconds_count{{hop="{hop}"}} {buckets[float("inf")]}'
        for name, count in self._counts.items():
            yield f"# TYPE {name} counter"
            yield f"{name} {count}"


def ask(
    method: str,
    url: str,
    document: object = None,
    *,
    within_seconds: float | None,
    headers: Mapping[str, str] = MappingProxyType({}),
) -> Any:  # noqa: ANN401 - JSON
    """Return the JSON that another part answers; None as a limit waits for ever.

    Raises:
        OSError: it did not answer in time, or not with success.
        ValueError: it is no JSON.
    """
    parts = urlsplit(url)
    peer = http.client.HTTPConnection(parts.netloc, timeout=within_seconds)
    try:
        body = None if document is None else json.dumps(document)
        peer.request(method, parts.path, body, dict(headers))
        reply = peer.getresponse()
        content = reply.read(MOST_BYTES)
    except http.client.HTTPException as error:
        raise OSError(f"{url}: {error!r}") from error
    finally:
        peer.close()
    if reply.status >= HTTPStatus.MULTIPLE_CHOICES:
        raise OSError(f"{url}: {reply.status}")
    return json.loads(content)


class _Handler(BaseHTTPRequestHandler):
    """Answers by one function; whether the part is there, and its metrics, it tells itself."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    answering: Answering
    metrics: Metrics
    serving: Serving

    def answer(self) -> None:
        """Answer one request."""
        body = self.rfile.read(min(int(self.headers.get("content-length") or 0), MOST_BYTES))
        headers = {name.lower(): value for name, value in self.headers.items()}
        call = Call(self.command, self.path, headers, body)
        if call.path in (READY, METRICS):
            self._say(in_json({}) if call.path == READY else self.metrics.page())
            return
        with type(self).serving(f"{call.method} {call.path}", headers):
            self._say(type(self).answering(call))

    do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 - http.server's own names

    def _say(self, answer: Answer) -> None:
        if isinstance(answer.content, bytes):
            self._begin(answer, {"Content-Length": str(len(answer.content))})
            self.wfile.write(answer.content)
            return
        self._begin(answer, {"Transfer-Encoding": "chunked"})
        for piece in answer.content:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        # Not where a piece was still to come: who reads must see that there is no end.
        self.wfile.write(b"0\r\n\r\n")

    def _begin(self, answer: Answer, framing: Mapping[str, str]) -> None:
        self.send_response(answer.status)
        for name, value in {"Content-Type": answer.kind, **answer.headers, **framing}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: what users ask is nobody's business here."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: Any) -> None:  # noqa: ANN401
        """Say in one line what went wrong: mostly that whoever asked has gone."""
        del request
        sys.stdout.write(f"{client_address[0]}: {sys.exc_info()[1]!r}\n")
        sys.stdout.flush()


def _untold(_name: str, _headers: Mapping[str, str]) -> AbstractContextManager[None]:
    """Serve whoever it is, and tell nobody."""
    return nullcontext()


def serve(port: int, answering: Answering, metrics: Metrics, serving: Serving = _untold) -> None:
    """Answer until the process is ended."""
    # Plain functions of the class would take the handler as their first argument.
    own = {"answering": answering, "metrics": metrics, "serving": staticmethod(serving)}
    handler = type("Handler", (_Handler,), own)
    server = _Server(("", port), handler)
    sys.stdout.write(f"listening on {server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()
