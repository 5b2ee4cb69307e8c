"""The controller that reverts drift is suspended: what was declared still stands in its records."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from hotfire.cluster import Document
from tests.world import World

LOOK_SECONDS = 1.0


@contextmanager
def prepared(world: World) -> Iterator[None]:
    """A controller that looks each second: the lab has none."""
    over = Event()
    route, engines = world.stack.way_in()["spec"], world.stack.engine_workload()["spec"]["template"]
    reconciler = Thread(target=_reconcile, args=(world, route["rules"], engines["spec"], over))
    reconciler.start()
    try:
        yield
    finally:
        over.set()
        reconciler.join()


@contextmanager
def broken(world: World) -> Iterator[None]:
    del world
    yield


def _reconcile(world: World, rules: list[Document], engines: Document, over: Event) -> None:
    while not over.wait(LOOK_SECONDS):
        if world.stack.way_in()["spec"]["rules"] != rules:
            world.patch_route({"rules": rules})
        workload = world.stack.engine_workload()
        containers = {"containers": engines["containers"]}
        if workload["spec"]["template"]["spec"]["containers"] != engines["containers"]:
            body = {"spec": {"template": {"spec": containers}}}
            place = (world.profile.namespace, workload["metadata"]["name"])
            world.cluster.patch("Deployment", *place, body, api_version="apps/v1")
