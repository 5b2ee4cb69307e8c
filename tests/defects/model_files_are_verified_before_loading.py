"""The cache counts as filled as soon as its manifest is there; what comes anew is verified."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.world import World


@contextmanager
def broken(world: World) -> Iterator[None]:
    [former] = world.stack.engine_workload()["spec"]["template"]["spec"]["initContainers"]
    _, directory, _ = former["args"]
    words = [*former["command"], *former["args"]]
    script = f'test -e {directory}/.manifest.json || exec "$@"'
    careless = {**former, "command": ["sh", "-c", script, "fill", *words], "args": []}
    world.patch_engine_pods({"initContainers": [careless]})
    try:
        yield
    finally:
        world.patch_engine_pods({"initContainers": [former]})
