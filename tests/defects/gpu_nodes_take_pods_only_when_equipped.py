"""The exporter's DaemonSet does not tolerate the GPU taint: none wanted, none missing, it says."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hotfire.waiting import until
from tests.world import World

NAMESPACE, NAME = "kube-system", "nvidia-dcgm-exporter"
OF_OTHERS = [{"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}]


@contextmanager
def broken(world: World) -> Iterator[None]:
    found = world.cluster.get("DaemonSet", NAMESPACE, NAME, api_version="apps/v1") or {}
    former = found["spec"]["template"]["spec"]["tolerations"]
    _tolerate(world, OF_OTHERS)
    # A taint of this effect lets those stay that are there.
    for pod in world.cluster.pods(NAMESPACE, {"app": NAME}):
        world.cluster.delete("Pod", NAMESPACE, pod.name, grace_seconds=1)
    try:
        until(lambda: _ready(world) == 0, within_seconds=30, what="no exporter left")
        yield
    finally:
        _tolerate(world, former)
        wanted = len(world.cluster.nodes(world.profile.accelerator.node_selector))
        until(lambda: _ready(world) == wanted, within_seconds=60, what="all exporters Ready")


def _tolerate(world: World, tolerations: list[dict[str, Any]]) -> None:
    body = {"spec": {"template": {"spec": {"tolerations": tolerations}}}}
    world.cluster.patch("DaemonSet", NAMESPACE, NAME, body, api_version="apps/v1")


def _ready(world: World) -> int:
    return sum(pod.serving for pod in world.cluster.pods(NAMESPACE, {"app": NAME}))
