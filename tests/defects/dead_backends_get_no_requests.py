"""The gateway hears of no change once it follows the route: a dead engine stays among the others.

Kubernetes knows at once; endpoints, status and routes are right.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from fixtures.own_backends import HEADER
from hotfire import Endpoint
from tests.world import World

PAIR = "pair"
IN_A_ROW = 16


@contextmanager
def broken(world: World) -> Iterator[None]:
    with world.deafened_once(_leads_to_the_pair):
        yield


def _leads_to_the_pair(endpoint: Endpoint) -> bool:
    """Return whether each of the gateway's proxies leads to the check's engines, by all odds."""
    headers = {HEADER: PAIR}
    replies = (
        endpoint.chat("?", max_tokens=1, headers=headers, fresh=True) for _ in range(IN_A_ROW)
    )
    return all(reply.served_by == PAIR for reply in replies)
