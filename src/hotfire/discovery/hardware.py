"""Accelerators as nodes offer them: resources, labels, taints, racks."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from hotfire.cluster import Document, Node
from hotfire.discovery.eyes import Eyes
from hotfire.discovery.said import Said, guess

_KUBERNETES: Final = re.compile(r"(^|\.)kubernetes\.io/|^hugepages-|^attachable-volumes-")
_ACCELERATOR: Final = re.compile(
    r"gpu|mig-|gaudi|tpu|neuron|npu|ascend|xpu|i915|xe$|accelerator", re.IGNORECASE
)
_RACKS: Final = ("rack", "topology.kubernetes.io/zone")
_HOST_LABELS: Final = ("kubernetes.io/hostname", "kubernetes.io/os", "kubernetes.io/arch")


def extended(amounts: Mapping[str, object]) -> Iterator[str]:
    """Yield the extended resources among some amounts, those of which there is none left out."""
    for name, amount in amounts.items():
        if "/" in name and not _KUBERNETES.search(name) and str(amount) != "0":
            yield name


def accelerators(names: Iterable[str]) -> list[str]:
    """Return what looks like accelerators among extended resources, else all of them."""
    names = sorted(set(names))
    return [name for name in names if _ACCELERATOR.search(name)] or names


@dataclass(frozen=True, slots=True)
class Hardware:
    """The nodes of a cluster, as far as they concern accelerators."""

    nodes: tuple[Node, ...] = ()
    drivers: tuple[str, ...] = ()
    """Drivers that offer devices by ResourceSlices (dynamic resource allocation)."""
    offered: Mapping[str, int] = field(default_factory=dict)
    """Nodes by extended resource that they offer."""
    images: Mapping[str, str] = field(default_factory=dict)
    """One node by the name of each image that some node has."""

    @classmethod
    def seen(cls, eyes: Eyes) -> "Hardware":
        """Return what the nodes offer."""
        images: dict[str, str] = {}
        nodes = tuple(_node(one, images) for one in eyes.each("Node"))
        offered = Counter(name for node in nodes for name in extended(node.capacity))
        slices = eyes.each("ResourceSlice", api_version="resource.k8s.io/v1")
        drivers = {str((one.get("spec") or {}).get("driver")) for one in slices}
        return cls(nodes, tuple(sorted(drivers)), offered, images)

    def resource(self, held: Iterable[str]) -> Said[str]:
        """Return the resource by which accelerators are asked for; ``held``: by engine pods."""
        if asked := accelerators(held):
            return Said(asked[0], "what the engine pods ask for")
        if named := accelerators(self.offered):
            best = max(named, key=lambda name: self.offered[name])
            return Said(best, f"capacity of {self.offered[best]} nodes")
        return guess("nvidia.com/gpu", "no node offers an extended resource")

    def equipped(self, resource: str) -> tuple[list[Node], list[Node]]:
        """Return the nodes that offer a resource, and the others."""
        having = [node for node in self.nodes if resource in extended(node.capacity)]
        names = {node.name for node in having}
        return having, [node for node in self.nodes if node.name not in names]

    def taint_key(self, resource: str) -> Said[str]:
        """Return the key of the taint that the nodes with accelerators share."""
        having, others = self.equipped(resource)
        elsewhere = {taint.key for node in others for taint in node.taints}
        shared = _shared({taint.key for taint in node.taints} for node in having) - elsewhere
        if shared:
            key = sorted(shared, key=lambda one: (one != resource, one))[0]
            return Said(key, f"taint of all {len(having)} nodes with {resource}")
        return guess(resource, f"the {len(having)} nodes with {resource} share no taint")

    def node_selector(self, resource: str) -> Said[dict[str, str]]:
        """Return a label that all nodes with accelerators have, and no others."""
        having, others = self.equipped(resource)
        elsewhere = {pair for node in others for pair in node.labels.items()}
        shared = _shared(set(node.labels.items()) for node in having) - elsewhere
        own = [(key, value) for key, value in shared if key not in _HOST_LABELS]
        if own:
            key, value = sorted(own, key=lambda pair: _telling(pair[0], resource))[0]
            place = f"label of all {len(having)} nodes with {resource} and of no other"
            return Said({key: value}, place)
        return guess({"kubernetes.io/os": "linux"}, f"no label tells nodes with {resource}")

    def rack_label(self) -> Said[str] | None:
        """Return the node label that names the rack."""
        keys = [key for node in self.nodes for key in node.labels]
        for part in _RACKS:
            named = [key for key in keys if key.rpartition("/")[2] == part or key == part]
            if named:
                return Said(named[0], f"label of {len(named)} nodes")
        return None


def _node(document: Document, images: dict[str, str]) -> Node:
    """Return a node, and add the names of its images, which are most of it, to those of others."""
    for one in (document.get("status") or {}).get("images") or ():
        for name in one.get("names") or ():
            images.setdefault(name, document["metadata"]["name"])
    return Node.parse(document)


def _shared(each: Iterable[set[str] | set[tuple[str, str]]]) -> set:  # type: ignore[type-arg]
    sets = list(each)
    return set.intersection(*sets) if sets else set()


def _telling(key: str, resource: str) -> tuple[bool, bool, str]:
    """Order labels: what says that a device is there goes before what says which."""
    vendor = resource.partition("/")[0]
    return not key.endswith(".present"), not key.startswith(vendor), key
