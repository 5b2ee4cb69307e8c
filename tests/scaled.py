"""The scripted stack with its engines scaled by KEDA, as ``overlays/autoscaling`` says."""

from collections.abc import Iterator
from contextlib import contextmanager

from fixtures.autoscaling import API
from hotfire.cluster import Document
from hotfire.lab.lab import Lab
from hotfire.lab.shape.progress import Progress
from hotfire.own_folders import project_root
from hotfire.waiting import until
from tests.overlays import Change, as_it_is, documents, engines_of
from tests.world import World

ADD_ON, OVERLAY = "scaling", "autoscaling"


def extended(add_on: str = ADD_ON) -> Lab:
    """Return the lab with an add-on, by default metrics-server and KEDA; builds what is missing."""
    lab = Lab(project_root())
    if add_on not in lab.topology().add_ons:
        lab.extend([add_on], Progress(print))
    return lab


@contextmanager
def scaled(world: World, change: Change = as_it_is) -> Iterator[None]:
    """Have one engine without demand, more with it; ``change`` that of the ScaledObject's spec."""
    extended()
    with slow_engines(world), scaled_object(world, change):
        yield


@contextmanager
def scaled_object(
    world: World, change: Change = as_it_is, *, overlay: str = OVERLAY
) -> Iterator[None]:
    """Have the engines scaled for the length of a block; the lab must have what it takes."""
    [document] = [one for one in documents(world, overlay) if one["kind"] == "ScaledObject"]
    change(document["spec"])
    namespace, api = world.profile.namespace, document["apiVersion"]
    world.cluster.apply([document], namespace=namespace)
    try:
        until(lambda: _active(world), within_seconds=120, what="KEDA's autoscaler at work")
        yield
    finally:
        name = document["metadata"]["name"]
        world.cluster.delete("ScaledObject", namespace, name, api_version=api)
        until(lambda: not autoscalers(world), within_seconds=60, what="KEDA's autoscaler gone")


@contextmanager
def slow_engines(world: World) -> Iterator[None]:
    """Have one engine, that of the overlay; afterwards two of those that were there."""
    replicas = world.stack.engine_workload()["spec"]["replicas"]
    world.scale(1)
    with engines_of(world, OVERLAY):
        try:
            yield
        finally:
            world.scale(replicas)


def autoscalers(world: World) -> list[Document]:
    """Return the HorizontalPodAutoscalers of the stack."""
    return world.cluster.list("HorizontalPodAutoscaler", world.profile.namespace, api_version=API)


def _active(world: World) -> bool:
    """Return whether there is an autoscaler that reads what it scales by, or has nothing to."""
    return any(
        condition["type"] == "ScalingActive"
        and (condition["status"] == "True" or condition.get("reason") == "ScalingDisabled")
        for one in autoscalers(world)
        for condition in (one.get("status") or {}).get("conditions") or ()
    )
