"""Engines that are restarted one after the other, and every node on which they may start."""

from typing import Literal

from pydantic import Field

from hotfire.chaos.aim import TargetWord
from hotfire.chaos.plan import Plan, World, engines, resolve_again
from hotfire.chaos.targets.engine_and_accelerator_nodes import engines_and_nodes, pods_of
from hotfire.cluster import Document, selects
from hotfire.errors import HarnessError


class EnginesInTurn(TargetWord):
    """The first engine pods by name; their disruption budget lets one go when the last is back.

    A step that is for pods must ask it, as ``evict`` does; one that is for nodes is done to all
    nodes with accelerators.
    """

    word: Literal["engines-in-turn"] = "engines-in-turn"
    count: int = Field(default=2, ge=2)
    """How many; with two, the second one's replacement can start where the first one was."""

    def resolve(self, world: World, experiment: str) -> Plan:
        """Return both as targets, the other engines as bystanders."""
        return engines_and_nodes(world, experiment, count=self.count, survivors=0)

    def spared(self, world: World, plan: Plan) -> str:
        """Return which budget keeps some of them serving at every moment."""
        hit = [resolve_again(world.cluster, one) for one in pods_of(plan).targets]
        found = world.cluster.list(
            "PodDisruptionBudget", world.profile.namespace, api_version="policy/v1"
        )
        mine = [
            one
            for one in found
            if all(selects((one.get("spec") or {}).get("selector"), pod.labels) for pod in hit)
        ]
        ready = sum(pod.serving for pod in engines(world.cluster, world.profile))
        for one in mine:
            if 0 < _allowed(one) < ready:
                name = one["metadata"]["name"]
                return f"PodDisruptionBudget {name} lets {_allowed(one)} of {ready} go at a time"
        raise HarnessError("no PodDisruptionBudget lets some engines go and keeps the others")

    def look_again(self, world: World, plan: Plan) -> None:
        """Make sure that all of them are there and Ready."""
        for target in pods_of(plan).targets:
            resolve_again(world.cluster, target)


def _allowed(budget: Document) -> int:
    return int((budget.get("status") or {}).get("disruptionsAllowed", 0))
