"""No engine has started from a spoiled copy of its model: the copy was put right before."""

from datetime import datetime
from typing import Literal

from hotfire.chaos.agent_answers import AgentEntry
from hotfire.chaos.plan import engines
from hotfire.chaos.sighting import Scene, Sighting, SightingWord, all_of
from hotfire.chaos.sightings.cache_spoiled import spoiled
from hotfire.chaos.sightings.engines_ready import EnginesReady
from hotfire.cluster import Document, Pod
from hotfire.errors import HarnessError
from hotfire.profile import TargetProfile

_READY = EnginesReady()


class CacheRefilled(SightingWord):
    """Each engine that is new on such a node found another file there; all engines are Ready."""

    word: Literal["cache-refilled"] = "cache-refilled"

    def look(self, scene: Scene) -> Sighting:
        """Return whether all of it is so.

        Raises:
            HarnessError: no engine has started on such a node while its copy was spoiled.
        """
        nodes = spoiled(scene)
        new = newcomers(scene) if nodes else []
        mine = [pod for pod in new if pod.node in nodes]
        if nodes and not mine and all(pod.node for pod in new):
            came = ", ".join(sorted({pod.node for pod in new})) or "no node"
            raise HarnessError(f"spoiled were {', '.join(nodes)}, but engines started on {came}")
        words = f"agents: {len(nodes)} copies were spoiled, {len(mine)} engines started on them"
        known = Sighting.of(bool(mine) or not nodes, words)
        told = [fetched_anew(scene, pod, nodes[pod.node]) for pod in mine]
        return all_of([known, *told, _READY.look(scene)])

    def within_seconds(self, profile: TargetProfile, *, over: bool) -> float:
        """Return the time a pod may take to get Ready."""
        return _READY.within_seconds(profile, over=over)


def newcomers(scene: Scene) -> list[Pod]:
    """Return the engine pods that were not there before the fault."""
    there = engines(scene.world.cluster, scene.world.profile)
    return [pod for pod in there if pod.uid not in scene.before.engines]


def fetched_anew(scene: Scene, pod: Pod, entry: AgentEntry) -> Sighting:
    """Return whether an engine's start on a spoiled copy has put that right before."""
    if entry.observed.repaired:
        return Sighting("yes", f"agent on {pod.node}: the spoiled copy was put right by others")
    started, ended = started_seconds(scene, pod), entry.observed.healed_at_seconds
    if started is None or ended is None:
        return Sighting("no", f"{pod.name} on {pod.node} has not started")
    # The kubelet tells whole seconds, by the same clock as the agent.
    if started + 1 <= ended:
        return Sighting("no", f"{pod.name} has started from the spoiled copy of {pod.node}")
    raise HarnessError(f"{pod.name} started only after we had put the copy of {pod.node} back")


def started_seconds(scene: Scene, pod: Pod) -> float | None:
    """Return when an engine's container started, by its node's clock; None: it does not run."""
    found = scene.world.cluster.get("Pod", pod.namespace, pod.name)
    if found is None:
        raise HarnessError(f"{pod.name} is gone again")
    name = scene.world.profile.engine.container
    statuses = (found.get("status") or {}).get("containerStatuses") or ()
    running: Document = next(
        ((one.get("state") or {}).get("running") or {} for one in statuses if one["name"] == name),
        {},
    )
    text = running.get("startedAt")
    return datetime.fromisoformat(str(text)).timestamp() if text else None
