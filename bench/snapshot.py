"""What a platform looks like, from its API objects down to its nodes' kernels, to be compared.

What changes by itself is left out: addresses and names of pods, and what the kernel and the kubelet
make for each of them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from hotfire.cluster import Cluster, Document
from tests.world import World

_PARTS = {
    "links": "ip -o link show | grep -v veth | sed -E 's/^[0-9]+: //; s/ qlen [0-9]+//'",
    "routes": "ip -4 route show | grep -v veth; ip -6 route show | grep -v -e veth -e fe80",
    "queues": "tc qdisc show 2>/dev/null | grep -v -e veth -e noqueue",
    "filters": "nft list tables | grep -v -e kube -e cali -e cilium",
    "processes": "ps -eo stat=,args= | grep -e '^T' -e hotfire | grep -v -e grep -e 'ps -eo'",
    "files": "ls -A /var/lib /etc /run /var/lib/hotfire-agent 2>/dev/null; cat /etc/resolv.conf",
    "cgroups": "ls -d /sys/fs/cgroup/*/*hotfire* /sys/fs/cgroup/*hotfire* 2>/dev/null;"
    " find /sys/fs/cgroup/cpu/kubepods* -name cpu.cfs_quota_us -exec grep -hv -e -1 {} + | sort",
}
"""What is asked of each node, as shell commands whose lines are compared."""
_KINDS = (
    ("Namespace", "v1"),
    ("Deployment", "apps/v1"),
    ("StatefulSet", "apps/v1"),
    ("DaemonSet", "apps/v1"),
    ("Service", "v1"),
    ("HTTPRoute", "gateway.networking.k8s.io/v1"),
    ("ConfigMap", "v1"),
    ("PodDisruptionBudget", "policy/v1"),
    ("NetworkPolicy", "networking.k8s.io/v1"),
    ("Lease", "coordination.k8s.io/v1"),
    ("ClusterRole", "rbac.authorization.k8s.io/v1"),
    ("ClusterRoleBinding", "rbac.authorization.k8s.io/v1"),
)
_MOVING = re.compile(r"(?<= )state (UNKNOWN|DORMANT)|\bexpires \S+|\blinkdown\b|\brefcnt \d+")
_RENEWED = {"Lease"}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Lines, each with the part of the platform that it tells of."""

    lines: frozenset[str]

    def residue(self, later: "Snapshot") -> list[str]:
        """Return what is there later and was not, and what is missing, in the words of diff."""
        new = [f"+ {line}" for line in later.lines - self.lines]
        return sorted([*new, *(f"- {line}" for line in self.lines - later.lines)])


def taken(world: World) -> Snapshot:
    """Return how a platform looks now."""
    nodes = [line for node in world.cluster.nodes() for line in _node(world, node.name)]
    return Snapshot(frozenset([*_objects(world.cluster), *nodes]))


def _objects(cluster: Cluster) -> Iterator[str]:
    for kind, version in _KINDS:
        for one in cluster.list(kind, None, api_version=version):
            yield f"{kind} {_name(one)}{'' if kind in _RENEWED else _spec(one)}"
    for node in cluster.list("Node"):
        spec = node.get("spec") or {}
        yield f"Node {_name(node)} taints {spec.get('taints')} off {spec.get('unschedulable')}"
    for pod in cluster.pods(None):
        state = "Ready" if pod.serving else "not Ready"
        yield f"Pod {pod.namespace}/{_without_hash(pod.name)} {state}"


def _node(world: World, name: str) -> Iterator[str]:
    for part, command in _PARTS.items():
        said = world.rack.run(name, ["sh", "-c", f"({command}) || true"])
        for line in said.splitlines():
            yield f"{name} {part}: {_MOVING.sub('', line).strip()}"


def _name(one: Document) -> str:
    metadata = one["metadata"]
    return f"{metadata.get('namespace', '')}/{metadata['name']}"


def _spec(one: Document) -> str:
    """Return what was asked for; data of ConfigMaps is told by its size."""
    spec = dict(one.get("spec") or {})
    template = spec.pop("template", None) or {}
    annotations = sorted(one["metadata"].get("annotations") or {})
    sizes = {name: len(text) for name, text in (one.get("data") or {}).items()}
    containers = [each.get("command") for each in template.get("spec", {}).get("containers", [])]
    return f" {spec} {annotations} {sizes} {containers}"


def _without_hash(name: str) -> str:
    return re.sub(r"(-[0-9a-f]{8,10})?-[0-9a-z]{5}$", "", name)
