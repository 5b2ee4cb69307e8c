"""What runs inside the cluster besides the stack: DNS, GPUs, Prometheus, the Gateway."""

import json
from pathlib import Path

from hotfire.lab.cluster import monitoring
from hotfire.lab.cluster.kube import Kubectl, fill
from hotfire.lab.gpu.gpus import Strategy
from hotfire.lab.machine.machines import Rack
from hotfire.lab.shape.topology import (
    API_ADDRESS,
    API_PORT,
    BALANCED_NETWORK,
    CLUSTER_DOMAIN,
    DNS_ADDRESS,
    GATEWAY_ADDRESS,
    PROMETHEUS_ADDRESS,
    Topology,
)

NAMESPACES = ("kube-system", "envoy-gateway-system", "monitoring", "keda", "kueue-system")
"""Where the lab's own workloads live; all others are the user's."""

_MANIFESTS = Path(__file__).parent / "manifests"
_CORE = (
    *("10-core.yaml", "12-gpus.yaml", "14-policy.yaml", "16-monitoring.yaml"),
    "18-service-addresses.yaml",
)
# What serves the platform goes where no GPUs are, if there is such a node.
_NO_GPUS = {"matchExpressions": [{"key": "nvidia.com/gpu.present", "operator": "DoesNotExist"}]}
_PREFERRED = [{"weight": 100, "preference": _NO_GPUS}]
_AFFINITY = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": _PREFERRED}}
_VALUES = {
    "API_ADDRESS": API_ADDRESS,
    "API_PORT": str(API_PORT),
    "BALANCED_NETWORK": str(BALANCED_NETWORK),
    "CLUSTER_DOMAIN": CLUSTER_DOMAIN,
    "DNS_ADDRESS": DNS_ADDRESS,
    "GATEWAY_ADDRESS": GATEWAY_ADDRESS,
    "PREFERS_NO_GPUS": f"affinity: {json.dumps(_AFFINITY)}",
    "PROMETHEUS_ADDRESS": PROMETHEUS_ADDRESS,
}


def apply_core(kubectl: Kubectl, topology: Topology) -> None:
    """Apply DNS, what nodes with GPUs run, Prometheus, and what enforces network policies."""
    sharings = {topology.sharing(worker).strategy for worker in topology.workers}
    names = [*_CORE, *(("14-gpus-dra.yaml",) if Strategy.DRA in sharings else ())]
    manifests = [fill(_MANIFESTS / name, _VALUES) for name in names]
    kubectl.apply_text("\n---\n".join([*manifests, monitoring.config_map(topology)]))


def create_gateway_controller(kubectl: Kubectl, rack: Rack, crds: Path) -> None:
    """Make what the Gateway needs before it: its kinds, its certificates, its controller."""
    # `create` spares the reading that `apply` does; these exist nowhere yet.
    kubectl.run("create", "--validate=false", f"--filename={crds}", "--recursive")
    kubectl.run("create", "namespace", "envoy-gateway-system")
    env = ["env", "KUBECONFIG=/etc/kubernetes/pki/admin.conf"]
    env += ["ENVOY_GATEWAY_NAMESPACE=envoy-gateway-system"]
    certgen = ["envoy-gateway", "certgen", "--disable-topology-injector"]
    rack.run("cp1", [*env, *certgen], within_seconds=60)
    kubectl.apply_text(fill(_MANIFESTS / "20-gateway-controller.yaml", _VALUES))


def apply_gateway(kubectl: Kubectl) -> None:
    """Apply the Gateway; its controller must be there."""
    kubectl.apply_text(fill(_MANIFESTS / "30-gateway.yaml", _VALUES))
