"""What experiment files name to look: each probe returns a bool, or raises when it cannot tell."""

import time
from collections.abc import Callable
from typing import Final, TypeVar

from hotfire.agent import cuda
from hotfire.chaos import before, blast, heal
from hotfire.chaos.agent_client import LinkState, Observed
from hotfire.chaos.armed import Shot, tell
from hotfire.errors import FaultNotInjected
from hotfire.measure import bands, history, recovery
from hotfire.waiting import Awaited, of_target

T = TypeVar("T")
_SECOND_NS: Final = 1_000_000_000
_FULL_DEVICE_FREE_BYTES: Final = 64 << 20
_KILLED: Final = 137


def slo_is_met() -> bool:
    """Return whether users are served as in the baseline, which ended where this first ran.

    Before the fault the load's whole history is the baseline and judged as such; later the last
    window is held against its bands.
    """
    shot = Shot.from_environment()
    rows = recovery.settled(history.load(shot.armed.history))
    injected_ns = _event_ns(shot, "injected") or time.time_ns()
    baseline = [row for row in rows if row.sched_ns < injected_ns]
    measurement = shot.profile.measurement
    limits = bands.Bands.from_baseline(baseline, shot.profile.budgets, measurement)
    later = [row for row in rows if row.sched_ns >= injected_ns]
    window_ns = time.time_ns() - round(measurement.window_seconds * _SECOND_NS)
    recent = [row for row in later if row.sched_ns >= window_ns] if later else baseline
    steady = bands.steady(recent, limits)
    tell(
        shot.run,
        "steady-state",
        source="the load's history",
        experiment=shot.plan.experiment,
        kind="phase",
        data={"holds": steady.holds, "reason": steady.reason, "requests": len(recent)},
    )
    return steady.holds


def pod_is_gone() -> bool:
    """Return whether the killed pod's uid left the API and every Service, and a new one came."""
    shot = Shot.from_environment()
    known = set(before.recorded(shot).engines)

    def seen() -> str:
        pods = blast.engines(shot.cluster, shot.profile)
        served = {one.pod_uid for one in shot.cluster.endpoints(shot.target.namespace)}
        if shot.target.uid in served.union(pod.uid for pod in pods):
            return ""
        came = {pod.uid for pod in pods if not (pod.over or pod.deleting)}
        return ", ".join(sorted(came - known))

    return _took_effect(shot, seen, source="API server: old uid gone, new uid seen")


def uplink_is_cut() -> bool:
    """Return whether frames are dropped while the carrier stays, and BFD noticed where it runs."""
    shot = Shot.from_environment()

    def seen() -> str:
        state = _link(shot)
        down = state.bfd and all(session.state != "Up" for session in state.bfd)
        noticed = bool(down) or shot.profile.fabric.routing is None
        dropped = sum(state.drops.values())
        return f"{dropped} dropped" if state.carrier and dropped and noticed else ""

    return _took_effect(shot, seen, source=f"agent on {shot.target.node}")


def memory_ran_out() -> bool:
    """Return whether the engine ran out of the memory it computes in."""
    shot = Shot.from_environment()
    if shot.profile.accelerator.memory == "host-cgroup":
        return _took_effect(shot, lambda: _killed_by_kernel(shot), source="agent and kubelet")
    return _took_effect(shot, lambda: _refused_by_device(shot), source="agent and engine log")


def engines_are_ready() -> bool:
    """Return whether as many engines are Ready as before the fault."""
    shot = Shot.from_environment()
    wanted = len(shot.plan.targets) + len(shot.plan.bystanders)
    return _proven_healed(
        shot,
        lambda: heal.ready_engines(shot.world) >= wanted,
        within_seconds=shot.profile.waits.pod_ready_seconds,
    )


