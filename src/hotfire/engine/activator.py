"""The activator of the reference stack: who comes while no engine serves waits here for the first.

It needs nothing but Python 3.11, so that a stock image can run it from a ConfigMap:

    python -m hotfire.engine.activator NAMESPACE SERVICE ADDRESS PORT

While nobody serves behind the Service, this pod, ADDRESS, stands in for the engines: it puts itself
into the EndpointSlice SERVICE-activator. What waits here is told as a metric on the next port, by
which an autoscaler wakes an engine; as soon as one serves, it gets everything that waited. Who
would wait too long, or comes when too many wait, is told when to return, and counts as well.
"""

import http.client
import json
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Lock, Thread

from hotfire.engine.api_server import Api, Json

HOLD_SECONDS, MOST_HELD = 120.0, 256
AGAIN = {"Retry-After": "10"}
RETURN_SECONDS = 10.0
"""So long whoever was told to return counts as if he waited."""
OVERLAP_SECONDS = 5.0
"""So long it stands in beside the first engine: a gateway may hear of that one a little later."""
POLL_SECONDS = 0.5
ANSWER_SECONDS = 300.0
# Of one connection, not of the request.
_NOT_PASSED_ON = frozenset({"connection", "keep-alive", "transfer-encoding", "upgrade", "te"})
_SERVICE_LABEL = "kubernetes.io%2Fservice-name"
_PART_BYTES = 1 << 16

Address = tuple[str, int]


class Engines:
    """Those that serve; whoever waits for one hears of it."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._serving: list[Address] = []

    def are(self, serving: list[Address]) -> None:
        """Say which serve now."""
        with self._changed:
            self._serving = serving
            self._changed.notify_all()

    def connection(self, within_seconds: float) -> http.client.HTTPConnection | None:
        """Return a connection to one of them as soon as there is one; None: not in time."""
        over = time.monotonic() + within_seconds
        while (engine := self._next(over - time.monotonic())) is not None:
            found = http.client.HTTPConnection(*engine, timeout=ANSWER_SECONDS)
            try:
                found.connect()
            except OSError:
                self._leave_out(engine)
            else:
                return found
        return None

    def _next(self, within_seconds: float) -> Address | None:
        """Return the one whose turn it is."""
        with self._changed:
            self._changed.wait_for(lambda: self._serving, timeout=max(0.0, within_seconds))
            if not self._serving:
                return None
            self._serving.append(self._serving.pop(0))
            return self._serving[-1]

    def _leave_out(self, engine: Address) -> None:
        """Ask it no more, until it is said to serve again."""
        with self._changed:
            self._serving = [one for one in self._serving if one != engine]


class Demand:
    """How many wait, or were told to return and will."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._held = 0
        self._told: deque[float] = deque()
        """When each of those who were told to return counts no more (monotonic)."""

    @contextmanager
    def held(self) -> Iterator[bool]:
        """Count one more for the length of a block; false: there is no room for him."""
        with self._lock:
            room = self._held < MOST_HELD
            self._held += room
        try:
            yield room
        finally:
            with self._lock:
                self._held -= room

    def tell_to_return(self) -> None:
        with self._lock:
            self._told.append(time.monotonic() + RETURN_SECONDS)

    def count(self) -> int:
        with self._lock:
            while self._told and self._told[0] < time.monotonic():
                self._told.popleft()
            return self._held + len(self._told)


class Watch:
    """Sees who serves behind a Service, and stands in where nobody does; ``turn`` looks once."""

    def __init__(self, api: Api, namespace: str, service: str, own: Address) -> None:
        self._api, self._own = api, own
        self._slices = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
        self._listed = f"{self._slices}?labelSelector={_SERVICE_LABEL}%3D{service}"
        self._name = f"{service}-activator"
        self._alone_at = -OVERLAP_SECONDS
        """When nobody served for the last time (monotonic)."""

    def turn(self) -> list[Address]:
        """Return who serves; raises OSError where nobody could look."""
        slices = {one["metadata"]["name"]: one for one in self._api.get(self._listed)["items"]}
        former = slices.pop(self._name, {})
        serving = [address for one in slices.values() for address in _ready(one)]
        now = time.monotonic()
        if not serving:
            self._alone_at = now
        due = [self._own] if now - self._alone_at < OVERLAP_SECONDS else []
        if list(_ready(former)) != due:
            self._stand_in(due)
        return serving

    def _stand_in(self, due: list[Address]) -> None:
        body = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": self._name},
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": self._own[1], "protocol": "TCP"}],
            "endpoints": [
                {"addresses": [address], "conditions": {"ready": True}} for address, _ in due
            ],
        }
        self._api.apply(f"{self._slices}/{self._name}", body, manager="activator")


