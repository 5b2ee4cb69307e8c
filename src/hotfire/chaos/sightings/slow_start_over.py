"""Engines have started from a slow model store, and none was restarted for being slow itself."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from hotfire.chaos.sighting import Scene, Sighting, SightingWord, all_of
from hotfire.chaos.sightings.cache_refilled import fetched_anew, newcomers, started_seconds
from hotfire.chaos.sightings.cache_spoiled import spoiled
from hotfire.chaos.sightings.engines_ready import EnginesReady
from hotfire.chaos.sightings.store_slowed import shares_of_before, slow_entry
from hotfire.cluster import Document, Pod
from hotfire.errors import HarnessError
from hotfire.profile import TargetProfile

_READY = EnginesReady()


class SlowStartOver(SightingWord):
    """What they load was fetched meanwhile, none had a second start, and all are Ready."""

    word: Literal["slow-start-over"] = "slow-start-over"
    at_least_percent: float = Field(gt=0, lt=100)
    """What each node gets again, of before; far below all of it, since rates vary by themselves."""

    def look(self, scene: Scene) -> Sighting:
        """Return whether all of it is so.

        Raises:
            HarnessError: the store is slow still, which no engine can help.
        """
        for node, share in shares_of_before(scene).items():
            if share < self.at_least_percent:
                raise HarnessError(f"{node} gets {share:.1f} % of before from the model store")
        new, copies = newcomers(scene), spoiled(scene)
        cold = [
            fetched_anew(scene, pod, copies[pod.node])
            if pod.node in copies
            else _first_fetch(scene, pod)
            for pod in new
        ]
        once = [_started_once(scene, pod) for pod in new]
        return all_of([*once, *cold, _READY.look(scene)])

    def within_seconds(self, profile: TargetProfile, *, over: bool) -> float:
        """Return the time a pod may take to get Ready."""
        return _READY.within_seconds(profile, over=over)


def _first_fetch(scene: Scene, pod: Pod) -> Sighting:
    """Return whether an engine started while its node, which never had a copy, got it slowly."""
    started, slow = started_seconds(scene, pod), _slow_until(scene, pod.node)
    if started is None:
        return Sighting("no", f"{pod.name} on {pod.node or 'no node'} has not started")
    # The kubelet tells whole seconds, by the same clock as the agent.
    if slow is not None and started + 1 > slow:
        raise HarnessError(f"{pod.name} started only after the store was as fast as before")
    return Sighting("yes", f"{pod.name} fetched what {pod.node} never had")


def _slow_until(scene: Scene, node: str) -> float | None:
    """Return when a node's agent took the limit away; None: it never set one."""
    targets = (one for one in scene.plan.targets if one.kind == "node" and one.node == node)
    found = next((slow_entry(scene, one) for one in targets), None)
    return found.observed.healed_at_seconds if found else None


def _started_once(scene: Scene, pod: Pod) -> Sighting:
    found = scene.world.cluster.get("Pod", pod.namespace, pod.name)
    if found is None:
        return Sighting("unknown", f"API server: {pod.name} is gone again")
    again = {one["name"]: int(one["restartCount"]) for one in _statuses(found)}
    more = ", ".join(f"{name} {count} times" for name, count in again.items() if count)
    return Sighting.of(not more, f"API server: restarted in {pod.name}: {more or 'nothing'}")


def _statuses(pod: Document) -> Iterator[Document]:
    status = pod.get("status") or {}
    yield from status.get("initContainerStatuses") or ()
    yield from status.get("containerStatuses") or ()
