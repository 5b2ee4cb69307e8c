"""A part of the platform beside the engines, such as the gateway's control plane."""

from abc import abstractmethod
from typing import Final, Literal

from hotfire.chaos.aim import TargetWord, plan_beside_engines, spared_engines
from hotfire.chaos.plan import Plan, World, names
from hotfire.chaos.written import Target
from hotfire.cluster import Document
from hotfire.errors import HarnessError
from hotfire.profile import Role

KINDS: Final = {"deployments": "Deployment", "statefulsets": "StatefulSet"}


class PartWord(TargetWord):
    """One workload of the platform, while every engine goes on serving."""

    @abstractmethod
    def target(self, world: World) -> Target:
        """Return that workload as it is now.

        Raises:
            HarnessError: the target file does not say which it is, or it is not there.
        """

    def resolve(self, world: World, experiment: str) -> Plan:
        """Return that workload as the target, and every Ready engine as a bystander."""
        return plan_beside_engines(world, experiment, [self.target(world)], all_survive=True)

    def spared(self, world: World, plan: Plan) -> str:
        """Return which engines go on serving: all of them."""
        if not plan.bystanders:
            raise HarnessError("no engine is Ready")
        return f"every engine, {spared_engines(world, plan)}: {names(plan.bystanders)}"

    def look_again(self, world: World, plan: Plan) -> None:
        """Make sure that it is the same workload, and as large as it was."""
        now = self.target(world)
        if now.uid != plan.targets[0].uid:
            raise HarnessError(f"the plan's {plan.targets[0]} is another one now: {now.uid}")


class Component(PartWord):
    """The workload that the target file names for a role."""

    word: Literal["component"] = "component"
    role: Role

    def target(self, world: World) -> Target:
        """Return the workload of that role."""
        place = world.profile.components.get(self.role)
        if place is None:
            raise HarnessError(
                f"set components.{self.role} to the namespace and name of its workload"
            )
        found = workload(world, place.kind, place.namespace, place.name)
        if found is None:
            where = f"{place.kind} {place.namespace}/{place.name}"
            raise HarnessError(f"components.{self.role}: there is no {where}")
        return workload_target(found, f"{place.kind.lower()}s")


def workload_target(found: Document, resource: str) -> Target:
    """Return a workload as a target; ``resource`` names its kind as the API's paths do."""
    metadata = found["metadata"]
    return Target(
        kind="workload",
        name=metadata["name"],
        namespace=metadata["namespace"],
        uid=metadata["uid"],
        resource=resource,
    )


def workload(world: World, kind: str, namespace: str, name: str) -> Document | None:
    """Return a workload as it is now; None where there is none."""
    return world.cluster.get(kind, namespace, name, api_version="apps/v1")


def workload_of(world: World, target: Target) -> Document | None:
    """Return a target as it is now; None where that very object is gone."""
    found = workload(world, KINDS[target.resource], target.namespace, target.name)
    return found if found and found["metadata"]["uid"] == target.uid else None
