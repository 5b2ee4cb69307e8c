"""A worker that was lost is not replaced, and the others are left as they are: they wait for ever.

An admission policy gives Jobs no second try for any of their workers.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from fixtures.queues import JOBS
from hotfire.waiting import until
from tests.world import World

EXPRESSION = '[JSONPatch{op: "add", path: "/spec/backoffLimitPerIndex", value: 0}]'


@contextmanager
def broken(world: World) -> Iterator[None]:
    try:
        with world.admission_changes("batch", "jobs", EXPRESSION):
            until(lambda: _tries(world) == 0, within_seconds=60, what="the policy in force")
            yield
    finally:
        until(lambda: _tries(world) is None, within_seconds=60, what="the policy gone")


def _tries(world: World) -> int | None:
    """Return how often a worker of an indexed Job would be tried again, once that is stored."""
    container = {"name": "probe", "image": world.profile.images.python}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    spec = {"completionMode": "Indexed", "completions": 1, "template": template}
    job = {"apiVersion": JOBS, "kind": "Job", "metadata": {"name": "probe"}, "spec": spec}
    stored = world.cluster.would_admit(job, namespace=world.profile.namespace).document
    tries: int | None = (stored.get("spec") or {}).get("backoffLimitPerIndex")
    return tries
