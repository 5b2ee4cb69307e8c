"""A node's export filter is gone: it announces the default route besides what is declared."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.bird import configured
from tests.world import World


@contextmanager
def broken(world: World) -> Iterator[None]:
    mine = "protocol static mine { ipv4; "
    leak = f"{mine}route 0.0.0.0/0 blackhole; "
    with configured(world.rack, "n2", lambda text: text.replace(mine, leak)):
        yield
