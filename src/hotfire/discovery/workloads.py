"""Who holds accelerators: pods, whatever owns them, and which of them is the engine."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from hotfire.cluster import Document, Owner, chain
from hotfire.discovery.containers import EngineContainer, engine_container
from hotfire.discovery.eyes import Eyes
from hotfire.discovery.said import Said, guess

_WITH_SELECTOR: Final = ("Deployment", "StatefulSet", "ReplicaSet", "DaemonSet")
_OF_BATCH: Final = ("Job", "CronJob", "Workflow", "PyTorchJob", "MPIJob", "RayJob")
# Labels that controllers give each pod or each revision anew.
_VOLATILE: Final = (
    *("pod-template-hash", "controller-revision-hash", "statefulset.kubernetes.io/pod-name"),
    *("apps.kubernetes.io/pod-index", "leaderworkerset.sigs.k8s.io/worker-index"),
    *("leaderworkerset.sigs.k8s.io/group-index", "leaderworkerset.sigs.k8s.io/group-key"),
    *("leaderworkerset.sigs.k8s.io/template-revision-hash", "ray.io/group"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldingPod:
    """A pod that holds accelerators."""

    name: str
    labels: Mapping[str, str]
    ready: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Pods of one owner that hold accelerators; ``owners`` begins with the nearest."""

    namespace: str
    owners: tuple[Owner, ...]
    pods: tuple[HoldingPod, ...]
    container: EngineContainer
    claims: tuple[str, ...]
    """Names of the resource claims that they use."""
    selector: Said[dict[str, str]]

    def __str__(self) -> str:
        owners = " of ".join(map(str, self.owners)) or f"pod {self.pods[0].name}"
        return f"{owners} in {self.namespace}"

    @property
    def held(self) -> str:
        """What each of its pods holds, in words."""
        claims = f"{len(self.claims)} resource claim" if self.claims else ""
        return " and ".join(filter(None, (*sorted(self.container.resources), claims)))

    @property
    def likelihood(self) -> int:
        """How much speaks for an engine; 0: nothing."""
        batch = any(owner.kind in _OF_BATCH for owner in self.owners)
        return 0 if batch else self.container.likelihood


def holding(eyes: Eyes, namespace: str | None) -> list[Workload]:
    """Return every workload that holds accelerators, the likeliest engine first."""
    groups: dict[tuple[str, str], list[Document]] = defaultdict(list)
    for pod in eyes.each("Pod", namespace):
        if _holds(pod) and not (pod["metadata"].get("deletionTimestamp")):
            groups[pod["metadata"]["namespace"], _direct_owner(pod)].append(_kept(pod))
    found = [_workload(eyes, place, pods) for (place, _), pods in groups.items()]
    order = sorted(found, key=lambda one: (one.namespace, str(one)))
    return sorted(order, key=lambda one: (one.likelihood, len(one.pods)), reverse=True)


def candidates(workloads: Iterable[Workload]) -> list[Workload]:
    """Return those that an engine's own words or probes speak for, the likeliest first."""
    return [one for one in workloads if one.likelihood > 1]


def _holds(pod: Document) -> bool:
    over = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    spec = pod.get("spec") or {}
    asked = any(EngineContainer.parse(one).resources for one in spec.get("containers") or ())
    return not over and (asked or bool(spec.get("resourceClaims")))


def _kept(pod: Document) -> Document:
    """Return what is kept of a pod: a cluster may have many thousands."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    keys = ("name", "namespace", "labels", "ownerReferences")
    return {
        "metadata": {key: metadata[key] for key in keys if key in metadata},
        "spec": {key: pod["spec"].get(key) for key in ("containers", "resourceClaims")},
        "status": {"conditions": status.get("conditions") or []},
    }


def _direct_owner(pod: Document) -> str:
    owners = pod["metadata"].get("ownerReferences") or ()
    owner = next(iter(owners), None)
    return f"{owner['kind']}/{owner['name']}" if owner else f"Pod/{pod['metadata']['name']}"


def _workload(eyes: Eyes, namespace: str, pods: list[Document]) -> Workload:
    container = engine_container(pods[0]["spec"])
    if container is None:
        raise ValueError(f"a pod without containers in {namespace}")

    def read(owner: Owner) -> Document | None:
        return eyes.get(owner.kind, namespace, owner.name, api_version=owner.api_version)

    owners = list(chain(pods[0], read))
    claims = [str(one.get("name")) for one in pods[0]["spec"]["resourceClaims"] or ()]
    return Workload(
        namespace=namespace,
        owners=tuple(owner for owner, _ in owners),
        pods=tuple(map(_pod, pods)),
        container=container,
        claims=tuple(claims),
        selector=_selector([document for _, document in owners if document], pods),
    )


def _pod(document: Document) -> HoldingPod:
    metadata, conditions = document["metadata"], document["status"]["conditions"]
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    return HoldingPod(name=metadata["name"], labels=metadata.get("labels") or {}, ready=ready)


def _selector(owners: list[Document], pods: list[Document]) -> Said[dict[str, str]]:
    """Return labels that select these pods and stay the same when they are replaced."""
    for owner in reversed(owners):
        labels = ((owner.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
        lasting = {key: value for key, value in labels.items() if key not in _VOLATILE}
        if owner.get("kind") in _WITH_SELECTOR and lasting:
            return Said(lasting, f"selector of {owner['kind']} {owner['metadata']['name']}")
    every = [set((pod["metadata"].get("labels") or {}).items()) for pod in pods]
    shared = dict(sorted(set.intersection(*every)))
    lasting = {key: value for key, value in shared.items() if key not in _VOLATILE}
    return guess(lasting, f"labels that its {len(pods)} pods share")
