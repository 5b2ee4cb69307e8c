"""Enough GPUs for twice the engines, and somebody else holds every one of the spare ones."""

from collections.abc import Iterator
from contextlib import contextmanager

from fixtures.scratch import Decision
from hotfire.cluster import Document
from hotfire.waiting import until
from tests.world import World

NAMESPACE, LABELS = "default", {"app": "hoards"}


@contextmanager
def broken(world: World) -> Iterator[None]:
    accelerator = world.profile.accelerator
    nodes = world.cluster.nodes(accelerator.node_selector)
    offered = sum(int(node.allocatable[accelerator.resource]) for node in nodes)
    pods = [_hoarder(world, number) for number in range(offered)]
    try:
        world.cluster.apply(pods, namespace=NAMESPACE)
        until(lambda: _settled(world), within_seconds=30, what="every spare GPU taken")
        yield
    finally:
        for pod in world.cluster.pods(NAMESPACE, LABELS):
            world.cluster.delete("Pod", NAMESPACE, pod.name, uid=pod.uid, grace_seconds=1)
        until(
            lambda: not world.cluster.pods(NAMESPACE, LABELS),
            within_seconds=60,
            what="the hoarders gone",
        )


def _settled(world: World) -> bool:
    """Return whether the scheduler has decided on all of them, and those that it bound run."""
    listed = world.cluster.list("Pod", NAMESPACE, selector="app=hoards")
    pods = world.cluster.pods(NAMESPACE, LABELS)
    return all(map(Decision.parse, listed)) and all(p.phase == "Running" for p in pods if p.node)


def _hoarder(world: World, number: int) -> Document:
    accelerator = world.profile.accelerator
    limits = {accelerator.resource: "1", "memory": "16Mi"}
    container = {
        "name": "hoards",
        "image": world.profile.images.python,
        "command": ["sleep", "3600"],
        "resources": {"requests": {"cpu": "1m"}, "limits": limits},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"hoards-{number}", "labels": LABELS},
        "spec": {
            "containers": [container],
            "terminationGracePeriodSeconds": 0,
            "tolerations": [{"key": accelerator.taint_key, "operator": "Exists"}],
        },
    }
