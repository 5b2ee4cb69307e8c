"""The data-centre network: cables, addresses, kernel parameters and BIRD's configuration.

Every machine is a BGP speaker with an autonomous system of its own and one session to each router;
BFD finds dead paths and both uplinks carry traffic (ECMP). Pod and service addresses are routed end
to end without NAT on the way.
"""

import errno
import socket
from ipaddress import IPv4Interface
from typing import Any

from pyroute2 import IPRoute, NetlinkError

from hotfire.errors import LabError
from hotfire.lab.network import netns
from hotfire.lab.shape.topology import (
    API_ADDRESS,
    BALANCED_NETWORK,
    MTU,
    SERVICE_NETWORK,
    Link,
    Machine,
    Role,
    Topology,
)

BFD_INTERVAL_MS = 100
BFD_MULTIPLIER = 3
HOLD_SECONDS = 9
BIRD_SOCKET = "/run/bird/bird.ctl"
BIRD_CONFIG = "/etc/bird/bird.conf"
# A worker's announcer writes there which Services' addresses it announces.
BALANCED_CONFIG, NONE_BALANCED = "/etc/bird/balanced.conf", "protocol static balanced { ipv4; }\n"

# Hash over the inner five-tuple with one seed everywhere: policy 1 re-hashes on TCP retransmission
# over veth.
_SYSCTLS = {
    "ipv4/ip_forward": "1",
    "ipv4/fib_multipath_hash_policy": "3",
    "ipv4/fib_multipath_hash_fields": "55",
    "ipv4/conf/all/rp_filter": "0",
    "ipv4/conf/default/rp_filter": "0",
    "ipv4/conf/all/ignore_routes_with_linkdown": "1",
    "ipv4/conf/default/ignore_routes_with_linkdown": "1",
    "ipv6/conf/all/disable_ipv6": "1",
    "ipv6/conf/default/disable_ipv6": "1",
}
# The announcer puts the address on the loopback device while the API server is ready.
_API_ADDRESS = f"""protocol direct api {{
  interface "lo"; ipv4 {{ import where net = {API_ADDRESS}/32; }};
}}
"""
_OWN = " || ".join(f'proto = "{name}"' for name in ("mine", "api", "balanced"))
_HASH_SEED = {"ipv4/fib_multipath_hash_seed": "4242"}


def build(topology: Topology) -> None:
    """Create every namespace, cable and address; nothing runs in them yet."""
    for router in topology.routers:
        _create(router)
    for machine in topology.attached:
        attach(topology, machine)


def attach(topology: Topology, machine: Machine) -> None:
    """Create one machine's namespace and addresses, and its cables to the routers."""
    _create(machine)
    with IPRoute() as routes:
        for link in topology.links_of(machine):
            _cable(routes, link)
    for link in topology.links_of(machine):
        _address(link.machine, link.uplink, link.machine_address)
        _address(link.router, link.port, link.router_address)
    if machine.role is Role.WORKER:
        netns.run(machine.network_namespace, ["nft", "-f", "-"], stdin=_node_rules(machine))
        _route_services(machine)


def _route_services(worker: Machine) -> None:
    """Give the node's own programs a way to service addresses, which kube-proxy then rewrites.

    Without any route the kernel refuses before its rules are asked; elsewhere the default route
    serves for it.
    """
    with netns.inside(worker.network_namespace), IPRoute() as routes:
        loopback = routes.link_lookup(ifname="lo")[0]
        for network in (SERVICE_NETWORK, BALANCED_NETWORK):
            routes.route("add", dst=str(network), oif=loopback, prefsrc=worker.address, scope=253)


def detach(topology: Topology, machine: Machine) -> None:
    """Pull a machine's cables and remove its namespace; what is gone already is fine."""
    for link in topology.links_of(machine):
        # The kernel would take them with the namespace, but some time later.
        with netns.inside(link.router.network_namespace), IPRoute() as routes:
            for index in routes.link_lookup(ifname=link.port):
                routes.link("del", index=index)
    netns.delete(machine.network_namespace)


def _create(machine: Machine) -> None:
    netns.create(machine.network_namespace)
    netns.set_sysctls(machine.network_namespace, _SYSCTLS | _HASH_SEED)
    with netns.inside(machine.network_namespace), IPRoute() as routes:
        loopback = routes.link_lookup(ifname="lo")[0]
        routes.addr("add", index=loopback, address=machine.address, prefixlen=32)
        routes.link("set", index=loopback, state="up")


def reset(topology: Topology, machine: Machine) -> None:
    """Leave of a machine's network what is there before it boots: cables, addresses, rules.

    Its namespace outlives a power cut, and with it what its kernel would have forgotten.

    Raises:
        LabError: the kernel refused.
    """
    space, uplinks = machine.network_namespace, [each.uplink for each in topology.links_of(machine)]
    netns.run(space, ["nft", "flush", "ruleset"])
    netns.run(space, ["conntrack", "-F"])
    try:
        with netns.inside(space), IPRoute() as routes:
            for link in routes.get_links():
                forget(routes, link, machine, uplinks)
    except NetlinkError as error:
        raise LabError(f"the network of {machine.name} cannot be reset: {error}") from error
    if machine.role is Role.WORKER:
        netns.run(space, ["nft", "-f", "-"], stdin=_node_rules(machine))


