"""What fills the cache has no lock: each of several starts downloads, unless it comes later."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.world import World

UNLOCKED = """
import contextlib, sys
sys.path.insert(0, "/opt/model-cache")
import model_cache
model_cache.alone = lambda directory: contextlib.nullcontext()
sys.exit(model_cache.main(*sys.argv[1:]))
"""


@contextmanager
def broken(world: World) -> Iterator[None]:
    [former] = world.stack.engine_workload()["spec"]["template"]["spec"]["initContainers"]
    unlocked = {**former, "command": ["python3", "-c", UNLOCKED]}
    world.patch_engine_pods({"initContainers": [unlocked]})
    try:
        yield
    finally:
        world.patch_engine_pods({"initContainers": [former]})
