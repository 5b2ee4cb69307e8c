"""A worker machine: containerd, kubelet, kube-proxy and BIRD, and the Node object it stands for."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hotfire.lab import programs
from hotfire.lab.gpu import gpu_device, gpu_labels
from hotfire.lab.machine import node_files
from hotfire.lab.network import fabric
from hotfire.lab.network.router import machine_services
from hotfire.lab.programs.machine_spec import Spec
from hotfire.lab.shape.blueprint import BASE_ENV, PKI, Bind, Blueprint, Service
from hotfire.lab.shape.topology import (
    API_ADDRESS,
    API_PORT,
    BALANCED_NETWORK,
    Machine,
    Topology,
)

GPU_TAINT = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
IMAGE_ARCHIVE = "/var/lib/hotfire/images.tar"
_GO_ENV = BASE_ENV | {"GOGC": "60"}
# `hotfire.lab.programs` for machines and pods, without the tool's own imports above it.
_PROGRAMS = "/opt/hotfire/programs"
# Where a worker sees what the host lends it.
_PLACES = {
    "binaries": "/opt/hotfire/bin",
    "add_ons": "/opt/hotfire/add-ons",
    "python": "/opt/hotfire/python",
    "engine": "/opt/hotfire/engine",
    "tool": "/opt/hotfire/tool",
    "source": "/opt/hotfire/src",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPaths:
    """Where the host keeps what workers carry."""

    binaries: Path
    add_ons: Path
    python: Path
    engine: Path
    tool: Path
    source: Path


def blueprint(
    topology: Topology, machine: Machine, pki_directory: Path, lent: HostPaths
) -> Blueprint:
    """Return a worker; ``pki_directory`` holds its kubeconfigs and certificates."""
    devices = topology.sharing(machine).devices(machine.gpus)
    return Blueprint(
        machine=machine,
        services=(
            *machine_services(machine),
            Service(
                name="containerd",
                argv=("containerd", "-c", "/etc/containerd/config.toml"),
                env=_GO_ENV,
            ),
            Service(name="kubelet", argv=_kubelet(machine), env=_GO_ENV),
            Service(
                name="kube-proxy",
                argv=("kube-proxy", "--config=/etc/kubernetes/proxy.json"),
                env=_GO_ENV,
            ),
            _announcer(machine),
        ),
        binds=(
            *(
                Bind(source=str(getattr(lent, name)), target=place)
                for name, place in _PLACES.items()
            ),
            Bind(source=str(pki_directory), target=PKI),
            Bind(source=str(programs.path(".")), target=f"{_PROGRAMS}/hotfire/lab/programs"),
        ),
        files=node_files.files(topology, machine),
        block_devices={device.node: gpu_device.encode(device) for device in devices},
        directories=(
            "/run/bird",
            "/run/containerd",
            "/run/lock",
            "/run/netns",
            *(str(gpu_device.LIVE / device.uuid) for device in devices),
            "/var/lib/containerd",
            "/var/lib/kubelet",
            "/var/lib/cni/networks",
            str(gpu_device.HEALTH),
            "/var/log/pods",
        ),
    )


def lent_to(spec: Spec) -> HostPaths:
    """Return what a worker that was switched on with this specification carries."""
    sources = {bind["target"]: Path(bind["source"]) for bind in spec["binds"]}
    return HostPaths(**{name: sources[place] for name, place in _PLACES.items()})


def node_labels(topology: Topology, machine: Machine) -> dict[str, str]:
    """Return what the worker's Node says of its place and its GPUs from the start."""
    return {
        "topology.kubernetes.io/zone": machine.rack or "",
        "kubernetes.io/hostname": machine.name,
        **gpu_labels.labels(topology.sharing(machine), len(machine.gpus)),
    }


def node_object(
    topology: Topology, machine: Machine, labels: Mapping[str, str] | None = None
) -> dict[str, object]:
    """Return the Node to create beforehand: rack, GPU labels, taint, pod network are never late."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": machine.name,
            "labels": {**node_labels(topology, machine), **(labels or {})},
        },
        "spec": {
            "podCIDR": machine.pod_network,
            "podCIDRs": [machine.pod_network],
            "taints": [GPU_TAINT] if machine.gpus else [],
        },
    }


def _kubelet(machine: Machine) -> tuple[str, ...]:
    return (
        "kubelet",
        "--config=/etc/kubernetes/kubelet.json",
        f"--kubeconfig={PKI}/{machine.name}.conf",
        f"--hostname-override={machine.name}",
        f"--node-ip={machine.address}",
        "--root-dir=/var/lib/kubelet",
    )


def _announcer(machine: Machine) -> Service:
    """Return what tells the routers which LoadBalancer addresses the node serves."""
    place = (machine.name, str(BALANCED_NETWORK), API_ADDRESS, str(API_PORT), PKI, "proxy")
    python = ("/opt/hotfire/python/bin/python3", "-S", "-B", "-m")
    return Service(
        name="address-announcer",
        argv=(
            *python,
            *("hotfire.lab.programs.service_addresses", "announce"),
            *(*place, fabric.BALANCED_CONFIG, fabric.BIRD_SOCKET),
        ),
        env=BASE_ENV | {"PYTHONPATH": _PROGRAMS},
    )
