"""One engine, and every node on which its replacement may start."""

from typing import Literal

from hotfire.chaos.aim import EngineTargetWord, plan_engines
from hotfire.chaos.plan import Plan, World
from hotfire.chaos.written import Target
from hotfire.errors import HarnessError


class EngineAndAcceleratorNodes(EngineTargetWord):
    """The first engine pods by name, and all nodes with accelerators: what is lost is lost to all.

    A step that is for pods is done to the former, one that is for nodes to the latter.
    """

    word: Literal["engine-and-accelerator-nodes"] = "engine-and-accelerator-nodes"

    def resolve(self, world: World, experiment: str) -> Plan:
        """Return both as targets, the other engines as bystanders."""
        return engines_and_nodes(world, experiment, count=self.count, survivors=self.survivors)

    def spared(self, world: World, plan: Plan) -> str:
        """Return which engines are left, and how they are reached; budgets must allow it."""
        return super().spared(world, pods_of(plan))

    def look_again(self, world: World, plan: Plan) -> None:
        """Make sure that engines are there and Ready, those that are hit and the others."""
        super().look_again(world, pods_of(plan))


def engines_and_nodes(world: World, experiment: str, *, count: int, survivors: int) -> Plan:
    """Return so many engine pods and all nodes with accelerators as targets.

    Raises:
        HarnessError: there are too few Ready engines, or one runs where no accelerator is said to
            be.
    """
    plan = plan_engines(world, experiment, count=count, survivors=survivors)
    chosen = world.cluster.nodes(world.profile.accelerator.node_selector)
    nodes = [Target(kind="node", name=n.name, uid=n.uid, node=n.name) for n in chosen]
    there = {one.node for one in nodes}
    if beside := sorted({one.node for one in (*plan.targets, *plan.bystanders)} - there):
        raise HarnessError(
            f"engines run on {', '.join(beside)}, which accelerator.node_selector does not name"
        )
    hit = (*plan.targets, *nodes)
    return plan.model_copy(update={"targets": hit, "at_most": len(hit)})


def pods_of(plan: Plan) -> Plan:
    """Return a plan that hits its pods only."""
    return plan.model_copy(update={"targets": tuple(t for t in plan.targets if t.kind == "pod")})
