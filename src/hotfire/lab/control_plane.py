"""The control-plane machine: etcd, API server, controllers and scheduler as services."""

from pathlib import Path

from hotfire.lab import fabric, pki
from hotfire.lab.machines import BASE_ENV, Bind, Blueprint, Service
from hotfire.lab.router import bird_service
from hotfire.lab.topology import POD_NETWORK, SERVICE_NETWORK, Machine, Topology

API_PORT = 6443
_PKI = "/etc/kubernetes/pki"
_GATES = "GenericWorkload=true,GangScheduling=true"
_GO_ENV = BASE_ENV | {"GOGC": "75"}


def blueprint(topology: Topology, directory: Path, binaries: Path) -> Blueprint:
    """Return the machine; ``directory`` holds what `pki.write_control_plane` wrote."""
    machine = topology.control_plane
    return Blueprint(
        machine=machine,
        services=(
            bird_service(),
            Service(name="etcd", argv=_etcd(machine), env=_GO_ENV),
            Service(name="kube-apiserver", argv=_api_server(machine), env=_GO_ENV),
            Service(name="kube-controller-manager", argv=_controller_manager(), env=_GO_ENV),
            Service(name="kube-scheduler", argv=_scheduler(), env=_GO_ENV),
        ),
        binds=(
            Bind(source=str(binaries), target="/opt/hotfire/bin"),
            Bind(source=str(directory), target=_PKI),
        ),
        files={fabric.BIRD_CONFIG: fabric.bird_config(topology, machine)},
        directories=("/run/bird", "/var/lib/etcd"),
    )


def server(machine: Machine) -> str:
    return f"https://{machine.address}:{API_PORT}"


def write_identities(directory: Path, authority: pki.Authority, machine: Machine) -> None:
    """Write the kubeconfigs of the control plane's own clients."""
    for identity in pki.IDENTITIES:
        pair = authority.issue(identity.common_name, groups=identity.groups)
        text = pki.kubeconfig(server(machine), authority.certificate, pair)
        (directory / f"{identity.file}.conf").write_text(text)


def _etcd(machine: Machine) -> tuple[str, ...]:
    client, peer = f"http://{machine.address}:2379", f"http://{machine.address}:2380"
    return (
        "etcd",
        "--name=cp1",
        "--data-dir=/var/lib/etcd",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=cp1={peer}",
        # The lab's data is worth nothing after it; the disk's fsync would cost a second at start.
        "--unsafe-no-fsync",
    )


def _api_server(machine: Machine) -> tuple[str, ...]:
    return (
        "kube-apiserver",
        f"--advertise-address={machine.address}",
        f"--secure-port={API_PORT}",
        f"--etcd-servers=http://{machine.address}:2379",
        f"--service-cluster-ip-range={SERVICE_NETWORK}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={_PKI}/service-account.pub",
        f"--service-account-signing-key-file={_PKI}/service-account.key",
        f"--client-ca-file={_PKI}/ca.crt",
        f"--tls-cert-file={_PKI}/api.crt",
        f"--tls-private-key-file={_PKI}/api.key",
        f"--kubelet-client-certificate={_PKI}/api-client.crt",
        f"--kubelet-client-key={_PKI}/api-client.key",
        f"--kubelet-certificate-authority={_PKI}/ca.crt",
        # Without it exec and logs try to resolve node names, and hang.
        "--kubelet-preferred-address-types=InternalIP",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        f"--requestheader-client-ca-file={_PKI}/ca.crt",
        # One authority signs clients and the front proxy: the names must be told apart.
        "--requestheader-allowed-names=apiserver-kubelet",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-username-headers=X-Remote-User",
        f"--proxy-client-cert-file={_PKI}/api-client.crt",
        f"--proxy-client-key-file={_PKI}/api-client.key",
        f"--feature-gates={_GATES}",
        "--runtime-config=scheduling.k8s.io/v1alpha2=true",
        "--profiling=false",
    )


def _controller_manager() -> tuple[str, ...]:
    config = f"{_PKI}/controller-manager.conf"
    return (
        "kube-controller-manager",
        f"--kubeconfig={config}",
        f"--authentication-kubeconfig={config}",
        f"--authorization-kubeconfig={config}",
        f"--service-account-private-key-file={_PKI}/service-account.key",
        f"--root-ca-file={_PKI}/ca.crt",
        f"--cluster-signing-cert-file={_PKI}/ca.crt",
        f"--cluster-signing-key-file={_PKI}/ca.key",
        "--use-service-account-credentials=true",
        "--leader-elect=false",
        f"--cluster-cidr={POD_NETWORK}",
        "--profiling=false",
    )


def _scheduler() -> tuple[str, ...]:
    config = f"{_PKI}/scheduler.conf"
    return (
        "kube-scheduler",
        f"--kubeconfig={config}",
        f"--authentication-kubeconfig={config}",
        f"--authorization-kubeconfig={config}",
        f"--feature-gates={_GATES}",
        "--leader-elect=false",
        "--profiling=false",
    )
