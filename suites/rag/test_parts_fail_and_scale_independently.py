"""Components fail and scale independently.

An application is cut into parts so that one may fall without the others. A readiness probe that
asks a database brings it all down with that database, chat that needs no document among it, and a
part that cannot grow by itself grows with the dearest of them.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from fixtures.liveness import DEFAULTS
from fixtures.rag import Application, Takeaway
from fixtures.stack import Stack
from hotfire import Endpoint, Evidence, Level, requirement
from hotfire.cluster import Cluster, Document, Pod
from hotfire.errors import HarnessError
from hotfire.rag import Part
from hotfire.waiting import eventually

pytestmark = requirement(
    "RAG-003",
    Level.MUST,
    __doc__,
    source="https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/",
    features={"rag"},
)

MARGIN_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bystanders:
    """Pods to which nothing is done, and users who want nothing of what is taken away."""

    cluster: Cluster
    endpoint: Endpoint
    before: list[Pod]
    broken: list[str] = field(default_factory=list)
    """Plain chats that were not answered, in words."""

    def noticing_seconds(self) -> float:
        """Return how long it takes at most until one that asks for more than itself is unready."""
        documents = (self.cluster.get("Pod", pod.namespace, pod.name) for pod in self.before)
        probes = [probe for one in documents if one for probe in readiness(one)]
        return max(probes, default=0.0) + MARGIN_SECONDS

    def changes(self) -> list[str]:
        """Return what became of those that are not as before."""
        places = {pod.namespace for pod in self.before}
        now = {pod.uid: pod for place in places for pod in self.cluster.pods(place)}
        return [f"{pod.name} {what}" for pod in self.before if (what := changed(pod, now))]

    def suffer(self) -> list[str]:
        """Look once, and ask once; return everything that is not as before."""
        reply = self.endpoint.chat("?", max_tokens=1, fresh=True)
        if not reply.ok:
            self.broken.append(f"a plain chat failed: {reply.why}")
        return [*self.changes(), *self.broken]


def readiness(document: Document) -> Iterator[float]:
    """Yield how long each container of a pod stays Ready at most once its probe fails."""
    for container in document["spec"]["containers"]:
        if probe := container.get("readinessProbe"):
            period, timeout, failures = (probe.get(name, value) for name, value in DEFAULTS.items())
            # A probe that runs into its timeout ends later than the next one was due.
            yield failures * max(period, timeout)


def changed(pod: Pod, now: dict[str, Pod]) -> str:
    """Return what became of a pod that served; empty: nothing."""
    found = now.get(pod.uid)
    if found is None or found.deleting:
        return "is gone"
    if found.restarts > pod.restarts:
        return "was restarted"
    return "" if found.serving else "is not Ready any more"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """The application beside its engines."""

    application: Application
    takeaway: Takeaway
    stack: Stack
    endpoint: Endpoint

    def beside(self, part: Part) -> Bystanders:
        """Return everybody but a part; none of them is taken for it."""
        app = self.application
        parts = [pod for one in app.rag.parts if one != part for pod in app.pods(one)]
        own = {pod.uid for pod in app.pods(part)}
        serving = [pod for pod in (*parts, *self.stack.engines()) if pod.serving]
        others = [pod for pod in serving if pod.uid not in own]
        return self._watched(others)

    def itself(self, part: Part) -> Bystanders:
        """Return a part, watched like a bystander."""
        return self._watched(self.application.pods(part))

    def _watched(self, pods: list[Pod]) -> Bystanders:
        cluster = self.application.cluster
        return Bystanders(cluster=cluster, endpoint=self.endpoint, before=pods)


@pytest.fixture
def ground(
    application: Application, takeaway: Takeaway, stack: Stack, endpoint: Endpoint
) -> Ground:
    """The application and its engines.

    Raises:
        HarnessError: of no part it is declared which it is.
    """
    if not application.rag.parts:
        raise HarnessError("rag is claimed; set rag.parts to the labels of each part's pods")
    return Ground(application=application, takeaway=takeaway, stack=stack, endpoint=endpoint)


def test_nothing_else_suffers_when_a_part_grows_or_goes(ground: Ground, evidence: Evidence) -> None:
    told: dict[str, dict[str, list[str]]] = defaultdict(dict)
    for part in ground.application.rag.parts:
        others, itself = ground.beside(part), ground.itself(part)
        if early := others.suffer():
            raise HarnessError(f"before anything is done to the {part} {early[0]}")
        with ground.takeaway.grown(part):
            told[part]["when it grows"] = others.suffer()
        with ground.takeaway.away(part):
            # Negative control: by the same look the part itself is not as before.
            if not itself.changes():
                raise HarnessError(f"no pod of the {part} is left, and none is seen to lack")
            within = others.noticing_seconds()
            told[part]["when it goes"] = eventually(
                others.suffer, within_seconds=within, poll_seconds=0.3
            )
        evidence.record(f"{part}_away_for_seconds", within)
    evidence.record("others", told)

    suffered = [
        f"{when}, the {part}: {harm[0]}"
        for part, courses in told.items()
        for when, harm in courses.items()
        if harm
    ]
    assert not suffered, "; ".join(suffered)
