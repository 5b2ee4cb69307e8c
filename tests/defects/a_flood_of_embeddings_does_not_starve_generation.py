"""Embeddings are made on the engines' own device: while it is busy with one, tokens wait for it.

Work beyond what is carried is refused all the same, at once and with Retry-After.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.overlays import rewritten
from tests.rag import retrieving
from tests.world import World

prepared = retrieving
USUAL_SECONDS, SHARED_SECONDS = 0.005, 0.05
ALONE = "        Event().wait(self._seconds)\n"


def shared_with(engines: list[str]) -> str:
    """Return the same work on a device at which these engines wait for their turn."""
    return f"""\
        import urllib.request

        for seconds in ({SHARED_SECONDS}, {USUAL_SECONDS}):
            for engine in {engines!r}:
                pace = json.dumps({{"tpot_seconds": seconds}}).encode()
                urllib.request.urlopen(f"http://{{engine}}/admin/config", pace, timeout=5).close()
            if seconds != {USUAL_SECONDS}:
                Event().wait(self._seconds)
"""


@contextmanager
def broken(world: World) -> Iterator[None]:
    engines = [f"{pod.ip}:8000" for pod in world.stack.engines()]
    try:
        with retrieving(world, rewritten("embedder.py", ALONE, shared_with(engines))):
            yield
    finally:
        world.script(tpot_seconds=USUAL_SECONDS)
