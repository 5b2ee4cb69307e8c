"""Every node with an agent, for faults that take one service from all and leave the rest."""

from typing import Literal

from hotfire.chaos.aim import TargetWord, plan_beside_engines, spared_engines, still_serving
from hotfire.chaos.plan import Plan, World, engines, names, ready_engines
from hotfire.chaos.written import Target
from hotfire.errors import HarnessError


class EveryNode(TargetWord):
    """All nodes."""

    word: Literal["every-node"] = "every-node"

    def resolve(self, world: World, experiment: str) -> Plan:
        """Return all nodes as targets, and all engines as those who must stay."""
        nodes = sorted(set(world.agent.nodes()))
        ready = ready_engines(world)
        if not (nodes and ready):
            raise HarnessError(
                f"{experiment} needs nodes with an agent and a Ready engine;"
                f" there are {len(nodes)} and {ready}"
            )
        hit = [Target(kind="node", name=n, uid=n, node=n) for n in nodes]
        return plan_beside_engines(world, experiment, hit, at_most=len(hit), all_survive=True)

    def spared(self, world: World, plan: Plan) -> str:
        """Return that all engines are left, and how they are reached."""
        return f"all engines, {spared_engines(world, plan)}: {names(plan.bystanders)}"

    def look_again(self, world: World, plan: Plan) -> None:
        """Make sure that all engines are there and Ready."""
        still_serving(engines(world.cluster, world.profile), plan)
