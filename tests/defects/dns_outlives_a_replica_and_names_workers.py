"""One DNS replica, which answers everything."""

from collections.abc import Iterator
from contextlib import contextmanager

from hotfire.waiting import until
from tests.world import World

NAMESPACE, NAME, SERVICE = "kube-system", "coredns", "kube-dns"


@contextmanager
def broken(world: World) -> Iterator[None]:
    found = world.cluster.get("Deployment", NAMESPACE, NAME, api_version="apps/v1")
    assert found is not None
    try:
        _scale(world, 1)
        yield
    finally:
        _scale(world, found["spec"]["replicas"])


def _scale(world: World, replicas: int) -> None:
    spec = {"spec": {"replicas": replicas}}
    world.cluster.patch("Deployment", NAMESPACE, NAME, spec, api_version="apps/v1")
    until(
        lambda: _ready(world) == replicas,
        within_seconds=60,
        what=f"{replicas} replicas behind {SERVICE}",
    )


def _ready(world: World) -> int:
    return sum(each.ready for each in world.cluster.endpoints(NAMESPACE, SERVICE))
