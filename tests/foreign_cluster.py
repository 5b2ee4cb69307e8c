"""A cluster that hotfire has never seen: somebody's engines, gateway and parts, in miniature."""

from typing import Any

from tests.fake_api import FakeApi

Document = dict[str, Any]
NAMESPACE = "chat"
GPU = "amd.com/gpu"
ARGS = ["serve", "/models/llama", "--served-model-name", "llama", "llama-3", "--port=8080"]


def put(
    api: FakeApi,
    kind: str,
    version: str,
    name: str,
    *,
    namespace: str = "",
    **parts: Any,  # noqa: ANN401
) -> None:
    """Store an object; ``owner`` and ``labels`` are its metadata's."""
    metadata: Document = {"name": name, "labels": parts.pop("labels", {})}
    if namespace:
        metadata["namespace"] = namespace
    if owner := parts.pop("owner", None):
        owned_kind, owned_version, owned_name = owner
        reference = {"kind": owned_kind, "apiVersion": owned_version, "name": owned_name}
        metadata["ownerReferences"] = [{**reference, "uid": "u", "controller": True}]
    api.put({"apiVersion": version, "kind": kind, "metadata": metadata, **parts})


def container(**changes: Any) -> Document:  # noqa: ANN401
    """Return the container of an engine."""
    return {
        "name": "main",
        "image": "registry.example/vllm:1",
        "command": ["vllm"],
        "args": ARGS,
        "ports": [{"name": "api", "containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": "api"}},
        "resources": {"limits": {GPU: "1"}, "requests": {GPU: "1"}},
        **changes,
    }


def workload(api: FakeApi, name: str, *, replicas: int = 2, **changes: Any) -> None:  # noqa: ANN401
    """Have a Deployment with its ReplicaSet and its pods, Ready."""
    labels = {"app": name}
    spec = {"containers": [container(**changes)]}
    template = {"metadata": {"labels": labels}, "spec": spec}
    put(
        api, "Deployment", "apps/v1", name, namespace=NAMESPACE,
        spec={"selector": {"matchLabels": labels}, "template": template, "replicas": replicas},
    )  # fmt: skip
    hashed = labels | {"pod-template-hash": "abc"}
    put(
        api, "ReplicaSet", "apps/v1", f"{name}-abc", namespace=NAMESPACE,
        owner=("Deployment", "apps/v1", name), spec={"selector": {"matchLabels": hashed}},
    )  # fmt: skip
    for number in range(replicas):
        put(
            api, "Pod", "v1", f"{name}-abc-{number}", namespace=NAMESPACE, labels=hashed,
            owner=("ReplicaSet", "apps/v1", f"{name}-abc"), spec=spec,
            status={"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
        )  # fmt: skip


def nodes(api: FakeApi, with_gpus: int, without: int) -> None:
    """Have nodes; those with GPUs are labelled and tainted."""
    for number in range(with_gpus + without):
        equipped = number < with_gpus
        labels = {"kubernetes.io/hostname": f"n{number}", "topology.kubernetes.io/zone": "r1"}
        taint = {"key": "example.com/accelerated", "effect": "NoSchedule"}
        put(
            api, "Node", "v1", f"n{number}",
            labels=labels | ({"example.com/accelerator": "mi300"} if equipped else {}),
            spec={"taints": [taint] if equipped else []},
            status={"capacity": {"cpu": "8", GPU: "8" if equipped else "0"}},
        )  # fmt: skip


def route(api: FakeApi, *, to: str = "llm", address: str | None = "10.1.2.3") -> None:
    """Have a Service, an HTTPRoute with a path of its own, and a Gateway with TLS."""
    put(
        api, "Service", "v1", "llm", namespace=NAMESPACE,
        spec={"selector": {"app": "llama"}, "clusterIP": "10.96.0.9", "ports": [{"port": 80}]},
    )  # fmt: skip
    match = {"path": {"type": "PathPrefix", "value": "/team/llama/v1"}}
    put(
        api, "HTTPRoute", "gateway.networking.k8s.io/v1", "llm", namespace=NAMESPACE,
        spec={
            "parentRefs": [{"name": "public", "namespace": "edge"}],
            "hostnames": ["llm.example.org"],
            "rules": [{"matches": [match], "backendRefs": [{"name": to, "port": 80}]}],
        },
    )  # fmt: skip
    listener = {"name": "tls", "protocol": "HTTPS", "port": 8443}
    put(
        api, "Gateway", "gateway.networking.k8s.io/v1", "public", namespace="edge",
        spec={"gatewayClassName": "acme", "listeners": [listener]},
        status={"addresses": [{"type": "IPAddress", "value": address}] if address else []},
    )  # fmt: skip


def part(api: FakeApi, kind: str, name: str, *, namespace: str, port: int | None = None) -> None:
    """Have a part of the platform, behind a Service if it has a port."""
    labels = {"app": name}
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [{"name": "c", "image": name}]},
    }
    put(api, kind, "apps/v1", name, namespace=namespace, spec={"template": template})
    if port:
        spec = {"selector": labels, "ports": [{"port": port}]}
        put(api, "Service", "v1", name, namespace=namespace, spec=spec)


def foreign_cluster() -> FakeApi:
    """Return the whole of it."""
    api = FakeApi()
    nodes(api, 2, 1)
    workload(api, "llama")
    route(api)
    part(api, "StatefulSet", "prometheus", namespace="monitoring", port=9090)
    part(api, "DaemonSet", "amd-device-plugin", namespace="kube-system")
    part(api, "Deployment", "istiod", namespace="istio-system")
    return api
