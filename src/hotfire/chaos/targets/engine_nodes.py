"""Nodes that run engines, while other nodes run enough of them."""

from typing import Literal

from hotfire.chaos.aim import TargetWord, spared_engines, still_serving
from hotfire.chaos.plan import Plan, World, engines, names, pod_target, resolve_again
from hotfire.chaos.targets.same_uplink_of_every_engine_node import first_engines
from hotfire.errors import HarnessError


class EngineNodes(TargetWord):
    """The first nodes with a Ready engine, by name."""

    word: Literal["engine-nodes"] = "engine-nodes"
    count: int = 1
    """How many nodes are hit."""
    survivors: int = 1
    """How many engines must be left, Ready, on other nodes."""

    def resolve(self, world: World, experiment: str) -> Plan:
        """Return those nodes, and as bystanders the engines of all others."""
        hit = first_engines(world, experiment)[: self.count]
        nodes = {pod.node for pod in hit}
        pods = engines(world.cluster, world.profile)
        others = [pod for pod in pods if pod.serving and pod.node not in nodes]
        if len(hit) < self.count or len(others) < self.survivors:
            raise HarnessError(
                f"{experiment} needs {self.count} nodes with engines and {self.survivors} engines"
                f" on others; seen are {len(hit)} and {len(others)}"
            )
        return Plan(
            experiment=experiment,
            at_most=self.count,
            survivors=self.survivors,
            targets=tuple(pod_target(pod, world.profile, kind="node") for pod in hit),
            bystanders=tuple(pod_target(pod, world.profile) for pod in others),
            before=tuple(pod.uid for pod in pods),
        )

    def spared(self, world: World, plan: Plan) -> str:
        """Return which engines are left, and how they are reached."""
        return f"survivors, {spared_engines(world, plan)}: {names(plan.bystanders)}"

    def look_again(self, world: World, plan: Plan) -> None:
        """Make sure that the engines are there and Ready, on the target's node and on others."""
        for target in plan.targets:
            resolve_again(world.cluster, target)
        still_serving(engines(world.cluster, world.profile), plan)
