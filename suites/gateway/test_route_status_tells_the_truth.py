"""Route status tells the truth.

Pipelines promote a version when its route says Accepted, and operators look for a missing backend
in the route's conditions. A status that is ahead of what the proxies do sends users to a version
that is not there; one that hides a dangling reference hides a 5xx.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from fixtures.own_backends import HEADER, matches, scripted_engine, service
from fixtures.scratch import Scratch
from fixtures.stack import Stack
from hotfire import Endpoint, Evidence, Level, Reply, TargetProfile, requirement
from hotfire.cluster import Cluster, Document
from hotfire.errors import HarnessError
from hotfire.waiting import Awaited, of_target

pytestmark = requirement(
    "GTW-008",
    Level.SHOULD,
    __doc__,
    source="https://gateway-api.sigs.k8s.io/reference/spec/#routeconditiontype",
    cncf="networking.ai_inference",
)

API = "gateway.networking.k8s.io/v1"
NAME = "truthful"
MISSING = "nobody-is-called-so"
LIVE_SECONDS = 10.0
"""From the route's status to the answers that agree with it."""
ANSWERS = 12

Conditions = dict[str, tuple[str, str]]
"""Status and reason by the condition's type."""


@dataclass(frozen=True, slots=True)
class OwnRoute:
    """A route of ours beside the engines' own, for requests with our header."""

    cluster: Cluster
    namespace: str
    spec: Document

    def lead_to(self, backend: str) -> None:
        [rule] = self.spec["rules"]
        rules = [{**rule, "backendRefs": [{"name": backend, "port": 80}]}]
        metadata = {"name": NAME, "namespace": self.namespace}
        document = {"apiVersion": API, "kind": "HTTPRoute", "metadata": metadata}
        self.cluster.apply([document | {"spec": {**self.spec, "rules": rules}}])

    def conditions(self) -> Conditions:
        """Return what its status says of it as it now is; empty: nothing yet."""
        found = self.cluster.get("HTTPRoute", self.namespace, NAME, api_version=API) or {}
        generation = found.get("metadata", {}).get("generation")
        parents = found.get("status", {}).get("parents") or ()
        return {
            one["type"]: (one["status"], one["reason"])
            for parent in parents
            for one in parent.get("conditions") or ()
            if one.get("observedGeneration") == generation
        }

    def says(self, kind: str, status: str) -> Awaited[bool]:
        """Wait until a condition has that status."""
        return of_target(
            lambda: self.conditions().get(kind, ("", ""))[0] == status,
            within_seconds=LIVE_SECONDS,
            what=f"the route's {kind}={status}",
            excused_seconds=self.cluster.silent_seconds,
        )


@pytest.fixture
def own_route(
    stack: Stack, scratch: Scratch, cluster: Cluster, profile: TargetProfile
) -> Iterator[OwnRoute]:
    """A route that nothing was written of yet, and a backend that it may lead to."""
    scratch.pod(NAME, argv=scripted_engine(NAME, profile.engine.model, ttft_seconds=0.001))
    cluster.apply([service(NAME)], namespace=scratch.namespace)
    scratch.wait_phase(NAME, "Running")
    engines = stack.way_in()
    home = {"namespace": engines["metadata"]["namespace"]}
    parents = [{**home, **parent} for parent in engines["spec"]["parentRefs"]]
    rule = {"matches": matches(engines["spec"]["rules"], NAME)}
    yield OwnRoute(cluster, scratch.namespace, {"parentRefs": parents, "rules": [rule]})
    cluster.delete("HTTPRoute", scratch.namespace, NAME, api_version=API)


def answers(endpoint: Endpoint) -> list[Reply]:
    headers = {HEADER: NAME}
    asked = range(ANSWERS)
    return [endpoint.chat("?", max_tokens=1, headers=headers, fresh=True) for _ in asked]


def failing(replies: list[Reply]) -> bool:
    return all(reply.status is not None and reply.status >= 500 for reply in replies)


def by_us(replies: list[Reply]) -> bool:
    return all(reply.served_by == NAME for reply in replies)


def test_missing_backend_is_told_and_its_repair_too(
    endpoint: Endpoint, own_route: OwnRoute, stack: Stack, evidence: Evidence
) -> None:
    def agree(judge: Callable[[list[Reply]], bool], what: str) -> Awaited[bool]:
        return of_target(
            lambda: judge(answers(endpoint)),
            within_seconds=LIVE_SECONDS,
            what=f"{ANSWERS} answers in a row {what}",
            excused_seconds=stack.blind_seconds,
        )

    own_route.lead_to(MISSING)
    unresolved = own_route.says("ResolvedRefs", "False")
    told = own_route.conditions()
    check_taken(told)
    refused = agree(failing, "of 5xx")
    evidence.record("missing_backend", {"conditions": told, "answers_5xx": bool(refused)})
    assert unresolved, f"{unresolved}; the route says {told}"
    assert refused, f"{refused}, though the route says that its backend is missing"

    # Negative control: the same two looks must see the opposite of a sound route.
    own_route.lead_to(NAME)
    resolved = own_route.says("ResolvedRefs", "True")
    accepted = own_route.says("Accepted", "True")
    served = agree(by_us, "by the route's backend")
    told = own_route.conditions()
    evidence.record("repaired", {"conditions": told, "served": bool(served)})
    assert resolved, f"{resolved}; the route says {told}"
    assert accepted, f"{accepted}; the route says {told}"
    assert served, f"{served}, though the route says Accepted"


def check_taken(told: Conditions) -> None:
    """Accept a route that the gateway is willing to take.

    Raises:
        HarnessError: it takes none from our namespace; nothing is known of its status then.
    """
    status, reason = told.get("Accepted", ("", ""))
    if status == "False" and reason == "NotAllowedByListeners":
        raise HarnessError(
            "the Gateway takes no routes from a namespace of ours; allow it in the listener's"
            " allowedRoutes"
        )
