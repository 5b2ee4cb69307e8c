"""What the agent answers: the network plugin on a UNIX socket, Prometheus and probes on HTTP."""

import http.server
import re
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

from .agent import Agent
from .objects import Name
from .ruleset import TABLE

_PATIENCE_SECONDS = 5.0
_LONGEST_QUESTION_BYTES = 1024
_NFT_SECONDS = 20
_COUNTER = re.compile(r"counter (\S+) \{\s*packets (\d+) bytes (\d+)")


def serve_plugin(agent: Agent, path: Path) -> None:
    """Answer each ``NAMESPACE NAME ADDRESS`` with ``ok`` once the pod is governed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unheard = path.with_suffix(".new")
    unheard.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(unheard))
        server.listen()
        # Under its name only once it listens, and over that of an agent that was killed.
        unheard.rename(path)
        while True:
            connection, _ = server.accept()
            threading.Thread(target=_answer, args=(agent, connection), daemon=True).start()


def _answer(agent: Agent, connection: socket.socket) -> None:
    with connection:
        connection.settimeout(_PATIENCE_SECONDS)
        words = connection.recv(_LONGEST_QUESTION_BYTES).decode().split()
        if len(words) == 3:
            namespace, name, address = words
            governed = agent.born(Name(namespace, name), address)
            if governed.wait(_PATIENCE_SECONDS):
                connection.sendall(b"ok\n")


def serve_http(agent: Agent, address: str, port: int) -> None:
    """Answer ``/ready`` and ``/metrics``."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            text = metrics(counters()) if self.path == "/metrics" else "\n"
            status = http.HTTPStatus.OK
            if self.path == "/ready" and not agent.ready.is_set():
                status = http.HTTPStatus.SERVICE_UNAVAILABLE
            self.send_response(status)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Requests are not worth a line."""

    http.server.ThreadingHTTPServer((address, port), Handler).serve_forever()


def counters() -> str:
    """Return what nft says about the table's counters."""
    argv = ["nft", "list", "counters", "table", *TABLE.split()]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=_NFT_SECONDS, check=False)
    return done.stdout


def metrics(listed: str) -> str:
    """Return nft's counters in Prometheus' text format."""
    return "".join(_samples(listed))


def _samples(listed: str) -> Iterator[str]:
    for unit, position in (("packets", 2), ("bytes", 3)):
        metric = f"hotfire_network_policy_{unit}_total"
        yield f"# TYPE {metric} counter\n"
        for match in _COUNTER.finditer(listed):
            verdict, direction, namespace, policy = match[1].split("/", 3)
            yield (
                f'{metric}{{verdict="{verdict}",direction="{direction}",'
                f'namespace="{namespace}",policy="{policy}"}} {match[position]}\n'
            )
