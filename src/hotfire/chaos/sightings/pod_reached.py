"""The engines that were hit are Ready and can be connected to from another node."""

from typing import Literal

from hotfire.chaos.plan import Plan, World
from hotfire.chaos.readings import connected
from hotfire.chaos.sighting import EachTarget, Scene, Sighting
from hotfire.chaos.written import Target
from hotfire.errors import HarnessError


class PodReached(EachTarget):
    """A connection that opens."""

    word: Literal["pod-reached"] = "pod-reached"

    def look_at(self, scene: Scene, target: Target) -> Sighting:
        """Return whether it is so of one target."""
        why = refusal(scene.world, scene.plan, target)
        return Sighting.of(
            not why, f"a connection to {target} from another node: {why or 'opened'}"
        )


def refusal(world: World, plan: Plan, target: Target) -> str:
    """Return why another node cannot connect to an engine; empty: it can.

    Raises:
        HarnessError: the engine is gone, or no engine runs on another node.
    """
    others = [one.node for one in plan.bystanders if one.node != target.node]
    pod = world.cluster.pod(target.namespace, target.name)
    if not others or pod is None:
        missing = "it is gone" if others else "no survivor runs on another node"
        raise HarnessError(f"nobody can ask whether {target} is reached: {missing}")
    return connected(world.agent, others[0], pod.ip, world.profile.engine.port)
