"""The API is ready only while the vector store is: a probe that asks further than its own part."""

from collections.abc import Iterator
from contextlib import contextmanager

from hotfire.cluster import Document
from tests.rag import API, VECTOR_STORE, retrieving
from tests.world import World

prepared = retrieving
ASK = f"import urllib.request as r; r.urlopen('http://{VECTOR_STORE}/ready', timeout=1)"


@contextmanager
def broken(world: World) -> Iterator[None]:
    with retrieving(world, ask_further):
        yield


def ask_further(document: Document) -> None:
    if (document["kind"], document["metadata"]["name"]) == ("Deployment", API):
        [container] = document["spec"]["template"]["spec"]["containers"]
        asks = {"exec": {"command": ["python3", "-I", "-S", "-c", ASK]}, "timeoutSeconds": 5}
        container["readinessProbe"] = {**asks, "periodSeconds": 2, "failureThreshold": 2}
