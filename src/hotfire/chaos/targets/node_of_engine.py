"""The node of one engine; engines on other nodes survive."""

from typing import ClassVar, Literal

from hotfire.chaos.aim import TargetWord, spared_engines, still_serving
from hotfire.chaos.plan import Plan, World, engines, names, pod_target
from hotfire.chaos.written import Target
from hotfire.cluster import Node
from hotfire.errors import HarnessError


class NodeOfEngine(TargetWord):
    """The node of the first Ready engine by name, and with it every engine there."""

    alone: ClassVar[bool] = True
    word: Literal["node-of-engine"] = "node-of-engine"
    survivors: int = 1
    """How many engines on other nodes must be left unharmed and Ready."""

    def resolve(self, world: World, experiment: str) -> Plan:
        """Return that node as the target; a second engine on it is no survivor."""
        pods = engines(world.cluster, world.profile)
        ready = [pod for pod in pods if pod.serving]
        others = [pod for pod in ready if pod.node != ready[0].node]
        if not ready or len(others) < self.survivors:
            seen = f"{len(ready)} Ready engines, {len(others)} of them beyond the first one's node"
            raise HarnessError(
                f"{experiment} needs {self.survivors} on other nodes, there are {seen}"
            )
        node = _node(world, ready[0].node)
        return Plan(
            experiment=experiment,
            survivors=self.survivors,
            targets=(Target(kind="node", name=node.name, uid=node.uid, node=node.name),),
            bystanders=tuple(pod_target(pod, world.profile) for pod in others),
            before=tuple(pod.uid for pod in pods),
            ready=len(ready),
        )

    def spared(self, world: World, plan: Plan) -> str:
        """Return which engines are left, and how they are reached."""
        return f"survivors, {spared_engines(world, plan)}: {names(plan.bystanders)}"

    def look_again(self, world: World, plan: Plan) -> None:
        """Make sure that the node is there and Ready, and the survivors serve."""
        for target in plan.targets:
            node = _node(world, target.node)
            if node.uid != target.uid or not node.ready:
                raise HarnessError(f"the plan's {target} is not there and Ready; nothing was fired")
        still_serving(engines(world.cluster, world.profile), plan)


def _node(world: World, name: str) -> Node:
    document = world.cluster.get("Node", None, name)
    if document is None:
        raise HarnessError(f"there is no node {name}, on which an engine is said to run")
    return Node.parse(document)
