"""The canary: its workload, its share of the traffic, and what it answers past every gateway."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from hotfire.canary import Behaviour
from hotfire.chaos.agent_answers import Answer, read
from hotfire.chaos.plan import World
from hotfire.cluster import Cluster, Document, Pod, selects
from hotfire.errors import HarnessError
from hotfire.profile import TargetProfile

_ROUTE_API: Final = "gateway.networking.k8s.io/v1"
_ANSWER_SECONDS: Final = 5.0
_AT_A_TIME: Final = 50
# What makes the reference stack's canary, a scripted engine of 5 ms a token, a bad one.
_OF_THE_REFERENCE_STACK: Final[Mapping[Behaviour, list[str]]] = {
    "slow": ["--tpot-seconds=0.00625"],
    "errors": ["--misbehaviour=internal_error", "--every=20"],
    "invalid-json": ["--misbehaviour=free_text", "--every=33"],
    "wrong-model": ["--misbehaviour=echo"],
}


class Sample(Answer):
    """One answer of a canary."""

    status: int | None
    """Of HTTP; None: there was no whole answer."""
    text: str
    """What it wrote, or why there is no answer."""
    tpot_seconds: float | None
    """None where fewer than two tokens came."""


class Samples(Answer):
    """Answers in the order of their questions."""

    answers: tuple[Sample, ...]


def arguments(profile: TargetProfile, how: Behaviour) -> list[str]:
    """Return what is added to the canary's arguments to make it bad.

    Raises:
        HarnessError: the target file does not tell.
    """
    if told := profile.canary.behaviours.get(how):
        return told
    if profile.stack.deploy:
        return _OF_THE_REFERENCE_STACK[how]
    raise HarnessError(f"set canary.behaviours.{how} to the arguments that make the canary so")


def deployment(cluster: Cluster, profile: TargetProfile) -> Document:
    """Return the canary's Deployment.

    Raises:
        HarnessError: there is none of that name.
    """
    place = (profile.namespace, profile.canary.workload)
    found = cluster.get("Deployment", *place, api_version="apps/v1")
    if found is None:
        raise HarnessError(
            f"canary.workload: there is no Deployment {profile.canary.workload} in"
            f" {profile.namespace}"
        )
    return found


def share(cluster: Cluster, found: Document) -> float:
    """Return the largest share of requests that any route gives to a Deployment's pods (0-1).

    Raises:
        HarnessError: no HTTPRoute leads there.
    """
    namespace = found["metadata"]["namespace"]
    labels = found["spec"]["template"]["metadata"].get("labels") or {}
    services = {
        one["metadata"]["name"]
        for one in cluster.list("Service", namespace)
        if (chosen := (one.get("spec") or {}).get("selector"))
        and selects({"matchLabels": chosen}, labels)
    }
    routes = cluster.list("HTTPRoute", namespace, api_version=_ROUTE_API)
    shares = [one for route in routes for one in _shares(route, services)]
    if not shares:
        raise HarnessError(
            f"no HTTPRoute of {namespace} leads to {found['metadata']['name']}, so that nobody"
            " knows how many users it has"
        )
    return max(shares)


def _shares(route: Document, services: set[str]) -> Iterator[float]:
    for rule in (route.get("spec") or {}).get("rules") or ():
        weights = {one["name"]: one.get("weight", 1) for one in rule.get("backendRefs") or ()}
        if services & weights.keys() and (whole := sum(weights.values())):
            yield sum(weights[name] for name in services & weights.keys()) / whole


def pods(cluster: Cluster, found: Document) -> list[Document]:
    """Return the pods of a Deployment's selector that are not over."""
    chosen, namespace = found["spec"].get("selector"), found["metadata"]["namespace"]
    return [
        one
        for one in cluster.list("Pod", namespace)
        if selects(chosen, one["metadata"].get("labels") or {}) and not Pod.parse(one).over
    ]


def samples(
    world: World, asked: Sequence[Pod], *, times: int, max_tokens: int, bound: bool = False
) -> list[Sample]:
    """Return what these pods answer, in turn, to as many prompts, the same at each call.

    Raises:
        HarnessError: nobody could ask, or an answer did not come whole.
    """
    if not asked:
        raise HarnessError("no pod of the canary is Ready, so that nobody can ask one")
    profile, answers = world.profile, list[Sample]()
    for turn, first in enumerate(range(0, times, _AT_A_TIME)):
        pod = asked[turn % len(asked)]
        order = {"address": pod.ip, "port": profile.canary.port, "model": profile.engine.model}
        order |= {"first": first, "times": min(_AT_A_TIME, times - first), "bound": bound}
        order |= {"max_tokens": max_tokens, "within_seconds": _ANSWER_SECONDS}
        answers += read(Samples, world.agent.call(pod.node, "engine.sample", **order)).answers
    if lost := [one.text for one in answers if one.status is None]:
        raise HarnessError(f"{len(lost)} of {times} answers did not come whole: {lost[0]}")
    return answers