def forget(routes: IPRoute, link: Any, machine: Machine, uplinks: list[str]) -> None:  # noqa: ANN401
    """Take from one link what a boot would: a pod's end of a cable goes as a whole."""
    name, index = link.get_attr("IFLA_IFNAME"), link["index"]
    if name == "lo":
        for row in routes.get_addr(index=index, family=socket.AF_INET):
            address = row.get_attr("IFA_ADDRESS")
            if address not in {machine.address, "127.0.0.1"}:
                routes.addr("del", index=index, address=address, prefixlen=row["prefixlen"])
    elif name in uplinks:
        # Down and up: its routes and neighbours are gone, its address stays.
        routes.link("set", index=index, state="down")
        routes.link("set", index=index, state="up")
    else:
        try:
            routes.link("del", index=index)
        except NetlinkError as error:
            # The pod's own end went meanwhile, with its namespace, and took this one along.
            if error.code != errno.ENODEV:
                raise


def _cable(routes: IPRoute, link: Link) -> None:
    routes.link(
        "add",
        kind="veth",
        ifname=link.uplink,
        net_ns_fd=link.machine.network_namespace,
        peer={"ifname": link.port, "net_ns_fd": link.router.network_namespace},
    )


def _address(machine: Machine, interface: str, address: IPv4Interface) -> None:
    with netns.inside(machine.network_namespace), IPRoute() as routes:
        index = routes.link_lookup(ifname=interface)[0]
        # Scope link: the kernel must never choose an uplink's address as a source, or the
        # connection dies with that uplink.
        routes.addr("add", index=index, address=str(address.ip), prefixlen=31, scope=253)
        routes.link("set", index=index, mtu=MTU, state="up")


def _node_rules(worker: Machine) -> str:
    """Return nftables rules: source NAT to the node's own address, and no looping of services.

    The NAT comes before kube-proxy's, which would take the uplink's address.
    """
    services = f"{{ {SERVICE_NETWORK}, {BALANCED_NETWORK} }}"
    return f"""
table ip hotfire {{
  chain source {{
    type nat hook postrouting priority srcnat - 10;
    meta mark & 0x4000 == 0x4000 oifname "up*" snat to {worker.address}
  }}
  chain loops {{
    type filter hook forward priority filter - 10;
    ip daddr {services} iifname "up*" oifname "up*" drop
    ip daddr {services} iifname "lo" drop
  }}
}}
"""


def bird_config(topology: Topology, machine: Machine) -> str:
    """Return BIRD's whole configuration for one machine."""
    links = topology.links_of(machine)
    own = "".join(f"route {each} blackhole; " for each in _announced(machine))
    source = "" if machine.role is Role.ROUTER else f"krt_prefsrc = {machine.address}; "
    head = f"""log stderr {{ warning, error, auth, fatal, bug, remote }};
log "/var/log/bird-trace.log" {{ info, trace, warning, error, remote }};
router id {machine.address};
debug protocols {{ states, events }};
protocol device {{ scan time 2; }}
protocol kernel {{
  ipv4 {{ import none; export filter {{ if source != RTS_BGP then reject; {source}accept; }}; }};
  merge paths on limit 8; scan time 10;
}}
protocol bfd {{
  interface "*" {{
    min rx interval {BFD_INTERVAL_MS} ms; min tx interval {BFD_INTERVAL_MS} ms;
    idle tx interval 500 ms; multiplier {BFD_MULTIPLIER};
  }};
}}
protocol static mine {{ ipv4; {own}}}
"""
    if machine.role is Role.CONTROL_PLANE:
        head += _API_ADDRESS
    if machine.role is Role.WORKER:
        head += f'include "{BALANCED_CONFIG}";\n'
    return head + "".join(_session(machine, link) for link in links)


def _announced(machine: Machine) -> list[str]:
    own = [f"{machine.address}/32"]
    if machine.pod_network:
        own += [machine.pod_network, str(SERVICE_NETWORK)]
    return own


def _session(machine: Machine, link: Link) -> str:
    is_router = machine is link.router
    local, peer = (
        (link.router_address, link.machine_address)
        if is_router
        else (link.machine_address, link.router_address)
    )
    neighbour = link.machine if is_router else link.router
    export = "all" if is_router else f"where {_OWN}"
    interface = link.port if is_router else link.uplink
    return f"""protocol bgp to_{neighbour.name} {{
  local {local.ip} as {machine.asn}; neighbor {peer.ip} as {neighbour.asn}; interface "{interface}";
  direct; bfd on; hold time {HOLD_SECONDS}; keepalive time {HOLD_SECONDS // 3};
  connect retry time 1; connect delay time 1; error wait time 1,2; graceful restart off;
  ipv4 {{ import all; export {export}; next hop self; }};
}}
"""
