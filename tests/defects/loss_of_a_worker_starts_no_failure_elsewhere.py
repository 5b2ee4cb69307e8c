"""The liveness probe of one engine asks another one: what ends that ends this one as well."""

from collections.abc import Iterator
from contextlib import contextmanager

from hotfire.cluster import Document
from tests.world import World

ASK = "import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=1)"


@contextmanager
def broken(world: World) -> Iterator[None]:
    neighbour = min(world.stack.engines(), key=lambda pod: pod.name)

    def ask_the_neighbour(spec: Document) -> None:
        [engine] = spec["containers"]
        command = ["python3", "-c", ASK, f"http://{neighbour.ip}:8000/health"]
        times = {"periodSeconds": 1, "failureThreshold": 2, "timeoutSeconds": 2}
        engine["livenessProbe"] = {"exec": {"command": command}, **times}

    with world.one_more_engine(ask_the_neighbour):
        yield
