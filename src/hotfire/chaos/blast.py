"""The blast radius: who exactly will be hit, and the proof that nobody else needs them."""

from collections.abc import Callable

from hotfire.chaos import holders, undo
from hotfire.chaos.fault import Fault
from hotfire.chaos.plan import Plan, World, names
from hotfire.chaos.together import side_by_side
from hotfire.chaos.written import Written
from hotfire.errors import HarnessError


class Proof(Written):
    """One condition that was found to hold before firing."""

    name: str
    detail: str


def resolve(world: World, fault: Fault) -> Plan:
    """Return who will be hit.

    Raises:
        HarnessError: there are too few for targets and survivors.
    """
    return fault.targets.resolve(world, fault.id)


def prove(world: World, fault: Fault, plan: Plan) -> list[Proof]:
    """Return what was shown to hold; whoever fires without it does so blindly.

    Raises:
        HarnessError: a condition does not hold; the message names it. Nothing was changed.
    """
    checks: tuple[tuple[str, Callable[[World, Fault, Plan], str]], ...] = (
        ("size", _size),
        ("allowed namespaces", _allowed),
        ("writes accepted", _accepted),
        ("capacity left", lambda world, fault, plan: fault.targets.spared(world, plan)),
        ("nothing else broken", _quiet),
    )
    proofs = []
    for name, check in checks:
        try:
            proofs.append(Proof(name=name, detail=check(world, fault, plan)))
        except HarnessError as error:
            raise HarnessError(f"{plan.experiment} is refused, {name}: {error}") from error
    return proofs


def _size(_world: World, _fault: Fault, plan: Plan) -> str:
    if not 0 < len(plan.targets) <= plan.at_most:
        raise HarnessError(f"{len(plan.targets)} targets, allowed are 1 to {plan.at_most}")
    return f"{len(plan.targets)} of at most {plan.at_most}: " + names(plan.targets)


def _allowed(world: World, _fault: Fault, plan: Plan) -> str:
    allowed = world.profile.allowed_namespaces
    # A node or a load lies in no namespace.
    if outside := {one.namespace for one in plan.targets if one.namespace} - set(allowed):
        raise HarnessError(f"{', '.join(sorted(outside))} is not in allowed_namespaces")
    return ", ".join(allowed)


def _accepted(world: World, fault: Fault, plan: Plan) -> str:
    shots = fault.shots(plan.targets)
    told = side_by_side(lambda shot: shot[0].rehearse(world, shot[1]), shots)
    return f"accepted by {', '.join(dict.fromkeys(told))}"


def _quiet(world: World, _fault: Fault, plan: Plan) -> str:
    """Return that nothing is broken, by the undo copies and by the nodes that will be hit.

    What an agent undoes on another node has its copy in the cluster, so that nobody need be asked
    there: a cluster may have thousands of nodes.
    """
    namespace = world.profile.system_namespace
    found = undo.copies(world.cluster, namespace)
    if found.unreadable:
        raise HarnessError(str(found.unreadable[0]))
    if left := found.entries:
        raise HarnessError(f"{left[0].fault} is not healed yet ({left[0].id}); run `hotfire heal`")
    hit = {target.node for target in plan.targets}
    nodes = [node for node in world.agent.nodes() if node in hit]
    for node, entries in zip(nodes, side_by_side(world.agent.open_entries, nodes), strict=True):
        if entries:
            raise HarnessError(f"node {node} has the open entry {entries[0].id}")
    held = holders.holder(world.cluster, namespace)
    return f"no open undo entry; the lease is held by {held.run_id if held else 'nobody'}"
