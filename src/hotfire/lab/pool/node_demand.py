"""Which waiting pods one more worker would help: pure functions over what the API server tells.

A small part of what the scheduler weighs: GPUs, CPU, memory, taints, node selector and required
node affinity. Spread and pod affinity are left to the scheduler, see `hotfire.lab.pool.autoscaler`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

Document = Mapping[str, Any]

GPU = "nvidia.com/gpu"
_SUFFIXES = {
    "m": 1e-3,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What a worker has to give to pods: a real one's rest, or what a new one would have."""

    labels: Mapping[str, str]
    taints: Sequence[Mapping[str, str]]
    gpus: float
    cores: float
    memory_bytes: float


def unschedulable(pods: Iterable[Document]) -> list[Document]:
    """Return the pods that ask for GPUs and that the scheduler finds no node for, oldest first."""
    found = [pod for pod in pods if _stuck(pod) and request(pod, GPU) > 0]
    return sorted(found, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")))


def _stuck(pod: Document) -> bool:
    if pod["metadata"].get("deletionTimestamp") or pod["spec"].get("nodeName"):
        return False
    rows = pod.get("status", {}).get("conditions", [])
    return any(
        row["type"] == "PodScheduled" and row.get("reason") == "Unschedulable" for row in rows
    )


def request(pod: Document, resource: str) -> float:
    """Return how much of a resource the scheduler sets aside for a pod."""
    spec = pod["spec"]
    starting = spec.get("initContainers", [])
    sidecars = [each for each in starting if each.get("restartPolicy") == "Always"]
    running = sum(_asked(each, resource) for each in [*spec["containers"], *sidecars])
    return max(running, *(_asked(each, resource) for each in starting), 0.0)


def _asked(container: Document, resource: str) -> float:
    resources = container.get("resources", {})
    limits, requests = resources.get("limits", {}), resources.get("requests", {})
    return quantity(requests.get(resource, limits.get(resource, "0")))


def quantity(text: str) -> float:
    """Return the number that a Kubernetes quantity such as ``1500m`` or ``2Gi`` stands for."""
    digits = text.rstrip("kmKMGTi")
    suffix = text[len(digits) :]
    return float(digits) * (_SUFFIXES[suffix] if suffix else 1.0)


def fits(pod: Document, room: Room) -> bool:
    """Return whether a pod could run there, as far as this module weighs it."""
    return (
        request(pod, GPU) <= room.gpus
        and request(pod, "cpu") <= room.cores
        and request(pod, "memory") <= room.memory_bytes
        and all(_tolerated(taint, pod["spec"].get("tolerations", [])) for taint in room.taints)
        and _selected(pod["spec"], room.labels)
    )


def less(room: Room, pod: Document) -> Room:
    """Return what is left of a room once the pod has moved in."""
    return replace(
        room,
        gpus=room.gpus - request(pod, GPU),
        cores=room.cores - request(pod, "cpu"),
        memory_bytes=room.memory_bytes - request(pod, "memory"),
    )


def unplaced(pods: Iterable[Document], rooms: Iterable[Room]) -> list[Document]:
    """Return the pods that are left when the others have moved into the rooms, first come first."""
    free, left = list(rooms), []
    for pod in pods:
        for index, room in enumerate(free):
            if fits(pod, room):
                free[index] = less(room, pod)
                break
        else:
            left.append(pod)
    return left


def _tolerated(taint: Mapping[str, str], tolerations: Iterable[Document]) -> bool:
    if taint["effect"] == "PreferNoSchedule":
        return True
    return any(
        each.get("key") in {None, "", taint["key"]}
        and each.get("effect") in {None, "", taint["effect"]}
        and (each.get("operator") == "Exists" or each.get("value", "") == taint.get("value", ""))
        for each in tolerations
    )


def _selected(spec: Document, labels: Mapping[str, str]) -> bool:
    if not spec.get("nodeSelector", {}).items() <= labels.items():
        return False
    affinity = spec.get("affinity", {}).get("nodeAffinity", {})
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if not required:
        return True
    return any(_term(term, labels) for term in required["nodeSelectorTerms"])


def _term(term: Document, labels: Mapping[str, str]) -> bool:
    rows = [*term.get("matchExpressions", []), *term.get("matchFields", [])]
    # A term without any requirement matches no node.
    return bool(rows) and all(_OPERATORS[row["operator"]](row, labels) for row in rows)


_OPERATORS: dict[str, Callable[[Document, Mapping[str, str]], bool]] = {
    "In": lambda row, labels: labels.get(row["key"]) in row["values"],
    "NotIn": lambda row, labels: labels.get(row["key"]) not in row["values"],
    "Exists": lambda row, labels: row["key"] in labels,
    "DoesNotExist": lambda row, labels: row["key"] not in labels,
    "Gt": lambda row, labels: int(labels.get(row["key"], "0")) > int(row["values"][0]),
    "Lt": lambda row, labels: int(labels.get(row["key"], "0")) < int(row["values"][0]),
}
