"""What every word for targets can do: choose them, show that others suffice, and look again."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from hotfire.chaos.plan import Plan, World, engines, names, pod_target, resolve_again
from hotfire.chaos.reach import shown_reachable
from hotfire.chaos.words import Word
from hotfire.chaos.written import Target
from hotfire.cluster import Pod, selects
from hotfire.errors import HarnessError


class TargetWord(Word):
    """Who is hit."""

    alone: ClassVar[bool] = False
    """Whether it takes so much away that no other fault may be there beside it."""

    @property
    def engines_needed(self) -> int:
        """How many Ready engines there must be; 0: it does not depend on their number."""
        return 0

    @abstractmethod
    def resolve(self, world: World, experiment: str) -> Plan:
        """Return who will be hit, the same at each call while the cluster stays as it is.

        Raises:
            HarnessError: there are too few for targets and survivors.
        """

    @abstractmethod
    def spared(self, world: World, plan: Plan) -> str:
        """Return in words what is left to serve users.

        Raises:
            HarnessError: too little is; nothing was changed.
        """

    def look_again(self, world: World, plan: Plan) -> None:
        """Make sure, at the moment of firing, that targets and bystanders are as planned.

        Raises:
            HarnessError: they are not; nothing was fired.
        """


class EngineTargetWord(TargetWord):
    """Some of the engine pods, or what hangs on them; the others survive."""

    count: int = 1
    """How many engines are hit."""
    survivors: int = 1
    """How many must be left unharmed and Ready."""

    @property
    def engines_needed(self) -> int:
        """Those that are hit, and those that must be left."""
        return self.count + self.survivors

    def look_again(self, world: World, plan: Plan) -> None:
        """Make sure that targets and survivors are there and Ready."""
        for target in plan.targets:
            resolve_again(world.cluster, target)
        still_serving(engines(world.cluster, world.profile), plan)

    def spared(self, world: World, plan: Plan) -> str:
        """Return which engines are left, and how they are reached; budgets must allow it."""
        _require_budget(world, plan)
        return f"survivors, {spared_engines(world, plan)}: {names(plan.bystanders)}"


def plan_engines(
    world: World,
    experiment: str,
    *,
    count: int,
    survivors: int,
    kind: str = "pod",
    link: str = "",
) -> Plan:
    """Return Ready engine pods as targets, so chosen that a plan is repeatable.

    Those first that were restarted least often: the kubelet makes each restart of a container wait
    longer than the one before, and what earlier faults brought about is not to be this one's.

    Raises:
        HarnessError: there are too few Ready engine pods for targets and survivors.
    """
    profile = world.profile
    pods = engines(world.cluster, profile)
    serving = (pod for pod in pods if pod.serving)
    ready = sorted(serving, key=lambda pod: (pod.restarts, pod.name))
    if len(ready) < count + survivors:
        seen = f"{len(ready)} Ready engine pods match {profile.engine.label_selector}"
        needed = count + survivors
        raise HarnessError(f"{experiment} needs {needed} in {profile.namespace}, {seen}")
    return Plan(
        experiment=experiment,
        at_most=count,
        survivors=survivors,
        targets=tuple(pod_target(pod, profile, kind=kind, link=link) for pod in ready[:count]),
        bystanders=tuple(pod_target(pod, profile) for pod in ready[count:]),
        before=tuple(pod.uid for pod in pods),
        ready=len(ready),
    )


def plan_beside_engines(
    world: World,
    experiment: str,
    targets: Sequence[Target],
    *,
    at_most: int = 1,
    all_survive: bool = False,
) -> Plan:
    """Return a plan that hits no engine: every Ready one is a bystander, none has to come back.

    With ``all_survive`` each of them has to be left Ready for it to be fired.
    """
    pods = engines(world.cluster, world.profile)
    bystanders = tuple(pod_target(pod, world.profile) for pod in pods if pod.serving)
    return Plan(
        experiment=experiment,
        at_most=at_most,
        survivors=len(bystanders) if all_survive else 0,
        targets=tuple(targets),
        bystanders=bystanders,
        before=tuple(pod.uid for pod in pods),
    )


def still_serving(pods: Sequence[Pod], plan: Plan) -> list[Pod]:
    """Return the bystanders among these pods.

    Raises:
        HarnessError: so many of them are gone, ending or not Ready that too few would be left.
    """
    uids = {one.uid for one in plan.bystanders}
    found = [pod for pod in pods if pod.uid in uids and pod.serving]
    if len(found) < min(plan.survivors, len(uids)):
        there = {pod.uid for pod in found}
        lost = [one for one in plan.bystanders if one.uid not in there]
        raise HarnessError(f"survivors are not Ready any more: {names(lost)}; nothing was fired")
    return found


def spared_engines(world: World, plan: Plan) -> str:
    """Return how the engines that are left are reached.

    Raises:
        HarnessError: too few are left, or users do not get at them.
    """
    if len(plan.bystanders) < plan.survivors:
        raise HarnessError(f"{len(plan.bystanders)} survivors, needed {plan.survivors}")
    pods = engines(world.cluster, world.profile)
    return shown_reachable(world.cluster, still_serving(pods, plan), pods)


def _require_budget(world: World, plan: Plan) -> None:
    """Refuse what a PodDisruptionBudget would not allow, though a deletion does not ask it."""
    namespace = world.profile.namespace
    found = world.cluster.list("PodDisruptionBudget", namespace, api_version="policy/v1")
    victims = [resolve_again(world.cluster, target) for target in plan.targets]
    for budget in found:
        selector = (budget.get("spec") or {}).get("selector")
        hit = sum(selects(selector, pod.labels) for pod in victims)
        # Without a status its controller has not counted yet, and allows nothing.
        allowed = (budget.get("status") or {}).get("disruptionsAllowed", 0)
        if allowed < hit:
            name = budget["metadata"]["name"]
            raise HarnessError(f"PodDisruptionBudget {name} allows {allowed} disruptions")
