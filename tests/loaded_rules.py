"""Rules of the lab's Prometheus, others for a while: it starts anew with them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hotfire.errors import HarnessError
from hotfire.prometheus import Prometheus
from hotfire.waiting import until
from tests.world import World

NAMESPACE, NAME = "monitoring", "prometheus"

Loaded = Callable[[Prometheus], bool]
"""Whether a Prometheus has the other rules."""


@contextmanager
def other_rules(
    world: World, file: str, change: Callable[[str], str], *, loaded: Loaded
) -> Iterator[None]:
    """Let Prometheus have a file of rules as ``change`` makes it, for the length of a block."""
    former = (world.cluster.get("ConfigMap", NAMESPACE, NAME) or {})["data"][file]
    try:
        _load(world, {file: change(former)}, loaded)
        yield
    finally:
        _load(world, {file: former}, lambda server: not loaded(server))


def _load(world: World, files: dict[str, str], loaded: Loaded) -> None:
    """Start Prometheus with these files, and wait until it has them and reads the lab."""
    server = Prometheus(str(world.profile.prometheus_url))
    world.cluster.patch("ConfigMap", NAMESPACE, NAME, {"data": files})
    for pod in world.cluster.pods(NAMESPACE, {"app": NAME}):
        world.cluster.delete("Pod", NAMESPACE, pod.name, uid=pod.uid, grace_seconds=1)

    def well() -> bool:
        try:
            return loaded(server) and bool(server.query("node_network_up"))
        except HarnessError:
            return False

    until(well, within_seconds=60, what=f"Prometheus with other {', '.join(files)}")
