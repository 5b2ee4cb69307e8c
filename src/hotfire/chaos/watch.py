"""Watching while a fault lasts: ready endpoints, engines that start, shares, harm to others."""

import threading
from typing import Final, Self

from hotfire.chaos import canary
from hotfire.chaos.armed import tell
from hotfire.chaos.plan import Plan, engines
from hotfire.cluster import Cluster, Pod
from hotfire.errors import HarnessError
from hotfire.profile import TargetProfile
from hotfire.rundir import RunDirectory

_POLL_SECONDS: Final = 0.5
GATE: Final = "promotion-gate"
"""The claim that a gate moves the weights of the HTTPRoute, whosever it is."""


class Watch:
    """A thread that writes watch events; a context manager around the whole experiment."""

    def __init__(
        self, cluster: Cluster, profile: TargetProfile, run: RunDirectory, plan: Plan
    ) -> None:
        # It looks again anyway, and must end soon when it is over.
        self._cluster = cluster.expecting_silence()
        self._profile = profile
        self._run = run
        self._plan = plan
        self._ready: int | None = None
        self._running: set[str] | None = None
        self._share: float | None = None
        self._told: set[tuple[str, str, int]] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(self._profile.waits.api_seconds * 3)

    def _watch(self) -> None:
        while not self._over.wait(_POLL_SECONDS):
            try:
                pods = engines(self._cluster, self._profile)
                self._note_ready(pods)
                self._note_started(pods)
                self._note_beyond(pods)
                self._note_share()
            except HarnessError:
                # A gap in this series is honest; the verdict does not rest on it.
                continue

    def _note_ready(self, pods: list[Pod]) -> None:
        uids = {pod.uid for pod in pods}
        found = self._cluster.endpoints(self._profile.namespace)
        mine = [one for one in found if one.pod_uid in uids]
        ready = len({one.pod_uid for one in mine if one.ready})
        if not mine:
            # No Service names them, as behind an InferencePool: their readiness is what counts.
            ready = sum(pod.serving for pod in pods)
        if ready != self._ready:
            self._ready = ready
            self._tell("ready-endpoints", {"ready": ready})

    def _note_started(self, pods: list[Pod]) -> None:
        """Write each engine container that runs and did not when we last looked."""
        found = [(pod, pod.container(self._profile.engine.container)) for pod in pods]
        running = {one.container_id: pod for pod, one in found if one and one.state == "running"}
        if self._running is not None:
            for container_id in running.keys() - self._running:
                self._tell("engine-started", {"pod": running[container_id].name})
        self._running = (self._running or set()) | running.keys()

    def _note_beyond(self, pods: list[Pod]) -> None:
        """Write each bystander that was restarted, deleted or replaced: nobody aimed at it.

        What happens before the fault is written too, so that a second time is told from the first.
        """
        present = {pod.uid: pod for pod in pods}
        for bystander in self._plan.bystanders:
            pod = present.get(bystander.uid)
            container = pod.container(self._profile.engine.container) if pod else None
            restarts = container.restarts if container else bystander.restarts
            harm = "gone" if pod is None or pod.deleting or pod.over else ""
            if restarts > bystander.restarts:
                harm = "restarted"
            if harm and (bystander.uid, harm, restarts) not in self._told:
                self._told.add((bystander.uid, harm, restarts))
                self._tell("beyond-radius", {"pod": bystander.name, "harm": harm})

    def _note_share(self) -> None:
        """Write the share of the requests that the canary gets, where a gate is to move it."""
        if GATE not in self._profile.claims:
            return
        found = canary.deployment(self._cluster, self._profile)
        share = canary.share(self._cluster, found)
        if share != self._share:
            self._share = share
            self._tell("canary-share", {"share": share})

    def _tell(self, what: str, data: dict[str, object]) -> None:
        tell(
            self._run,
            what,
            source="API server",
            experiment=self._plan.experiment,
            kind="watch",
            data=data,
        )