def uplink_is_back() -> bool:
    """Return whether nothing is dropped any more, and BFD is up again where it runs."""
    shot = Shot.from_environment()

    def back() -> bool:
        state = _link(shot)
        up = bool(state.bfd) and all(session.state == "Up" for session in state.bfd or ())
        return not state.drops and (up or shot.profile.fabric.routing is None)

    return _proven_healed(shot, back, within_seconds=shot.profile.waits.healing_seconds)


def device_is_full(observed: Observed) -> bool:
    """Return whether a GPU's memory is taken, by the word of who takes it.

    Raises:
        FaultNotInjected: that process has ended; the message is the last that it said.
    """
    if observed.exit_code is not None:
        raise FaultNotInjected(f"the GPU is not filled any more: {observed.said or 'killed'}")
    return observed.free_bytes is not None and observed.free_bytes <= _FULL_DEVICE_FREE_BYTES


def _took_effect(shot: Shot, seen: Callable[[], str], *, source: str) -> bool:
    """Wait for the effect and write when it was seen; False if it did not come in time.

    Raises:
        HarnessError: nobody could look, so that it is not known.
    """
    try:
        found = _looked_for(
            shot,
            seen,
            within_seconds=shot.profile.waits.injection_seconds,
            what=f"the effect on {shot.target}",
        )
        reason = str(found)
    except FaultNotInjected as error:
        found, reason = None, str(error)
    if not found:
        shot.tell("no-effect", source=source, reason=reason)
        return False
    shot.tell("took-effect", source=source, seen=found.seen)
    return True


def _proven_healed(shot: Shot, healed: Callable[[], bool], *, within_seconds: float) -> bool:
    """Wait for the end of the fault and write when it was seen; False if it was seen to last.

    Raises:
        HarnessError: nobody could look, so that it is not known.
    """
    found = _looked_for(shot, healed, within_seconds=within_seconds, what=f"{shot.target} healed")
    if not found:
        shot.tell("not-healed", source="probe", reason=str(found))
        return False
    shot.tell("verified-healed", source="probe")
    return True


def _looked_for(
    shot: Shot, seen: Callable[[], T], *, within_seconds: float, what: str
) -> Awaited[T]:
    """Wait for the target; time in which the API server let nobody look is not the target's."""
    return of_target(
        seen,
        within_seconds=within_seconds,
        what=what,
        excused_seconds=shot.cluster.silent_seconds,
    )


def _killed_by_kernel(shot: Shot) -> str:
    target, name = shot.target, shot.profile.engine.container
    observed = _observed(shot)
    pod = shot.cluster.pod(target.namespace, target.pod)
    container = pod.container(name) if pod else None
    if not (observed.oom and container and container.restarts > before.recorded(shot).restarts):
        return ""
    ended = container.last_terminated_reason, container.last_exit_code
    oom = ended[0] == "OOMKilled" or ended[1] == _KILLED
    return f"OOM kills {observed.oom_kills}, container ended {ended}" if oom else ""


def _refused_by_device(shot: Shot) -> str:
    observed = _observed(shot)
    if not device_is_full(observed):
        return ""
    target, name, there_before = shot.target, shot.profile.engine.container, before.recorded(shot)
    restarted = False
    if pod := shot.cluster.pod(target.namespace, target.pod):
        container = pod.container(name)
        restarted = container is not None and container.restarts > there_before.restarts
    log = shot.cluster.logs(
        target.namespace, target.pod, container=name, previous=restarted, timestamps=True
    )
    new = before.logged_since(log, there_before)
    found = next((text for text in cuda.REFUSALS if text in new), "")
    return f"{observed.free_bytes} bytes free, the log says {found!r}" if found else ""


def _observed(shot: Shot) -> Observed:
    return shot.agent.entry(shot.target.node, shot.armed.entry.id).observed


def _link(shot: Shot) -> LinkState:
    return shot.agent.link_state(shot.target.node, shot.target.link)


def _event_ns(shot: Shot, what: str) -> int | None:
    mine = [one for one in shot.run.events() if one.experiment == shot.plan.experiment]
    return next((one.at_ns for one in reversed(mine) if one.what == what), None)
