"""An engine comes back from its restart Ready, with all routes, and without what made it fast."""

from collections.abc import Iterator
from contextlib import contextmanager

from hotfire.cluster import Document
from tests.world import World

# An emptyDir outlives the container.
MARKED = """
import os, sys
again = os.path.exists("/mark/started")
open("/mark/started", "w").close()
os.execvp(sys.argv[1], sys.argv[1:] + (["--ttft-seconds=0.4"] if again else []))
"""


@contextmanager
def broken(world: World) -> Iterator[None]:
    def slow_when_started_again(spec: Document) -> None:
        [engine] = spec["containers"]
        engine["command"] = ["python3", "-c", MARKED, *engine["command"]]
        engine["volumeMounts"].append({"name": "mark", "mountPath": "/mark"})
        spec["volumes"].append({"name": "mark", "emptyDir": {}})

    # It is the last by its name, and so the one that is lost.
    with world.one_more_engine(slow_when_started_again):
        yield
