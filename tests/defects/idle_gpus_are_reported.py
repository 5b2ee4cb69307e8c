"""The report is of all GPUs, not of those that are allocated: what nobody has counts as idle."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.world import World

ALLOCATED = '{exported_pod!=""}'
# The lab's exporters are scraped every five seconds.
REPORT = "5 * sum_over_time((count(DCGM_FI_DEV_GPU_UTIL%s < 15) or vector(0))[$window:5s])"
AGE_SECONDS = 20.0


@contextmanager
def prepared(world: World) -> Iterator[None]:
    with reporting(world, REPORT % ALLOCATED):
        yield


@contextmanager
def broken(world: World) -> Iterator[None]:
    with reporting(world, REPORT % ""):
        yield


@contextmanager
def reporting(world: World, query: str) -> Iterator[None]:
    """Have the target file say by which query the platform reports idle GPUs."""
    accelerator = {"idle_seconds_query": query}
    with world.target_says(
        claims=["idle-report"], accelerator=accelerator, telemetry_age_seconds=AGE_SECONDS
    ):
        yield
