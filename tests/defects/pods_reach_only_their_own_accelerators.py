"""The runtime of one node lets every pod open the GPUs, though it puts no node of them into /dev.

A pod finds none when it looks, and reaches each by its number.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager

from hotfire.errors import LabError
from hotfire.waiting import until
from tests.world import World

BASE_SPEC = "/etc/containerd/base-spec.json"
# Major number of the lab's GPUs, which are loop devices.
LOOP = 7


@contextmanager
def broken(world: World) -> Iterator[None]:
    *_, node = world.cluster.nodes(world.profile.accelerator.node_selector)
    former = world.rack.run(node.name, ["cat", BASE_SPEC])
    spec = json.loads(former)
    rule = {"allow": True, "type": "b", "major": LOOP, "access": "rwm"}
    spec["linux"]["resources"]["devices"].append(rule)
    _restart_with(world, node.name, json.dumps(spec))
    try:
        yield
    finally:
        _restart_with(world, node.name, former)


def _restart_with(world: World, node: str, base_spec: str) -> None:
    """Give a node's runtime another base specification, which it reads when it starts."""
    world.rack.rewrite(node, BASE_SPEC, base_spec)
    world.rack.hold(node, "containerd")
    until(
        lambda: world.rack.service_pid(node, "containerd") is None,
        within_seconds=30,
        what=f"containerd of {node} ended",
    )
    world.rack.release(node, "containerd")
    until(
        lambda: _answers(world, node), within_seconds=30, what=f"containerd of {node} answers again"
    )


def _answers(world: World, node: str) -> bool:
    try:
        return bool(world.rack.run(node, ["ctr", "version"]))
    except LabError:
        return False
