"""One engine leaks: slowly enough to pass every check that takes a minute less."""

from collections.abc import Iterator
from contextlib import contextmanager

from hotfire.cluster import Document
from tests.world import World

# A megabyte every four seconds, in a process beside the engine, written to so that it is resident.
LEAK = "import time\nkept = []\nwhile True:\n kept.append(b'x' * 262144)\n time.sleep(1)"


@contextmanager
def broken(world: World) -> Iterator[None]:
    def leak(spec: Document) -> None:
        [engine] = spec["containers"]
        whole = [*engine["command"], *engine.get("args", ())]
        engine["command"] = ["sh", "-c", 'python3 -c "$0" & exec "$@"', LEAK, *whole]
        engine.pop("args", None)

    with world.one_more_engine(leak):
        yield
