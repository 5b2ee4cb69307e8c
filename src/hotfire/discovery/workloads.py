"""Who holds accelerators: pods, whatever owns them, and which of them is the engine."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from hotfire.cluster import Document, Owner, chain
from hotfire.discovery.containers import EngineContainer, engine_container
from hotfire.discovery.eyes import Eyes
from hotfire.discovery.owners import Owners, owners_of
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
    groups: dict[tuple[str, str], _Group] = {}
    for pod in eyes.each("Pod", namespace):
        if _holds(pod) and not (pod["metadata"].get("deletionTimestamp")):
            of = pod["metadata"]["namespace"], _direct_owner(pod)
            group = groups.setdefault(of, _Group(first=_kept(pod)))
            group.pods.append(_pod(pod))
    owners = owners_of([group.first for group in groups.values()], eyes, namespace)
    found = [_workload(place, group, owners) for (place, _), group in groups.items()]
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


@dataclass(frozen=True, slots=True)
class _Group:
    """Pods of one owner: of the first what tells of all, of each what is its own.

    A cluster may have many thousands of them.
    """

    first: Document
    pods: list[HoldingPod] = field(default_factory=list)


def _kept(pod: Document) -> Document:
    """Return what the first pod of a workload tells of all."""
    metadata = pod["metadata"]
    keys = ("name", "namespace", "ownerReferences")
    return {
        "metadata": {key: metadata[key] for key in keys if key in metadata},
        "spec": {key: pod["spec"].get(key) for key in ("containers", "resourceClaims")},
    }


def _direct_owner(pod: Document) -> str:
    owners = pod["metadata"].get("ownerReferences") or ()
    owner = next(iter(owners), None)
    return f"{owner['kind']}/{owner['name']}" if owner else f"Pod/{pod['metadata']['name']}"


def _workload(namespace: str, group: _Group, known: Owners) -> Workload:
    spec = group.first["spec"]
    container = engine_container(spec)
    if container is None:
        raise ValueError(f"a pod without containers in {namespace}")
    owners = list(chain(group.first, lambda owner: known.get((namespace, owner))))
    return Workload(
        namespace=namespace,
        owners=tuple(owner for owner, _ in owners),
        pods=tuple(group.pods),
        container=container,
        claims=tuple(str(one.get("name")) for one in spec["resourceClaims"] or ()),
        selector=_selector([document for _, document in owners if document], group.pods),
    )


def _pod(document: Document) -> HoldingPod:
    metadata, status = document["metadata"], document.get("status") or {}
    conditions = status.get("conditions") or ()
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    return HoldingPod(name=metadata["name"], labels=metadata.get("labels") or {}, ready=ready)


def _selector(owners: list[Document], pods: list[HoldingPod]) -> Said[dict[str, str]]:
    """Return labels that select these pods and stay the same when they are replaced."""
    for owner in reversed(owners):
        labels = ((owner.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
        lasting = {key: value for key, value in labels.items() if key not in _VOLATILE}
        if owner.get("kind") in _WITH_SELECTOR and lasting:
            return Said(lasting, f"selector of {owner['kind']} {owner['metadata']['name']}")
    shared = dict(sorted(set.intersection(*(set(pod.labels.items()) for pod in pods))))
    lasting = {key: value for key, value in shared.items() if key not in _VOLATILE}
    return guess(lasting, f"labels that its {len(pods)} pods share")
