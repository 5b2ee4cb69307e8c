"""The liveness probe of one engine looks at something that lives on, as a sidecar does."""

from collections.abc import Iterator
from contextlib import contextmanager

from hotfire.cluster import Document
from tests.world import World

LIVES_ON = {"exec": {"command": ["true"]}, "periodSeconds": 2, "failureThreshold": 3}


@contextmanager
def broken(world: World) -> Iterator[None]:
    with world.one_more_engine(_look_elsewhere):
        yield


def _look_elsewhere(spec: Document) -> None:
    [engine] = spec["containers"]
    former = engine["livenessProbe"]
    grace = former["terminationGracePeriodSeconds"]
    engine["livenessProbe"] = {**LIVES_ON, "terminationGracePeriodSeconds": grace}
