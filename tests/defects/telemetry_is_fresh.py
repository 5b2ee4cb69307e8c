"""A rule keeps the last value of a series that nobody tells any more.

Its exporter answers and tells something new at each scrape, and each sample of the rule is new.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from hotfire.cluster import Document
from hotfire.prometheus import Prometheus
from hotfire.waiting import until
from tests.loaded_rules import NAMESPACE, other_rules
from tests.world import World

NAME, PORT = "half-asleep", 8080
SERIES, RULE = "room_temperature_celsius", "room:temperature_celsius:last"
RULES = f"""
  - name: kept
    interval: 5s
    rules: [{{record: "{RULE}", expr: "last_over_time({SERIES}[1h])"}}]
"""
# Of a sensor that was last read ten minutes ago.
AGE_SECONDS = 600
EXPORTER = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    asked = 0
    def do_GET(self):
        type(self).asked += 1
        page = f"{sys.argv[1]} 21 {sys.argv[2]}\\nexporter_scrapes_total {self.asked}\\n".encode()
        self.send_response(200)
        self.send_header("content-type", "text/plain; version=0.0.4")
        self.send_header("content-length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

HTTPServer(("", int(sys.argv[3])), Handler).serve_forever()
"""


@contextmanager
def broken(world: World) -> Iterator[None]:
    server = Prometheus(str(world.profile.prometheus_url))

    def loaded(one: Prometheus) -> bool:
        return any(rule.name == RULE for rule in one.recording_rules())

    try:
        world.cluster.apply([_exporter(world)], namespace=NAMESPACE)
        with other_rules(world, "records.yaml", lambda rules: rules + RULES, loaded=loaded):
            until(lambda: server.query(RULE), within_seconds=60, what=f"a value of {RULE}")
            yield
    finally:
        world.cluster.delete("Pod", NAMESPACE, NAME, grace_seconds=1)


def _exporter(world: World) -> Document:
    stamp = round((time.time() - AGE_SECONDS) * 1000)
    container = {
        "name": "exporter",
        "image": world.profile.images.python,
        "command": ["python3", "-c", EXPORTER, SERIES, str(stamp), str(PORT)],
    }
    annotations = {"prometheus.io/scrape": "true", "prometheus.io/port": str(PORT)}
    spec = {"containers": [container], "tolerations": [{"operator": "Exists"}]}
    metadata = {"name": NAME, "labels": {"app": NAME}, "annotations": annotations}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
