"""A large cluster on paper: GPU nodes in racks, and engines on them, as an API server tells them.

kwok gives nodes and pods of this kind their status; what only reads the API cannot tell them from
real ones, by their size neither.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Document = dict[str, Any]

NAMESPACE = "hotfire-scale"
MARK = {"hotfire.dev/bench": "scale"}
ENGINE = {"app": "simulated-engine"}
RESOURCE = "nvidia.com/gpu"
GPUS = 8
ENGINES = 2
"""On each node."""
REPLICAS = 100
"""Of one Deployment, the last one's excepted."""
_RACK = 16
"""Nodes in one."""
_SERVED = "vllm/vllm-openai:v0.11.0"
_REPOSITORIES = [f"registry.example.com/team-{one % 7}/service-{one:02}" for one in range(40)]
_IMAGES = [
    {"names": [f"{one}@sha256:{number:064x}", f"{one}:v1.{number}.0"], "sizeBytes": 100_000_000}
    for number, one in enumerate(_REPOSITORIES)
]
"""What is most of a node: the images that it has, each by digest and by tag."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """So many nodes, with their engines."""

    nodes: int

    @property
    def engines(self) -> int:
        return self.nodes * ENGINES

    def names(self) -> list[str]:
        """Return the nodes' names."""
        return [f"simulated-{number:04}" for number in range(self.nodes)]

    def node_documents(self) -> Iterator[Document]:
        """Yield the nodes, as a kubelet would write them."""
        for number, name in enumerate(self.names()):
            yield _node(name, f"rack-{number // _RACK:03}")

    def deployments(self) -> Iterator[Document]:
        """Yield what the engines belong to."""
        for number, first in enumerate(range(0, self.engines, REPLICAS)):
            yield _deployment(f"model-{number:03}", min(REPLICAS, self.engines - first))

    def pods(self) -> Iterator[tuple[str, Document]]:
        """Yield the name of each engine's Deployment, and the engine without owner references."""
        names = self.names()
        for number in range(self.engines):
            model = f"model-{number // REPLICAS:03}"
            yield model, _pod(f"{model}-{number:05}", model, names[number // ENGINES])


def _node(name: str, rack: str) -> Document:
    amounts = {"cpu": "192", "memory": "2113461392Ki", "pods": "250", RESOURCE: str(GPUS)}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {**MARK, **_labels(name, rack)},
            "annotations": {
                # The one by which kwok knows that it is to play this node.
                "kwok.x-k8s.io/node": "fake",
                "node.alpha.kubernetes.io/ttl": "0",
                "nfd.node.kubernetes.io/feature-labels": ",".join(_features()),
            },
        },
        "spec": {
            "taints": [
                {"key": RESOURCE, "value": "present", "effect": "NoSchedule"},
                {"key": "kwok.x-k8s.io/node", "value": "fake", "effect": "NoSchedule"},
            ]
        },
        "status": {"capacity": amounts, "allocatable": amounts, "images": _IMAGES},
    }


def _labels(name: str, rack: str) -> dict[str, str]:
    return {
        "type": "kwok",
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "topology.kubernetes.io/zone": rack,
        f"{RESOURCE}.present": "true",
        f"{RESOURCE}.product": "NVIDIA-H200",
        f"{RESOURCE}.count": str(GPUS),
        f"{RESOURCE}.memory": "143771",
        **{f"feature.node.kubernetes.io/{one}": "true" for one in _features()},
    }


def _features() -> list[str]:
    flags = ("AVX512BW", "AVX512CD", "AVX512F", "AMXTILE", "AMXINT8", "VAES", "SHA", "MOVBE")
    return [f"cpu-cpuid.{flag}" for flag in flags]


def _template(model: str) -> Document:
    amounts = {"cpu": "15500m", "memory": "200Gi", RESOURCE: str(GPUS // ENGINES)}
    probe = {"httpGet": {"path": "/health", "port": 8000}, "periodSeconds": 5}
    return {
        "enableServiceLinks": False,
        "tolerations": [{"operator": "Exists"}],
        "containers": [
            {
                "name": "vllm",
                "image": _SERVED,
                "command": ["vllm"],
                "args": ["serve", f"/models/{model}", "--served-model-name", model],
                "ports": [{"name": "http", "containerPort": 8000}],
                "readinessProbe": probe,
                "livenessProbe": probe,
                "env": [{"name": f"SETTING_{number}", "value": "1"} for number in range(12)],
                "resources": {"limits": amounts, "requests": amounts},
            }
        ],
    }


def _pod(name: str, model: str, node: str) -> Document:
    labels = {**MARK, **ENGINE, "model": model}
    metadata = {"name": name, "namespace": NAMESPACE, "labels": labels}
    spec = {**_template(model), "nodeName": node}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _deployment(model: str, replicas: int) -> Document:
    # No such account: its controller makes no pod, and takes those that are given to it.
    spec = {**_template(model), "serviceAccountName": "nobody"}
    labels = {**MARK, **ENGINE, "model": model}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": model, "namespace": NAMESPACE, "labels": MARK},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"model": model}},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }
