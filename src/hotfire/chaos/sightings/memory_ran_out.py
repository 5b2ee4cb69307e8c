"""An engine ran out of the memory it computes in: killed by the kernel, or refused by its GPU."""

from typing import ClassVar, Final, Literal

from hotfire.agent import cuda
from hotfire.chaos.agent_answers import Observed
from hotfire.chaos.before import logged_since
from hotfire.chaos.sighting import EachTarget, Scene, Sighting
from hotfire.chaos.sightings.engine_restarted import restarts_since
from hotfire.chaos.written import Target
from hotfire.cluster import Container
from hotfire.errors import FaultNotInjected

_FULL_DEVICE_FREE_BYTES: Final = 64 << 20
_KILLED: Final = 137


class MemoryRanOut(EachTarget):
    """Out of memory, by the word of who took it and of who lost it."""

    word: Literal["memory-ran-out"] = "memory-ran-out"
    reads_log: ClassVar[bool] = True

    def look_at(self, scene: Scene, target: Target) -> Sighting:
        """Return whether one target did."""
        on_host = scene.world.profile.accelerator.memory == "host-cgroup"
        look = _killed_by_kernel if on_host else _refused_by_device
        return look(scene, target)


def device_is_full(observed: Observed) -> bool:
    """Return whether a GPU's memory is taken, by the word of who takes it.

    Raises:
        FaultNotInjected: that process has ended; the message is the last that it said.
    """
    if observed.exit_code is not None:
        raise FaultNotInjected(f"the GPU is not filled any more: {observed.said or 'killed'}")
    return observed.free_bytes is not None and observed.free_bytes <= _FULL_DEVICE_FREE_BYTES


def _killed_by_kernel(scene: Scene, target: Target) -> Sighting:
    observed, container = _observed(scene, target), _container(scene, target)
    restarted = bool(restarts_since(scene, target))
    ended = (container.last_terminated_reason, container.last_exit_code) if container else ("", 0)
    # The runtime's word is enough: the container's cgroup, and the count that the agent would have
    # read there, may be gone before anybody looks, and an engine may end with 0 when its worker was
    # killed. Where the runtime does not say so, the agent's count and the signal do.
    oom = ended[0] == "OOMKilled" or (bool(observed.oom) and ended[1] == _KILLED)
    words = (
        f"agent: OOM kills {observed.oom_kills}, {observed.filled_bytes} bytes filled; kubelet:"
        f" container {'restarted' if restarted else 'not restarted'}, ended {ended}"
    )
    return Sighting.of(restarted and oom, words)


def _refused_by_device(scene: Scene, target: Target) -> Sighting:
    observed = _observed(scene, target)
    if not device_is_full(observed):
        return Sighting("no", f"agent: {observed.free_bytes} bytes of the GPU are free")
    log = scene.world.cluster.logs(
        target.namespace,
        target.name,
        container=scene.world.profile.engine.container,
        previous=bool(restarts_since(scene, target)),
        timestamps=True,
    )
    new = logged_since(log, scene.before.last_logged.get(target.uid, ""))
    found = next((text for text in cuda.REFUSALS if text in new), "")
    words = f"agent: {observed.free_bytes} bytes free; engine log: {found or 'no refusal yet'}"
    return Sighting.of(bool(found), words)


def _observed(scene: Scene, target: Target) -> Observed:
    return scene.world.agent.entry(target.node, scene.entry_of(target.uid).id).observed


def _container(scene: Scene, target: Target) -> Container | None:
    pod = scene.world.cluster.pod(target.namespace, target.name)
    return pod.container(scene.world.profile.engine.container) if pod else None
