"""A Prometheus in miniature that remembers what two engines had counted at each of its scrapes."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit

from hotfire.measure.crosscheck import USUAL

TTFT = USUAL.ttft.name if USUAL.ttft else ""

EVERY_SECONDS = 5.0
PHASES = {"a": 1.0, "b": 3.5}
"""When each engine is scraped within those five seconds."""


@contextmanager
def remembering(tokens: Mapping[str, Sequence[float]], *, ttft_seconds: float) -> Iterator[str]:
    """Serve the memory of engines that made first tokens at these times; yield the address."""
    told = {"tokens": tokens, "ttft_seconds": ttft_seconds}
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Archive", (_Archive,), told)) as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class _Archive(BaseHTTPRequestHandler):
    tokens: Mapping[str, Sequence[float]]
    ttft_seconds: float

    def do_GET(self) -> None:
        asked = parse_qs(urlsplit(self.path).query)
        if "query" not in asked:
            interval = f"{EVERY_SECONDS:g}s"
            rows = [{"labels": _labels(pod), "scrapeInterval": interval} for pod in PHASES]
            self._answer({"activeTargets": rows})
            return
        at = float(asked.get("time", ["0"])[0])
        result = []
        for pod, phase in PHASES.items():
            scraped = at - (at - phase) % EVERY_SECONDS
            count = sum(token <= scraped for token in self.tokens[pod])
            values = {f"{TTFT}_count": count, f"{TTFT}_sum": count * self.ttft_seconds}
            if asked["query"][0].startswith("timestamp"):
                values = {"": scraped}
            for name, value in values.items():
                metric = {"__name__": name, **_labels(pod)}
                result.append({"metric": metric, "value": [at, str(value)]})
        self._answer({"result": result})

    def _answer(self, told: Mapping[str, object]) -> None:
        data = json.dumps({"status": "success", "data": told}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _labels(pod: str) -> dict[str, str]:
    return {"job": "vllm", "instance": f"{pod}:8000", "pod": pod}
