"""Whatever a gang asks for, an admission policy makes one member enough: ``minCount: 1``."""

from collections.abc import Iterator
from contextlib import contextmanager

from hotfire.waiting import until
from suites.scheduling.test_gangs_start_completely_or_not_at_all import version
from tests.world import World

GROUP = "scheduling.k8s.io"
EXPRESSION = """
[JSONPatch{op: "replace", path: "/spec/schedulingPolicy/gang/minCount", value: 1}]
"""


@contextmanager
def broken(world: World) -> Iterator[None]:
    try:
        with world.admission_changes(GROUP, "podgroups", EXPRESSION):
            until(lambda: _enough(world) == 1, within_seconds=60, what="the policy in force")
            yield
    finally:
        until(lambda: _enough(world) == 2, within_seconds=60, what="the policy gone")


def _enough(world: World) -> int | None:
    """Return how many members a gang of two would need, once it is stored."""
    group = {
        "apiVersion": version(world.cluster),
        "kind": "PodGroup",
        "metadata": {"name": "probe"},
        "spec": {"schedulingPolicy": {"gang": {"minCount": 2}}},
    }
    answer = world.cluster.would_admit(group, namespace=world.profile.namespace)
    policy = (answer.document.get("spec") or {}).get("schedulingPolicy") or {}
    stored: int | None = (policy.get("gang") or {}).get("minCount")
    return stored
