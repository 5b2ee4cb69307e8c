"""No cooldown: who is not needed at this moment goes at this moment."""

from collections.abc import Iterator
from contextlib import contextmanager

from hotfire.cluster import Document
from tests.scaled import scaled
from tests.world import World

prepared = scaled


@contextmanager
def broken(world: World) -> Iterator[None]:
    with scaled(world, _at_once):
        yield


def _at_once(spec: Document) -> None:
    behavior = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    behavior["scaleDown"] = {
        "stabilizationWindowSeconds": 0,
        "policies": [{"type": "Percent", "value": 100, "periodSeconds": 1}],
    }
