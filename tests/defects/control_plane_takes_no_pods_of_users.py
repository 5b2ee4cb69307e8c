"""One node of the control plane has lost its taint; that of its GPUs still keeps users' pods off.

Engines tolerate the latter, so it is they who are let in, and on that node alone.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from hotfire.cluster import Document
from tests.world import World

ROLE = "node-role.kubernetes.io/control-plane"
TAINT: Document = {"key": ROLE, "effect": "NoSchedule"}
NODES = ("n2", "n3")


@contextmanager
def prepared(world: World) -> Iterator[None]:
    """Two nodes of the lab, whose own control plane runs on none, are said to belong to one."""
    with _labelled(world, tainted=NODES):
        yield


@contextmanager
def broken(world: World) -> Iterator[None]:
    with _labelled(world, tainted=NODES[:1]):
        yield


@contextmanager
def _labelled(world: World, *, tainted: tuple[str, ...]) -> Iterator[None]:
    former = {name: _taints(world, name) for name in NODES}
    try:
        for name in NODES:
            world.label(name, {ROLE: ""})
            _set_taints(world, name, [*former[name], *([TAINT] if name in tainted else [])])
        yield
    finally:
        for name, taints in former.items():
            _set_taints(world, name, taints)
            # In a merge patch null takes a key away.
            world.cluster.patch("Node", None, name, {"metadata": {"labels": {ROLE: None}}})


def _taints(world: World, name: str) -> list[Document]:
    node = world.cluster.get("Node", None, name) or {}
    return list(node["spec"].get("taints") or ())


def _set_taints(world: World, name: str, taints: list[Document]) -> None:
    world.cluster.patch("Node", None, name, {"spec": {"taints": taints}})
