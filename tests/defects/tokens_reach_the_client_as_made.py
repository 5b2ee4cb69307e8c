"""The gateway collects each answer whole before it passes it on.

Every answer is complete and right, and its engine wrote it token by token.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.world import World

API = "gateway.envoyproxy.io/v1alpha1"
KIND, NAME = "EnvoyExtensionPolicy", "collect-answers"
MARK = "x-collected"
COLLECT = f"""
function envoy_on_response(handle)
  handle:headers():add("{MARK}", "yes")
  handle:body()
end
"""


@contextmanager
def broken(world: World) -> Iterator[None]:
    namespace, route = world.profile.namespace, world.stack.way_in()["metadata"]["name"]
    target = {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": route}
    spec = {"targetRefs": [target], "lua": [{"type": "Inline", "inline": COLLECT}]}
    document = {"apiVersion": API, "kind": KIND, "metadata": {"name": NAME}, "spec": spec}
    world.cluster.apply([document], namespace=namespace)
    try:
        _wait_collecting(world, expected=True)
        yield
    finally:
        world.cluster.delete(KIND, namespace, NAME, api_version=API)
        _wait_collecting(world, expected=False)


def _wait_collecting(world: World, *, expected: bool) -> None:
    """Wait until the gateway follows the policy, or has forgotten it."""
    world.wait_answers(
        lambda endpoint: (MARK in endpoint.chat("?", fresh=True).headers) == expected,
        what=f"answers collected: {expected}",
    )
