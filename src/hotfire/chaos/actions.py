"""What experiment files name to break something, and to end it; each needs an armed plan."""

import time

from hotfire.chaos import before, blast, heal
from hotfire.chaos.agent_client import AgentEntry, LinkState
from hotfire.chaos.armed import Shot
from hotfire.chaos.before import Before
from hotfire.errors import FaultNotInjected, HarnessError, RollbackFailed
from hotfire.waiting import pause


def kill_one_pod() -> str:
    """Delete the planned pod without grace, that very pod and no other of its name."""
    shot = _aimed()
    target, there_before = shot.target, before.observed(shot)
    at_ns = time.time_ns()
    there = shot.cluster.delete(
        "Pod", target.namespace, target.pod, uid=target.uid, grace_seconds=0
    )
    if not there:
        raise FaultNotInjected(f"{target} was gone before it was deleted")
    return _injected(shot, at_ns, there_before, source="the API server accepted the deletion")


def cut_uplink_silently() -> str:
    """Drop all frames of the planned link on its node; the link itself stays up."""
    shot = _aimed()
    state = shot.agent.link_state(shot.target.node, shot.target.link)
    if trouble := _lossy(shot, state):
        raise HarnessError(f"{shot.target} was not whole: {trouble}; nothing was fired")
    return _fire(shot, "link.silent_loss", link=shot.target.link)


def fill_accelerator_memory() -> str:
    """Take the memory the planned engine computes in, until something has to give."""
    shot = _aimed()
    target = shot.target
    if shot.profile.accelerator.memory == "host-cgroup":
        return _fire(shot, "cgroup.hog", pod_uid=target.uid, container_id=target.container_id)
    return _fire(shot, "device.hog", uuid=_device(shot))


def hold(seconds: float) -> str:
    """Let a lasting fault last, renewing its lease at a third of it."""
    shot = Shot.from_environment()
    entry, left = shot.armed.entry, seconds
    renewal = shot.profile.agent.lease_seconds / 3
    while left > 0:
        step = min(left, renewal)
        pause(step, why="the fault lasts this long by its definition")
        left -= step
        shot.require_open()
        if left > 0:
            shot.agent.renew(shot.target.node, entry.id)
    return f"held for {seconds:g} s"


def end_fault() -> str:
    """Undo the fault now, as a part of the method, and write when."""
    shot = Shot.from_environment()
    try:
        shot.tell("healed", source="the undo was asked for")
    finally:
        # Also where the disk takes no line.
        detail = _healed(shot)
    return detail


def release_memory() -> str:
    """Give back the memory that was taken; the engine's own return is probed afterwards."""
    shot = Shot.from_environment()
    try:
        shot.tell("healed", source="the undo was asked for")
    finally:
        problems = shot.agent.heal(shot.target.node, shot.armed.entry.id)
    if problems:
        raise RollbackFailed("; ".join(problems))
    return "released"


def heal_fault() -> str:
    """Undo the fault if anything of it is left; the rollback of every experiment."""
    return _healed(Shot.from_environment())


def _aimed() -> Shot:
    shot = Shot.from_environment()
    shot.require_open()
    shot.require_held()
    for target in shot.plan.targets:
        blast.resolve_again(shot.cluster, target)
    if shot.plan.radius.kind != "Uplink":
        blast.still_serving(blast.engines(shot.cluster, shot.profile), shot.plan)
    return shot


def _lossy(shot: Shot, state: LinkState) -> str:
    """Return what a silent loss would be proven by, where it shows before there is one."""
    if not state.carrier:
        return "no carrier"
    if state.drops:
        return f"our own rules drop frames already: {state.drops}"
    watched = shot.profile.fabric.routing is not None
    return "BFD is not up" if watched and not blast.all_up(state.bfd) else ""


def _fire(shot: Shot, op: str, **args: str) -> str:
    there_before = before.observed(shot, log=op == "device.hog")
    at_ns = time.time_ns()
    entry: AgentEntry = shot.agent.fire(shot.target.node, op, shot.armed.entry.id, **args)
    source = f"agent on {shot.target.node}"
    return _injected(shot, at_ns, there_before, source=source, entry=entry.id)


def _injected(shot: Shot, at_ns: int, there_before: Before, *, source: str, **data: object) -> str:
    # The window opens when the order was given: the effect can only come after it.
    told = {"target": str(shot.target), before.KEY: there_before.model_dump(), **data}
    shot.tell("injected", source=source, at_ns=at_ns, **told)
    shot.fired()
    return f"fired at {shot.target}"


def _healed(shot: Shot) -> str:
    limit = shot.profile.waits.healing_seconds
    done = heal.heal_entry(shot.world, shot.armed.entry, within_seconds=limit)
    if not done.verified:
        raise RollbackFailed(f"{done.entry_id}: {done.detail}")
    return done.detail


def _device(shot: Shot) -> str:
    target = shot.target
    for grant in shot.agent.device_grants(target.node):
        mine = (grant.namespace, grant.pod) == (target.namespace, target.pod)
        if mine and grant.resource == shot.profile.accelerator.resource and grant.device_ids:
            return grant.device_ids[0]
    resource = shot.profile.accelerator.resource
    raise FaultNotInjected(f"the kubelet gave {target} no {resource}; set accelerator.resource")
