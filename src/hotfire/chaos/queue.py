"""Whether a queue answers: what tells that it is away, and that it is back."""

from hotfire.chaos.agent_answers import QueueAnswer
from hotfire.chaos.plan import World
from hotfire.cluster import Pod
from hotfire.errors import HarnessError


def asked(world: World, pod: Pod) -> QueueAnswer:
    """Return what a pod of the queue says to a PING of its own node.

    Raises:
        HarnessError: nobody could ask, or it is not declared where.
    """
    if world.profile.jobs is None:
        raise HarnessError("the target file has no section `jobs`")
    return world.agent.ask_queue(pod.node, pod.ip, world.profile.jobs.queue_port)
