"""What nobody takes is kept for eight minutes, as it long was by default."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.disaggregated import PREFILL, disaggregated
from tests.rag import in_environment
from tests.world import World

prepared = disaggregated


@contextmanager
def broken(world: World) -> Iterator[None]:
    with disaggregated(world, in_environment(PREFILL, KV_LEASE_SECONDS="480")):
        yield
