"""What the engines use and what is left of faults at a moment: told per round of a long run."""

from functools import partial

from hotfire.chaos import undo
from hotfire.chaos.plan import World, engines
from hotfire.chaos.together import side_by_side
from hotfire.cluster import Pod


def footprint(world: World) -> dict[str, int]:
    """Return memory and restarts of all engines, and how many undo entries are open.

    Raises:
        HarnessError: a node's agent or the API server does not answer.
    """
    pods = engines(world.cluster, world.profile)
    used = side_by_side(partial(_used_bytes, world), [pod for pod in pods if pod.serving])
    left = undo.copies(world.cluster, world.profile.system_namespace)
    return {
        "engines_memory_bytes": sum(used),
        "engines_restarts": sum(pod.restarts for pod in pods),
        "undo_entries_left": len(left.entries) + len(left.unreadable),
    }


def _used_bytes(world: World, pod: Pod) -> int:
    found = pod.container(world.profile.engine.container)
    if found is None:
        return 0
    use = world.agent.container_use(pod.node, pod_uid=pod.uid, container_id=found.container_id)
    return use.working_set_bytes
