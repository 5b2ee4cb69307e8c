"""The radius of faults that overlap: whether they may, and who is hit and left in all. Pure.

Two faults that each spare enough may together spare nothing. So no thing is hit twice, no node may
lose what carries it by two faults, and of the engines no more are hit than the widest of the faults
may hit alone, and as many are left as the most careful one wants.
"""

from collections.abc import Sequence
from itertools import combinations

from hotfire.chaos.plan import Plan, names
from hotfire.chaos.written import Target

_ENGINE = {"pod", "device"}
_PATH = {"link", "node"}


def conflict(plans: Sequence[Plan]) -> str:
    """Return why faults with these plans must not be there at a time; empty: they may."""
    for first, second in combinations(plans, 2):
        if twice := _hit_by_both(first, second):
            return f"{first.experiment} and {second.experiment} would both hit {names(twice)}"
    hit = [one for plan in plans for one in _engines(plan)]
    wide = max((plan.at_most for plan in plans if _engines(plan)), default=0)
    if len(hit) > wide:
        return f"{len(hit)} engines would be hit, and none of the faults may hit more than {wide}"
    needed = max((plan.survivors for plan in plans if _engines(plan)), default=0)
    left = _bystanders(plans)
    if len(left) < needed:
        return f"{len(left)} engines would be left, and {needed} must be"
    return ""


def together(experiment: str, plans: Sequence[Plan]) -> Plan:
    """Return the plan of several faults that may overlap; each target knows whose it is."""
    parts = tuple(_numbered(plan, number) for number, plan in enumerate(plans))
    targets = tuple(one for part in parts for one in part.targets)
    bystanders = _bystanders(plans)
    return Plan(
        experiment=experiment,
        at_most=len(targets),
        survivors=len(bystanders),
        targets=targets,
        bystanders=bystanders,
        before=tuple(dict.fromkeys(uid for part in parts for uid in part.before)),
        ready=max(part.ready for part in parts),
        parts=parts,
    )


def _numbered(plan: Plan, number: int) -> Plan:
    hit = tuple(one.model_copy(update={"part": number}) for one in plan.targets)
    return plan.model_copy(update={"targets": hit})


def _hit_by_both(first: Plan, second: Plan) -> list[Target]:
    places = {place for one in second.targets for place in _places(one)}
    return [one for one in first.targets if places.intersection(_places(one))]


def _places(target: Target) -> set[tuple[str, str]]:
    """Return what is taken by a target, as far as nothing else may take it, too."""
    if target.kind in _PATH:
        # Two uplinks of a node, or one and the routing over both, may be all that it has.
        return {("path", target.node)}
    return {("thing", target.uid or target.name)}


def _engines(plan: Plan) -> list[Target]:
    return [one for one in plan.targets if one.kind in _ENGINE and one.uid in plan.before]


def _bystanders(plans: Sequence[Plan]) -> tuple[Target, ...]:
    """Return the engines that were Ready and that none of the faults hits."""
    hit = {one.uid for plan in plans for one in _engines(plan)}
    found = {one.uid: one for plan in plans for one in plan.bystanders if one.uid not in hit}
    return tuple(found.values())
