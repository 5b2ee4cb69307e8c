"""Before the cache is looked at, the store has to answer: each start waits for it."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.world import World

ASK = """
until python3 -c "import urllib.request as r; r.urlopen('$URL', timeout=2)"; do sleep 1; done
exec "$@"
"""


@contextmanager
def broken(world: World) -> Iterator[None]:
    [former] = world.stack.engine_workload()["spec"]["template"]["spec"]["initContainers"]
    words = [*former["command"], *former["args"]]
    ask = ASK.replace("$URL", f"{former['args'][0]}/manifest.json")
    asking = {**former, "command": ["sh", "-c", ask, "fill", *words], "args": []}
    world.patch_engine_pods({"initContainers": [asking]})
    try:
        yield
    finally:
        world.patch_engine_pods({"initContainers": [former]})