def _ready(piece: Json) -> Iterator[Address]:
    """Yield address and port of each Ready endpoint of a slice."""
    ports = [int(one["port"]) for one in piece.get("ports") or () if one["name"] == "http"]
    for endpoint in piece.get("endpoints") or ():
        # By the API's own words what nobody says is yes.
        if (endpoint.get("conditions") or {}).get("ready") is not False:
            yield from ((endpoint["addresses"][0], port) for port in ports)


class Handler(BaseHTTPRequestHandler):
    """Holds a request, and passes it on with its answer."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    engines: Engines
    demand: Demand

    def pass_on(self) -> None:
        """Give a request to an engine; whoever has gone meanwhile is asked for all the same."""
        if "content-length" not in self.headers and self.command == "POST":
            self.close_connection = True
            self._say(411, "The request must tell its length.", {})
            return
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        with self.demand.held() as room:
            connection = self.engines.connection(HOLD_SECONDS) if room else None
        if connection is None:
            self.demand.tell_to_return()
            self._say(503, "No engine serves yet.", AGAIN)
            return
        with closing(connection):
            self._relay(connection, body)

    do_GET = do_POST = pass_on  # noqa: N815

    def _relay(self, connection: http.client.HTTPConnection, body: bytes) -> None:
        """Pass on what an engine answers, as it comes; what breaks off there does here."""
        self.close_connection = True
        try:
            connection.request(self.command, self.path, body, _passed_on(self.headers.items()))
            answer = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            self._say(502, f"The engine did not answer: {type(error).__name__}", {})
            return
        self.send_response_only(answer.status)
        for name, value in _passed_on(answer.getheaders()).items():
            self.send_header(name, value)
        self.send_header("Connection", "close")
        whole = answer.getheader("content-length") is not None
        if not whole:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            while part := answer.read1(_PART_BYTES):
                self.wfile.write(part if whole else b"%x\r\n%b\r\n" % (len(part), part))
        except (OSError, http.client.HTTPException):
            return
        if not whole:
            self.wfile.write(b"0\r\n\r\n")

    def _say(self, status: int, message: str, headers: dict[str, str]) -> None:
        error = {"message": message, "type": "server_error", "code": status}
        content = json.dumps({"error": error}).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: who asks what is nobody's business here."""


class Page(BaseHTTPRequestHandler):
    """The metrics page; that it comes says that we are there."""

    demand: Demand

    def do_GET(self) -> None:
        """Tell how many wait."""
        name = "activator_requests_waiting"
        about = f"# HELP {name} Requests that wait for an engine.\n# TYPE {name} gauge\n"
        content = f"{about}{name} {self.demand.count()}\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """A thread for each that waits."""

    daemon_threads = True
    request_queue_size = 128


def _passed_on(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the headers that are of the message, not of one connection."""
    return {name: value for name, value in headers if name.lower() not in _NOT_PASSED_ON}


def serve(ports: tuple[int, int], demand: Demand, engines: Engines) -> list[Server]:
    """Return the servers of requests and of the metrics page, which answer already."""
    own = {"demand": demand, "engines": engines}
    made = [
        Server(("", port), type(one.__name__, (one,), own))
        for port, one in zip(ports, (Handler, Page), strict=True)
    ]
    for server in made:
        Thread(target=server.serve_forever, daemon=True).start()
    return made


def main(namespace: str, service: str, address: str, port: str) -> None:
    """Hold and pass on for as long as the pod lives."""
    demand, engines = Demand(), Engines()
    serve((int(port), int(port) + 1), demand, engines)
    watch = Watch(Api(), namespace, service, (address, int(port)))
    while True:
        try:
            engines.are(watch.turn())
        except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
            sys.stdout.write(f"nobody could look: {error}\n")
            sys.stdout.flush()
        time.sleep(POLL_SECONDS)  # noqa: TID251 - in a pod that has no more of hotfire than this


if __name__ == "__main__":
    main(*sys.argv[1:])
