"""A rule for one path takes that path's requests, whatever their headers say.

By Gateway API's own order an exact path goes before any header: the header's rule is there,
accepted, and right for every other path.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.world import World


@contextmanager
def broken(world: World) -> Iterator[None]:
    rule = {
        "matches": [{"path": {"type": "Exact", "value": "/v1/completions"}}],
        "backendRefs": world.stack.way_in()["spec"]["rules"][0]["backendRefs"],
    }
    with world.more_rules(rule, asked=lambda endpoint: endpoint.complete("?", fresh=True)):
        yield
