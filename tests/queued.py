"""The scripted stack beside queues of teams, as ``overlays/team-queues`` says."""

from collections.abc import Iterator
from contextlib import contextmanager

from fixtures.queues import API
from hotfire.cluster import Document
from hotfire.waiting import until
from tests.overlays import Change, as_it_is, documents
from tests.scaled import extended
from tests.world import World

ADD_ON, OVERLAY = "kueue", "team-queues"
_OF_NAMESPACE = "LocalQueue"


@contextmanager
def queued(world: World, change: Change = as_it_is) -> Iterator[None]:
    """Have the queues of two teams; ``change`` the spec of each ClusterQueue."""
    extended(ADD_ON)
    made = [one for one in documents(world, OVERLAY) if one["apiVersion"] == API]
    for one in made:
        if one["kind"] == "ClusterQueue":
            change(one["spec"])
    world.cluster.apply(made, namespace=world.profile.namespace)
    try:
        until(lambda: not _inactive(world), within_seconds=60, what="every ClusterQueue active")
        yield
    finally:
        for one in made:
            _delete(world, one)
        until(lambda: not _left(world, made), within_seconds=60, what="the queues gone")


def _delete(world: World, one: Document) -> None:
    place = world.profile.namespace if one["kind"] == _OF_NAMESPACE else None
    world.cluster.delete(one["kind"], place, one["metadata"]["name"], api_version=API)


def _left(world: World, made: list[Document]) -> list[str]:
    """Return what is left of some kinds: each goes after what uses it."""
    kinds = {one["kind"] for one in made} - {_OF_NAMESPACE}
    return [
        one["metadata"]["name"]
        for kind in kinds
        for one in world.cluster.list(kind, api_version=API)
    ]


def _inactive(world: World) -> list[str]:
    return [
        one["metadata"]["name"]
        for one in world.cluster.list("ClusterQueue", api_version=API)
        if not any(
            (condition["type"], condition["status"]) == ("Active", "True")
            for condition in (one.get("status") or {}).get("conditions") or ()
        )
    ]


@contextmanager
def racked(world: World) -> Iterator[None]:
    """Have them on a lab with two nodes in a rack, and no engine in the way of a group."""
    with queued(world), _without_engines(world), _two_in_a_rack(world):
        yield


@contextmanager
def _without_engines(world: World) -> Iterator[None]:
    replicas = world.stack.engine_workload()["spec"]["replicas"]
    world.scale(0)
    try:
        until(
            lambda: not world.cluster.pods(world.profile.namespace, world.profile.engine.selector),
            within_seconds=90,
            what="no engine",
        )
        yield
    finally:
        world.scale(replicas)
        world.stack.wait_ready()


@contextmanager
def _two_in_a_rack(world: World) -> Iterator[None]:
    first, second, *_ = world.cluster.nodes(world.profile.accelerator.node_selector)
    label = world.profile.fabric.rack_label
    world.label(second.name, {label: first.labels[label]})
    try:
        yield
    finally:
        world.label(second.name, {label: second.labels[label]})
