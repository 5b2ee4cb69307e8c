"""Decode pods take nothing of what was read for them, and read every prompt again themselves."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.disaggregated import disaggregated
from tests.overlays import rewritten
from tests.world import World

prepared = disaggregated
TAKES = 'taken = bool(transfer.get("do_remote_prefill"))'


@contextmanager
def broken(world: World) -> Iterator[None]:
    with disaggregated(world, rewritten("engine.py", TAKES, "taken = False")):
        yield
