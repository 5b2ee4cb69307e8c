"""Parts of a platform beside the engines, known by the words in their names and images.

A name proves nothing, so that whatever is taken from here is a guess, with its place.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from hotfire.cluster import Document, selects
from hotfire.cluster.gangs import GANG_KINDS
from hotfire.discovery.containers import named
from hotfire.discovery.eyes import Eyes
from hotfire.discovery.said import Said, guess

_APPS: Final = "apps/v1"
_KINDS: Final = ("Deployment", "StatefulSet", "DaemonSet")
MARKS: Final[Mapping[str, tuple[str, ...]]] = {
    "gateway-control-plane": (
        *("envoy-gateway", "istiod", "nginx-gateway", "kgateway", "agentgateway", "traefik"),
        *("kong-controller", "contour", "cilium-operator", "gke-gateway"),
    ),
    "monitoring": ("prometheus", "victoria-metrics", "vmsingle", "mimir", "thanos-query"),
    "autoscaler": ("keda-operator", "cluster-autoscaler", "karpenter", "kaito"),
    "operator": (
        *("kserve-controller", "llmisvc-controller", "kuberay-operator", "dynamo-operator"),
        *("lws-controller", "aibrix-controller", "production-stack-operator"),
    ),
    "device plugin": ("device-plugin", "gpu-plugin", "neuron-device", "tpu-device"),
    "dra driver": ("dra-driver", "dra-kubelet", "kubelet-plugin"),
    "gang scheduler": (
        *("kueue-controller", "volcano", "kai-scheduler", "yunikorn", "coscheduling"),
        *("scheduler-plugins", "gang-scheduler"),
    ),
    "routing daemon": ("bird", "calico-node", "cilium-agent", "kube-router", "frr", "metallb"),
    "accelerator exporter": ("dcgm-exporter", "amd-metrics-exporter", "gpu-exporter"),
}
"""Words by which each part is known."""
_PROMETHEUS_PORTS: Final = (9090, 80, 8428)


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A workload of the platform."""

    kind: str
    namespace: str
    name: str
    labels: Mapping[str, str]
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Parts:
    """What runs beside the engines."""

    running: tuple[Running, ...]
    services: tuple[Document, ...]
    gang_kinds: tuple[str, ...]
    """Kinds that make gangs which a check can try."""
    scaled: tuple[str, ...]
    """What scales workloads by itself, in words."""

    @classmethod
    def seen(cls, eyes: Eyes) -> "Parts":
        """Return the parts of all namespaces that we see."""
        running = [
            _running(kind, one) for kind in _KINDS for one in eyes.each(kind, api_version=_APPS)
        ]
        hpas = eyes.each("HorizontalPodAutoscaler", api_version="autoscaling/v2")
        objects = eyes.each("ScaledObject", api_version="keda.sh/v1alpha1")
        named_ = [("HorizontalPodAutoscaler", one) for one in hpas]
        named_ += [("ScaledObject", one) for one in objects]
        return cls(
            running=tuple(running),
            services=tuple(map(_kept, eyes.each("Service"))),
            gang_kinds=tuple(
                f"{kind} of {api}" for kind, api in GANG_KINDS if eyes.serves(kind, api)
            ),
            scaled=tuple(f"{kind} {_place(one)}" for kind, one in named_),
        )

    def of(self, part: str) -> list[Running]:
        """Return what is known by the words of a part, the shortest name first."""
        found = [one for one in self.running if named(one.words, MARKS[part])]
        return sorted(found, key=lambda one: (one.kind == "DaemonSet", len(one.name), one.name))

    def prometheus(self) -> tuple[Said[str], Running | None] | None:
        """Return Prometheus' address and who runs it; None where none is seen."""
        for running in self.of("monitoring"):
            for service in self.services:
                selector = service["spec"].get("selector")
                ours = service["metadata"]["namespace"] == running.namespace
                if ours and selector and selects({"matchLabels": selector}, running.labels):
                    return _address(service), running
        return None


def _address(service: Document) -> Said[str]:
    spec, place = service["spec"], _place(service)
    ports = [one["port"] for one in spec.get("ports") or ()]
    port = next((one for one in _PROMETHEUS_PORTS if one in ports), next(iter(ports), 9090))
    name = f"{service['metadata']['name']}.{service['metadata']['namespace']}"
    ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    outside = next((one.get("ip") or one.get("hostname") for one in ingress), None)
    if outside:
        return Said(f"http://{outside}:{port}", f"status.loadBalancer of Service {place}")
    return guess(f"http://{name}:{port}", f"Service {place}; hotfire must reach it")


def _running(kind: str, document: Document) -> Running:
    spec = document.get("spec") or {}
    template = spec.get("template") or {}
    containers = (template.get("spec") or {}).get("containers") or ()
    name = document["metadata"]["name"]
    return Running(
        kind=kind,
        namespace=document["metadata"]["namespace"],
        name=name,
        labels=(template.get("metadata") or {}).get("labels") or {},
        words=(name, *(str(one.get("image") or "") for one in containers)),
    )


def _kept(service: Document) -> Document:
    return {key: service.get(key) or {} for key in ("metadata", "spec", "status")}


def _place(document: Document) -> str:
    return f"{document['metadata']['namespace']}/{document['metadata']['name']}"


def in_words(found: Iterable[Running]) -> str:
    """Return parts in words; "none seen" where there is none."""
    return ", ".join(map(str, found)) or "none seen"
