"""The route's last change is accepted and never programmed: the version goes on being served to.

The split before it is programmed, and what the route says of its weights is right.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from fixtures.route_weights import BARRIER_HEADER
from fixtures.stack import CANARY
from hotfire import Endpoint
from tests.world import World


@contextmanager
def broken(world: World) -> Iterator[None]:
    def follows_the_split(endpoint: Endpoint) -> bool:
        rule = world.stack.route()["spec"]["rules"][0]
        weights = {one["name"]: one["weight"] for one in rule["backendRefs"]}
        replies = [endpoint.chat("?", max_tokens=1, fresh=True) for _ in range(12)]
        marked = {reply.headers.get(BARRIER_HEADER) for reply in replies}
        return weights[CANARY] == 50 and len(marked - {None}) == len(marked) == 1

    with world.deafened_once(follows_the_split):
        yield
