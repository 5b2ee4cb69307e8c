"""How a fault starts a load beside the rated one."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hotfire.chaos.plan import World
from hotfire.errors import HarnessError
from hotfire.traffic.runner.launch import RunningLoad
from hotfire.traffic.runner.rated import rated_load


@contextmanager
def load_beside(world: World, name: str, changes: dict[str, Any]) -> Iterator[RunningLoad]:
    """Run a load that differs from the rated one; its history lies beside that of the fault.

    Raises:
        HarnessError: it does not start, or there is no run to record it in.
    """
    if world.run is None:
        raise HarnessError("a load is recorded in a run, and there is none")
    with rated_load(world.profile, world.run, name, cluster=world.cluster, **changes) as load:
        load.wait_started()
        yield load
