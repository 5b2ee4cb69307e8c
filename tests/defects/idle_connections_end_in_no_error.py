"""The defaults put back: engines close after five seconds, the gateway keeps for an hour.

Nor does the gateway send what an engine never read to another one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.world import World

API = "gateway.envoyproxy.io/v1alpha1"
UVICORN_SECONDS = 5.0
# That of overlays/scripted.
SOUND_SECONDS = 30.0


def policy(world: World) -> dict[str, Any]:
    found = world.cluster.get(
        "BackendTrafficPolicy", world.profile.namespace, "inference", api_version=API
    )
    assert found is not None
    spec: dict[str, Any] = found["spec"]
    return spec


def set_policy(world: World, **spec: object) -> None:
    namespace = world.profile.namespace
    world.cluster.patch(
        "BackendTrafficPolicy", namespace, "inference", {"spec": spec}, api_version=API
    )


@contextmanager
def broken(world: World) -> Iterator[None]:
    former = policy(world)
    timeout, retry = former["timeout"], former["retry"]
    triggers = [each for each in retry["retryOn"]["triggers"] if each != "reset-before-request"]
    try:
        set_policy(
            world,
            timeout={"http": {"connectionIdleTimeout": None}},
            retry={"retryOn": {"triggers": triggers}},
        )
        world.script(keep_alive_seconds=UVICORN_SECONDS)
        yield
    finally:
        world.script(keep_alive_seconds=SOUND_SECONDS)
        set_policy(world, timeout=timeout, retry=retry)
