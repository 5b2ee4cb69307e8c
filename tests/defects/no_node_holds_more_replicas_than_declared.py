"""That replicas stay apart is merely preferred: they do, as long as there is room elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.world import World

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


@contextmanager
def broken(world: World) -> Iterator[None]:
    spec = world.stack.engine_workload()["spec"]["template"]["spec"]
    former = spec["affinity"]["podAntiAffinity"]
    wishes = [{"weight": 100, "podAffinityTerm": term} for term in former[REQUIRED]]
    wished = {REQUIRED: None, PREFERRED: wishes}
    world.patch_engine_pods({"affinity": {"podAntiAffinity": wished}})
    try:
        yield
    finally:
        world.patch_engine_pods({"affinity": {"podAntiAffinity": {PREFERRED: None, **former}}})
