"""What experiment files name to break something, and to end it; each needs an armed plan."""

import time

from hotfire.chaos import blast, heal
from hotfire.chaos.agent_client import AgentEntry
from hotfire.chaos.armed import Shot
from hotfire.errors import FaultNotInjected, RollbackFailed
from hotfire.waiting import pause


def kill_one_pod() -> str:
    """Delete the planned pod without grace, that very pod and no other of its name."""
    shot = _aimed()
    target = shot.target
    at_ns = time.time_ns()
    there = shot.cluster.delete(
        "Pod", target.namespace, target.pod, uid=target.uid, grace_seconds=0
    )
    if not there:
        raise FaultNotInjected(f"{target} was gone before it was deleted")
    return _injected(shot, at_ns, source="the API server accepted the deletion")


def cut_uplink_silently() -> str:
    """Drop all frames of the planned link on its node; the link itself stays up."""
    shot = _aimed()
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
    shot.tell("healed", source="the undo was asked for")
    return _healed(shot)


def release_memory() -> str:
    """Give back the memory that was taken; the engine's own return is probed afterwards."""
    shot = Shot.from_environment()
    shot.tell("healed", source="the undo was asked for")
    if problems := shot.agent.heal(shot.target.node, shot.armed.entry.id):
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
    return shot


def _fire(shot: Shot, op: str, **args: str) -> str:
    at_ns = time.time_ns()
    entry: AgentEntry = shot.agent.fire(shot.target.node, op, shot.armed.entry.id, **args)
    return _injected(shot, at_ns, source=f"agent on {shot.target.node}", entry=entry.id)


def _injected(shot: Shot, at_ns: int, *, source: str, **data: object) -> str:
    # The window opens when the order was given: the effect can only come after it.
    shot.tell("injected", source=source, at_ns=at_ns, target=str(shot.target), **data)
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
