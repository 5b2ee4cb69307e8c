"""The scripted stack with its queued jobs, as ``overlays/jobs`` says."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hotfire.batches import Batches
from hotfire.jobs import Jobs
from hotfire.waiting import until
from tests.overlays import Change, added, as_it_is, beside
from tests.world import World

API, WORKER, QUEUE = (f"jobs-{name}" for name in ("api", "worker", "queue"))
PARTS = (API, WORKER, QUEUE)
JOBS = Jobs.model_validate(
    {
        "parts": {name.removeprefix("jobs-"): {"app": name} for name in PARTS},
        "redelivery_seconds": 5.0,
    }
)


@contextmanager
def queueing(world: World, change: Change = as_it_is) -> Iterator[None]:
    """Have queued jobs, and a target file that says so; ``change`` each object before."""
    made = added(world, "jobs")
    for document in made:
        change(document)
    with beside(world, made), world.target_says(**_declared()):
        _wait_accepted(world)
        yield


def _declared() -> dict[str, Any]:
    """Return what the target file says of them."""
    return {
        "claims": ["batch-jobs", "redis-queue"],
        "jobs": JOBS.model_dump(mode="json", exclude_defaults=True),
    }


def _wait_accepted(world: World) -> None:
    with Batches.of(world.profile, JOBS) as client:
        until(
            lambda: all(client.submit(["?"], max_tokens=1).batch for _ in range(6)),
            within_seconds=60,
            what="jobs accepted through the gateway",
        )
