"""Readiness looks at something that is always there, as a sidecar's port is."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.world import World

START_SECONDS = 20
ALWAYS = {"exec": {"command": ["true"]}, "periodSeconds": 1}


@contextmanager
def broken(world: World) -> Iterator[None]:
    former = world.stack.engine_workload()["spec"]["template"]["spec"]["containers"]
    # Without a startup probe liveness would end the engine before its model is there.
    later = {**former[0]["livenessProbe"], "initialDelaySeconds": START_SECONDS}
    probes = {"readinessProbe": ALWAYS, "startupProbe": None, "livenessProbe": later}
    world.set_engine_containers([{**former[0], **probes}])
    try:
        yield
    finally:
        world.set_engine_containers(former)
