"""A rule for one path takes that path's requests, whatever their headers say.

By Gateway API's own order an exact path goes before any header: the header's rule is there,
accepted, and right for every other path.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.world import World

API = "gateway.networking.k8s.io/v1"
NAME, MARK = "only-completions", "x-only-completions"
PATH = "/v1/completions"


@contextmanager
def broken(world: World) -> Iterator[None]:
    namespace, former = world.profile.namespace, world.stack.way_in()["spec"]
    header = {"set": [{"name": MARK, "value": "yes"}]}
    rule = {
        "matches": [{"path": {"type": "Exact", "value": PATH}}],
        "filters": [{"type": "ResponseHeaderModifier", "responseHeaderModifier": header}],
        "backendRefs": former["rules"][0]["backendRefs"],
    }
    spec = {"parentRefs": former["parentRefs"], "rules": [rule]}
    document = {"apiVersion": API, "kind": "HTTPRoute", "metadata": {"name": NAME}, "spec": spec}
    world.cluster.apply([document], namespace=namespace)
    try:
        _wait_marked(world, expected=True)
        yield
    finally:
        world.cluster.delete("HTTPRoute", namespace, NAME, api_version=API)
        _wait_marked(world, expected=False)


def _wait_marked(world: World, *, expected: bool) -> None:
    """Wait until the gateway follows the rule, or has forgotten it."""
    world.wait_answers(
        lambda endpoint: (MARK in endpoint.complete("?", fresh=True).headers) == expected,
        what=f"answers on {PATH} marked: {expected}",
    )
