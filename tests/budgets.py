"""Another disruption budget for the engines, for as long as a test wants it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hotfire.cluster import Document
from hotfire.waiting import until
from tests.world import World

_API = "policy/v1"


@contextmanager
def budget(world: World, change: Callable[[Document], Document]) -> Iterator[None]:
    """Change the spec of the stack's only budget: ``change`` returns the fields that are others.

    Its controller has seen it when this begins, and when it is over.
    """
    [found] = world.cluster.list("PodDisruptionBudget", world.profile.namespace, api_version=_API)
    name, former = found["metadata"]["name"], found["spec"]
    changed = change(former)
    try:
        _write(world, name, changed)
        yield
    finally:
        _write(world, name, {field: former.get(field) for field in changed})


def _write(world: World, name: str, spec: Document) -> None:
    namespace = world.profile.namespace
    world.cluster.patch("PodDisruptionBudget", namespace, name, {"spec": spec}, api_version=_API)

    def observed() -> bool:
        found = world.cluster.get("PodDisruptionBudget", namespace, name, api_version=_API) or {}
        seen = found["status"].get("observedGeneration", 0)
        return bool(seen >= found["metadata"]["generation"])

    until(observed, within_seconds=30, what=f"budget {name} observed")
