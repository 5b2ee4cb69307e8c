"""The budget selects the pods by a label that they no longer have: it is there and holds nobody."""

from collections.abc import Iterator
from contextlib import contextmanager

from hotfire.waiting import until
from tests.world import World

API = "policy/v1"


@contextmanager
def broken(world: World) -> Iterator[None]:
    [budget] = world.cluster.list("PodDisruptionBudget", world.profile.namespace, api_version=API)
    name = budget["metadata"]["name"]
    former = budget["spec"]["selector"]["matchLabels"]
    _select(world, name, {key: f"{value}-v1" for key, value in former.items()})
    try:
        yield
    finally:
        _select(world, name, former)


def _select(world: World, name: str, labels: dict[str, str]) -> None:
    """Change whom the budget holds, and wait for its controller."""
    namespace = world.profile.namespace
    body = {"spec": {"selector": {"matchLabels": labels}}}
    world.cluster.patch("PodDisruptionBudget", namespace, name, body, api_version=API)

    def observed() -> bool:
        found = world.cluster.get("PodDisruptionBudget", namespace, name, api_version=API) or {}
        seen = found["status"].get("observedGeneration", 0)
        return bool(seen >= found["metadata"]["generation"])

    until(observed, within_seconds=30, what=f"budget {name} observed")
