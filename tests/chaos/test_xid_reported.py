"""An Xid counts as seen when the platform's own metrics tell it of that very GPU."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import pytest

from hotfire.chaos.blast import resolve
from hotfire.chaos.plan import World
from hotfire.chaos.sighting import Sighting
from hotfire.chaos.sightings.xid_reported import XidReported
from hotfire.errors import HarnessError
from tests.chaos.platform import KILL, NAMESPACE, Platform
from tests.chaos.scenes import scene
from tests.chaos.scripted_agent import asking

GRANT = {
    "namespace": NAMESPACE, "pod": "engine-1", "container": "vllm",
    "resource": "nvidia.com/gpu", "device_ids": ["GPU-a"],
}  # fmt: skip


class Exporter(BaseHTTPRequestHandler):
    """A Prometheus that knows the Xids of some GPUs."""

    told: dict[str, int]

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)["query"][0]
        rows = [
            {"metric": {"UUID": gpu}, "value": [0, str(xid)]}
            for gpu, xid in self.told.items()
            if f'UUID="{gpu}"' in query
        ]
        data = json.dumps({"data": {"result": rows}}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def exporter() -> Iterator[tuple[str, dict[str, int]]]:
    """The address of such a server, and what it tells."""
    told: dict[str, int] = {}
    handler = type("Handler", (Exporter,), {"told": told})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as listening:
        Thread(target=listening.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}", told
        listening.shutdown()


def look(world: World, url: str | None) -> Sighting:
    profile = world.profile.model_copy(update={"prometheus_url": url})
    there = World(cluster=world.cluster, agent=world.agent, profile=profile)
    told = asking(there, pod_resources=[GRANT])
    return XidReported(xid=13).look(scene(told, resolve(told, KILL)))


@pytest.mark.parametrize(
    ("told", "seen"),
    [({"GPU-a": 13}, "yes"), ({"GPU-a": 0}, "no"), ({"GPU-a": 0, "GPU-b": 13}, "no")],
)
def test_the_code_must_be_told_of_the_engines_own_gpu(
    world: World,
    platform: Platform,
    exporter: tuple[str, dict[str, int]],
    told: dict[str, int],
    seen: str,
) -> None:
    url, series = exporter
    series.update(told)

    assert look(world, url).seen == seen


def test_an_absent_series_is_unknown(
    world: World, platform: Platform, exporter: tuple[str, dict[str, int]]
) -> None:
    with pytest.raises(HarnessError, match="no exporter tells of it"):
        look(world, exporter[0])


def test_without_prometheus_it_is_unknown(world: World, platform: Platform) -> None:
    with pytest.raises(HarnessError, match="set prometheus_url"):
        look(world, None)
