"""Who gets which certificates and kubeconfigs when a lab starts."""

import shutil

from hotfire.lab.machine import api_policy, control_plane, pki
from hotfire.lab.shape.state import State
from hotfire.lab.shape.topology import API_ADDRESS, SERVICE_NETWORK, Machine, Topology

# Pods reach the API server under the first service address.
_SERVICE_API_ADDRESS = str(next(SERVICE_NETWORK.hosts()))


def write(topology: Topology, state: State, *, api_port: int) -> None:
    """Write those of the control plane, of each worker and of the operator on the host."""
    addresses = [API_ADDRESS, _SERVICE_API_ADDRESS, *(each.address for each in topology.members)]
    first = state.pki / topology.members[0].name
    authority = pki.write_control_plane(first, addresses=addresses)
    api_policy.write_encryption(first)
    for member in topology.members[1:]:
        # Every member signs and serves with the same keys: a token of one is good at all.
        shutil.copytree(first, state.pki / member.name)
    for member in topology.members:
        control_plane.write_identities(state.pki / member.name, authority, member)
    for node in topology.workers:
        write_worker(state, authority, node)
    _write_operator(state, authority, api_port)


def write_worker(state: State, authority: pki.Authority, node: Machine) -> None:
    """Write what one worker shows to the API server, and to those that ask its kubelet."""
    home = state.pki / node.name
    pair = authority.issue(
        f"system:node:{node.name}", groups=("system:nodes",), addresses=(node.name, node.address)
    )
    pki.write_pair(home, node.name, pair)
    (home / "ca.crt").write_bytes(authority.certificate)
    proxy = authority.issue("system:kube-proxy")
    # The announcer of Services' addresses reads what kube-proxy reads, as kube-proxy.
    pki.write_pair(home, "proxy", proxy)
    for name, client in ((node.name, pair), ("proxy", proxy)):
        text = pki.kubeconfig(control_plane.server(), authority.certificate, client)
        (home / f"{name}.conf").write_text(text)


def _write_operator(state: State, authority: pki.Authority, api_port: int) -> None:
    (state.pki / "ca.crt").write_bytes(authority.certificate)
    admin = authority.issue("lab-admin", groups=("system:masters",))
    pki.write_pair(state.pki, "admin", admin)
    server = f"https://127.0.0.1:{api_port}"
    state.kubeconfig.write_text(pki.kubeconfig(server, authority.certificate, admin))
    state.kubeconfig.chmod(0o600)
