"""The same uplink of every node that runs an engine, as when their common router is lost."""

from functools import partial
from typing import Literal

from hotfire.chaos.aim import TargetWord
from hotfire.chaos.plan import Plan, World, engines, pod_target, resolve_again
from hotfire.chaos.targets.uplink_of_engine_node import first_uplink, kept_uplinks
from hotfire.chaos.together import side_by_side
from hotfire.cluster import Pod
from hotfire.errors import HarnessError


class SameUplinkOfEveryEngineNode(TargetWord):
    """The first declared uplink, on each of those nodes."""

    word: Literal["same-uplink-of-every-engine-node"] = "same-uplink-of-every-engine-node"
    survivors: int = 1
    """How many other uplinks of each node must carry traffic."""

    def resolve(self, world: World, experiment: str) -> Plan:
        """Return that link of each node, on account of its first Ready engine."""
        link = first_uplink(world, experiment, survivors=self.survivors)
        found = first_engines(world, experiment)
        hit = [pod_target(pod, world.profile, kind="link", link=link) for pod in found]
        return Plan(
            experiment=experiment, at_most=len(hit), survivors=self.survivors, targets=tuple(hit)
        )

    def spared(self, world: World, plan: Plan) -> str:
        """Return which uplinks each node keeps."""
        kept = partial(kept_uplinks, world, survivors=self.survivors)
        return "; ".join(side_by_side(kept, plan.targets))

    def look_again(self, world: World, plan: Plan) -> None:
        """Make sure that the engines still run there, and that none came to another node."""
        for target in plan.targets:
            resolve_again(world.cluster, target)
        now = {pod.node for pod in engines(world.cluster, world.profile) if pod.serving}
        if missed := now - {target.node for target in plan.targets}:
            raise HarnessError(f"engines came to {', '.join(sorted(missed))}; nothing was fired")


def first_engines(world: World, experiment: str) -> list[Pod]:
    """Return one Ready engine of each node that has any, in the order of the nodes' names.

    Raises:
        HarnessError: no engine is Ready.
    """
    ready = [pod for pod in engines(world.cluster, world.profile) if pod.serving]
    if not ready:
        raise HarnessError(f"{experiment} needs a Ready engine in {world.profile.namespace}")
    by_node = {pod.node: pod for pod in reversed(ready)}
    return [by_node[node] for node in sorted(by_node)]
