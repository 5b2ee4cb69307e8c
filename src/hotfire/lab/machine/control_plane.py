"""A member of the control plane: etcd, API server, controllers and scheduler as services.

The members need nothing of the cluster to start: no DNS, no add-on, no service network. Clients
reach the API servers under one address, which each member announces while its own is ready.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hotfire.lab import programs
from hotfire.lab.machine import api_policy, pki
from hotfire.lab.network import fabric
from hotfire.lab.network.router import machine_services
from hotfire.lab.shape.blueprint import BASE_ENV, PKI, Bind, Blueprint, Service
from hotfire.lab.shape.topology import (
    API_ADDRESS,
    API_PORT,
    POD_NETWORK,
    SERVICE_NETWORK,
    Machine,
    Topology,
)

_ANNOUNCER = programs.path("api_announcer.py")
_ANNOUNCER_PROGRAM = "/opt/hotfire/api_announcer.py"
_GO_ENV = BASE_ENV | {"GOGC": "75"}
# Whoever reads their metrics can verify these; those made at a start are anybody's.
_METRICS_TLS = (f"--tls-cert-file={PKI}/api.crt", f"--tls-private-key-file={PKI}/api.key")


@dataclass(frozen=True, slots=True, kw_only=True)
class Switched:
    """What a version of Kubernetes is switched on by, as far as it differs from others."""

    gangs: tuple[str, ...]
    """Feature gates."""
    pod_groups: str
    """API version of PodGroup."""
    taint_rules: str = ""
    """API version of DeviceTaintRule; empty: it is on by itself."""


SWITCHED: Final = {
    "1.36": Switched(
        gangs=("GenericWorkload", "GangScheduling"),
        pod_groups="scheduling.k8s.io/v1alpha2",
        taint_rules="resource.k8s.io/v1beta2",
    ),
    "1.37": Switched(gangs=("GenericWorkload",), pod_groups="scheduling.k8s.io/v1beta1"),
}
"""By minor version. Source: kube_features.go and the API's groups of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPaths:
    """Where the host keeps what a member carries."""

    binaries: Path
    python: Path


def blueprint(topology: Topology, machine: Machine, directory: Path, lent: HostPaths) -> Blueprint:
    """Return a member; ``directory`` holds its certificates and kubeconfigs."""
    return Blueprint(
        machine=machine,
        services=(
            *machine_services(machine),
            Service(name="etcd", argv=_etcd(topology, machine), env=_GO_ENV),
            Service(name="kube-apiserver", argv=_api_server(topology, machine), env=_GO_ENV),
            Service(
                name="kube-controller-manager", argv=_controller_manager(topology), env=_GO_ENV
            ),
            Service(name="kube-scheduler", argv=_scheduler(topology), env=_GO_ENV),
            Service(name="api-announcer", argv=_announcer(), nice=-10),
        ),
        binds=(
            Bind(source=str(lent.binaries), target="/opt/hotfire/bin"),
            Bind(source=str(lent.python), target="/opt/hotfire/python"),
            Bind(source=str(directory), target=PKI),
        ),
        files={
            fabric.BIRD_CONFIG: fabric.bird_config(topology, machine),
            _ANNOUNCER_PROGRAM: _ANNOUNCER.read_text(),
            **api_policy.files(),
        },
        directories=("/run/bird", "/var/lib/etcd", api_policy.AUDIT_DIRECTORY),
    )


def server(address: str = API_ADDRESS) -> str:
    """Return the URL of one member's API server, or of whichever is ready."""
    return f"https://{address}:{API_PORT}"


def service_endpoints() -> tuple[dict[str, object], ...]:
    """Return what the service ``kubernetes`` stands for, the announced address, in both its kinds.

    The API servers' own reconciler would list each member, and a dead one for another 15 s.
    """
    port = {"name": "https", "port": API_PORT, "protocol": "TCP"}
    name = {"name": "kubernetes", "namespace": "default"}
    made = {"endpointslice.kubernetes.io/managed-by": "hotfire-lab"}
    whose = {"kubernetes.io/service-name": "kubernetes"}
    # As the reconciler does, or a controller would make a second slice of the Endpoints.
    alone = {"endpointslice.kubernetes.io/skip-mirror": "true"}
    return (
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {**name, "labels": {**whose, **made}},
            "addressType": "IPv4",
            "ports": [port],
            "endpoints": [{"addresses": [API_ADDRESS], "conditions": {"ready": True}}],
        },
        {
            "apiVersion": "v1",
            "kind": "Endpoints",
            "metadata": {**name, "labels": alone},
            "subsets": [{"addresses": [{"ip": API_ADDRESS}], "ports": [port]}],
        },
    )


