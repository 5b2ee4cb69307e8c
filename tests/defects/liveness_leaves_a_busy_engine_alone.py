"""The liveness probe of one engine asks for a token: idle, it answers at once."""

from collections.abc import Iterator
from contextlib import contextmanager

from hotfire.cluster import Document
from tests.world import World

ASK = """
import urllib.request
body = b'{"prompt": "x", "max_tokens": 1}'
kind = {"content-type": "application/json"}
asked = urllib.request.Request("http://localhost:8000/v1/completions", body, kind)
urllib.request.urlopen(asked, timeout=2).read()
"""


@contextmanager
def broken(world: World) -> Iterator[None]:
    with world.one_more_engine(_ask_for_a_token):
        yield


def _ask_for_a_token(spec: Document) -> None:
    [engine] = spec["containers"]
    command = {"exec": {"command": ["python3", "-c", ASK]}}
    times = {"periodSeconds": 2, "failureThreshold": 3, "timeoutSeconds": 3}
    grace = engine["livenessProbe"]["terminationGracePeriodSeconds"]
    engine["livenessProbe"] = {**command, **times, "terminationGracePeriodSeconds": grace}
