"""Members of the control plane, whether they are nodes of the cluster or not."""

from typing import ClassVar, Final, Literal

from pydantic import Field

from hotfire.chaos.aim import TargetWord, plan_beside_engines, spared_engines, still_serving
from hotfire.chaos.plan import Plan, World, engines, names
from hotfire.chaos.written import Target
from hotfire.errors import HarnessError

_LABEL: Final = {"node-role.kubernetes.io/control-plane": ""}


class ControlPlaneMembers(TargetWord):
    """The first of them by name; every engine goes on serving."""

    alone: ClassVar[bool] = True
    word: Literal["control-plane-members"] = "control-plane-members"
    hit: Literal["one", "majority", "all"]
    """How many of them; one means that the others keep their quorum."""
    of_at_least: int = Field(default=1, ge=1)
    """How many there must be."""

    def resolve(self, world: World, experiment: str) -> Plan:
        """Return them as targets, and every Ready engine as a bystander."""
        there = members(world)
        if len(there) < self.of_at_least:
            raise HarnessError(
                f"{experiment} needs {self.of_at_least} members of the control plane, seen are"
                f" {', '.join(there) or 'none'}; name machines that are no nodes in"
                " control_plane.agents"
            )
        count = {"one": 1, "majority": len(there) // 2 + 1, "all": len(there)}[self.hit]
        hit = [Target(kind="node", name=n, uid=n, node=n) for n in there[:count]]
        plan = plan_beside_engines(world, experiment, hit, at_most=count, all_survive=True)
        # Nodes that were not heard of meanwhile may have lost theirs.
        return plan.model_copy(update={"ready": len(plan.bystanders)})

    def spared(self, world: World, plan: Plan) -> str:
        """Return which engines go on serving: all of them."""
        if not plan.bystanders:
            raise HarnessError("no engine is Ready")
        return f"every engine, {spared_engines(world, plan)}: {names(plan.bystanders)}"

    def look_again(self, world: World, plan: Plan) -> None:
        """Make sure that all engines are there and Ready."""
        still_serving(engines(world.cluster, world.profile), plan)


def members(world: World) -> list[str]:
    """Return the control plane's members by name: machines of the target file, else nodes."""
    if agents := world.profile.control_plane.agents:
        return sorted(agents)
    labelled = {node.name for node in world.cluster.nodes(_LABEL)}
    return sorted(labelled & set(world.agent.nodes()))