def write_identities(directory: Path, authority: pki.Authority, machine: Machine) -> None:
    """Write the kubeconfigs of the member's own clients, which ask their own API server."""
    for identity in pki.IDENTITIES:
        pair = authority.issue(identity.common_name, groups=identity.groups)
        text = pki.kubeconfig(server(machine.address), authority.certificate, pair)
        (directory / f"{identity.file}.conf").write_text(text)


def _announcer() -> tuple[str, ...]:
    python = "/opt/hotfire/python/bin/python3"
    return (python, "-I", "-S", _ANNOUNCER_PROGRAM, API_ADDRESS, str(API_PORT), f"{PKI}/ca.crt")


def _etcd(topology: Topology, machine: Machine) -> tuple[str, ...]:
    client, peer = f"http://{machine.address}:2379", f"http://{machine.address}:2380"
    cluster = ",".join(f"{each.name}=http://{each.address}:2380" for each in topology.members)
    return (
        "etcd",
        f"--name={machine.name}",
        "--data-dir=/var/lib/etcd",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster={cluster}",
        f"--listen-metrics-urls=http://{machine.address}:2381",
        # The lab's data is worth nothing after it; the disk's fsync would cost a second at start.
        "--unsafe-no-fsync",
    )


def _api_server(topology: Topology, machine: Machine) -> tuple[str, ...]:
    return (
        "kube-apiserver",
        f"--advertise-address={API_ADDRESS}",
        "--endpoint-reconciler-type=none",
        f"--secure-port={API_PORT}",
        # Its own member only: a member that is cut off must find itself unready.
        f"--etcd-servers=http://{machine.address}:2379",
        f"--service-cluster-ip-range={SERVICE_NETWORK}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={PKI}/service-account.pub",
        f"--service-account-signing-key-file={PKI}/service-account.key",
        f"--client-ca-file={PKI}/ca.crt",
        f"--tls-cert-file={PKI}/api.crt",
        f"--tls-private-key-file={PKI}/api.key",
        f"--kubelet-client-certificate={PKI}/api-client.crt",
        f"--kubelet-client-key={PKI}/api-client.key",
        f"--kubelet-certificate-authority={PKI}/ca.crt",
        # Without it exec and logs try to resolve node names, and hang.
        "--kubelet-preferred-address-types=InternalIP",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        f"--requestheader-client-ca-file={PKI}/ca.crt",
        # One authority signs clients and the front proxy: the names must be told apart.
        "--requestheader-allowed-names=apiserver-kubelet",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-username-headers=X-Remote-User",
        f"--proxy-client-cert-file={PKI}/api-client.crt",
        f"--proxy-client-key-file={PKI}/api-client.key",
        f"--feature-gates={_gates(topology)}",
        f"--runtime-config={','.join(f'{one}=true' for one in _versions(topology))}",
        *api_policy.arguments(PKI),
        "--profiling=false",
    )


def _gates(topology: Topology) -> str:
    gates = SWITCHED[topology.kubernetes].gangs + ("DRADeviceTaintRules",) * topology.by_claim
    return ",".join(f"{gate}=true" for gate in gates)


def _versions(topology: Topology) -> tuple[str, ...]:
    """Return the API versions that are served beside the usual ones."""
    found = SWITCHED[topology.kubernetes]
    return tuple(filter(None, (found.pod_groups, found.taint_rules * topology.by_claim)))


def _controller_manager(topology: Topology) -> tuple[str, ...]:
    config = f"{PKI}/controller-manager.conf"
    return (
        "kube-controller-manager",
        f"--kubeconfig={config}",
        f"--authentication-kubeconfig={config}",
        f"--authorization-kubeconfig={config}",
        f"--service-account-private-key-file={PKI}/service-account.key",
        f"--root-ca-file={PKI}/ca.crt",
        f"--cluster-signing-cert-file={PKI}/ca.crt",
        f"--cluster-signing-key-file={PKI}/ca.key",
        "--use-service-account-credentials=true",
        *_election(topology),
        f"--cluster-cidr={POD_NETWORK}",
        # Its controllers let PodGroups go again.
        f"--feature-gates={_gates(topology)}",
        # A third of the default: autoscalers are watched here, in both directions.
        "--horizontal-pod-autoscaler-sync-period=5s",
        *_METRICS_TLS,
        "--profiling=false",
    )


def _scheduler(topology: Topology) -> tuple[str, ...]:
    config = f"{PKI}/scheduler.conf"
    return (
        "kube-scheduler",
        f"--kubeconfig={config}",
        f"--authentication-kubeconfig={config}",
        f"--authorization-kubeconfig={config}",
        f"--feature-gates={_gates(topology)}",
        *_election(topology),
        *_METRICS_TLS,
        "--profiling=false",
    )


def _election(topology: Topology) -> tuple[str, ...]:
    """Return the flags by which one of several members leads; alone, it need not ask."""
    return (f"--leader-elect={str(len(topology.members) > 1).lower()}",)
