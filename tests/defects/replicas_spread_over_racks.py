"""The rule for racks selects the pods by a label they no longer have: it counts nobody.

One replica a node is still required, and there is one node a rack.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.world import World

SPREAD = "topologySpreadConstraints"


@contextmanager
def broken(world: World) -> Iterator[None]:
    former = world.stack.engine_workload()["spec"]["template"]["spec"][SPREAD]
    stale = {"matchLabels": {"app": "vllm-v1"}}
    world.patch_engine_pods({SPREAD: [{**one, "labelSelector": stale} for one in former]})
    try:
        yield
    finally:
        world.patch_engine_pods({SPREAD: former})
