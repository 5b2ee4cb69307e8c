"""Engines have started from a slow model store, and none was restarted for being slow itself."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from hotfire.chaos.sighting import Scene, Sighting, SightingWord, all_of
from hotfire.chaos.sightings.cache_refilled import CacheRefilled, newcomers
from hotfire.chaos.sightings.store_slowed import shares_of_before
from hotfire.cluster import Document, Pod
from hotfire.errors import HarnessError
from hotfire.profile import TargetProfile

_REFILLED = CacheRefilled()


class SlowStartOver(SightingWord):
    """The copy was fetched anew, no container of the new pods had a second start, all are Ready."""

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
        started = [_started_once(scene, pod) for pod in newcomers(scene)]
        return all_of([*started, _REFILLED.look(scene)])

    def within_seconds(self, profile: TargetProfile, *, over: bool) -> float:
        """Return the time a pod may take to get Ready."""
        return _REFILLED.within_seconds(profile, over=over)


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
