"""Both uplinks of a node end at the same router: two sessions, one identity behind them."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.bird import configured
from tests.world import World


@contextmanager
def broken(world: World) -> Iterator[None]:
    session = "protocol bgp to_n2 {"
    first = world.rack.run("r1", ["birdc", "show", "status"])
    router_id = first.partition("Router ID is ")[2].split()[0]
    with configured(
        world.rack, "r2", lambda text: text.replace(session, f"{session} router id {router_id};")
    ):
        yield
