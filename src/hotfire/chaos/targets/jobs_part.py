"""A part of the queued jobs, such as their queue."""

from typing import Literal

from hotfire.chaos.aim import TargetWord, plan_beside_engines, spared_engines
from hotfire.chaos.parts import labels_of
from hotfire.chaos.plan import Plan, World, names, other_pod_target, resolve_again
from hotfire.cluster import Pod
from hotfire.errors import HarnessError
from hotfire.jobs import Part


class JobsPart(TargetWord):
    """Every pod of that part, while every engine goes on serving."""

    word: Literal["jobs-part"] = "jobs-part"
    part: Part

    def resolve(self, world: World, experiment: str) -> Plan:
        """Return these pods as targets, and every Ready engine as a bystander."""
        found = [pod for pod in pods_of(world, self.part) if pod.serving]
        if not found:
            raise HarnessError(f"no pod of jobs.parts.{self.part} is Ready")
        targets = list(map(other_pod_target, found))
        return plan_beside_engines(
            world, experiment, targets, at_most=len(targets), all_survive=True
        )

    def spared(self, world: World, plan: Plan) -> str:
        """Return which engines go on serving: all of them."""
        if not plan.bystanders:
            raise HarnessError("no engine is Ready")
        return f"every engine, {spared_engines(world, plan)}: {names(plan.bystanders)}"

    def look_again(self, world: World, plan: Plan) -> None:
        """Make sure that each of them is there and Ready."""
        for target in plan.targets:
            resolve_again(world.cluster, target)


def pods_of(world: World, part: Part) -> list[Pod]:
    """Return the pods of a part of the queued jobs.

    Raises:
        HarnessError: it is not declared whose they are.
    """
    jobs = world.profile.jobs
    selector = labels_of(jobs.parts if jobs else {}, part, section="jobs")
    return world.cluster.pods(world.profile.namespace, selector)
