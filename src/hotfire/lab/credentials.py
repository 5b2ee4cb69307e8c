"""Who gets which certificates and kubeconfigs when a lab starts."""

from hotfire.lab import control_plane, pki
from hotfire.lab.state import State
from hotfire.lab.topology import SERVICE_NETWORK, Machine, Topology

# Pods reach the API server under the first service address.
_SERVICE_API_ADDRESS = str(next(SERVICE_NETWORK.hosts()))


def write(topology: Topology, state: State, *, api_port: int) -> None:
    """Write those of the control plane, of each worker and of the operator on the host."""
    machine = topology.control_plane
    directory = state.pki / machine.name
    authority = pki.write_control_plane(
        directory, address=machine.address, service_address=_SERVICE_API_ADDRESS
    )
    control_plane.write_identities(directory, authority, machine)
    proxy = (directory / "proxy.conf").read_text()
    for node in topology.workers:
        _write_worker(state, authority, node, control_plane.server(machine))
        (state.pki / node.name / "proxy.conf").write_text(proxy)
    _write_operator(state, authority, api_port)


def _write_worker(state: State, authority: pki.Authority, node: Machine, server: str) -> None:
    home = state.pki / node.name
    pair = authority.issue(
        f"system:node:{node.name}", groups=("system:nodes",), addresses=(node.name, node.address)
    )
    pki.write_pair(home, node.name, pair)
    (home / "ca.crt").write_bytes(authority.certificate)
    (home / f"{node.name}.conf").write_text(pki.kubeconfig(server, authority.certificate, pair))


def _write_operator(state: State, authority: pki.Authority, api_port: int) -> None:
    admin = authority.issue("lab-admin", groups=("system:masters",))
    pki.write_pair(state.pki, "admin", admin)
    server = f"https://127.0.0.1:{api_port}"
    state.kubeconfig.write_text(pki.kubeconfig(server, authority.certificate, admin))
    state.kubeconfig.chmod(0o600)
