"""Who is in the lab and under which names and addresses: pure data, the same on every machine."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from ipaddress import IPv4Interface, IPv4Network

from hotfire.lab.gpu.gpus import GpuSharing, Strategy

POD_NETWORK = IPv4Network("10.244.0.0/16")
SERVICE_NETWORK = IPv4Network("10.96.0.0/16")
# Of Services of type LoadBalancer: an address is announced by the nodes that serve it, if any do.
BALANCED_NETWORK = IPv4Network("10.0.200.0/24")
# Announced by those members of the control plane whose API server is ready, and by nobody else.
API_ADDRESS = "10.0.100.1"
API_PORT = 6443
DNS_ADDRESS = "10.96.0.10"
GATEWAY_ADDRESS = "10.96.0.80"
PROMETHEUS_ADDRESS = "10.96.0.90"
NAMESPACE_PREFIX = "hotfire-"
# What a lab makes, whatever its shape; others may use the prefix too.
NAMESPACE_PATTERN = re.compile(rf"{NAMESPACE_PREFIX}(r\d+|n\d+|c\d+|cp\d+|store|client)")
CLUSTER_DOMAIN = "cluster.local"
MTU = 1500
KUBERNETES = "1.36"
"""Minor version of a lab's Kubernetes where nobody asks for another one."""
# Workers without GPUs are numbered after it, members of the control plane from 101.
LAST_WORKER = 89


class Role(StrEnum):
    """What a machine is for."""

    ROUTER = "router"
    CONTROL_PLANE = "control-plane"
    WORKER = "worker"
    STORE = "store"
    CLIENT = "client"


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One machine of the lab; ``index`` is unique among everything that hangs on the routers."""

    name: str
    role: Role
    index: int
    address: str
    asn: int
    rack: str | None = None
    pod_network: str | None = None
    gpus: tuple[str, ...] = ()
    small: bool = False
    """Whether it is a worker that gives pods only a part of the host: one without GPUs."""

    @property
    def network_namespace(self) -> str:
        return NAMESPACE_PREFIX + self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A cable between a machine's uplink and a router's port; a /31 of its own."""

    router: Machine
    machine: Machine
    uplink: str
    router_address: IPv4Interface
    machine_address: IPv4Interface

    @property
    def port(self) -> str:
        """The router's interface carries the name of the machine behind it."""
        return self.machine.name


@dataclass(frozen=True, kw_only=True)
class Topology:
    """Top-of-rack routers, and machines with one uplink to each of them."""

    nodes: int = 3
    racks: int = 3
    gpus_per_node: int = 2
    control_planes: int = 1
    """Members of the control plane: 1, or 3 with a quorum over as many racks."""
    uplinks: int = 2
    """Uplinks of each machine; as many routers."""
    pool_nodes: tuple[int, ...] = ()
    """Numbers of workers beyond ``nodes`` that a node pool has added."""
    gpu_sharing: Mapping[str, str] = field(default_factory=dict)
    """How a worker's GPUs are shared, in words, by its name; whole GPUs where it is not named."""
    add_ons: tuple[str, ...] = ()
    """What was asked for besides the core."""
    cpu_nodes: int = 0
    """Smaller workers without GPUs and taint, besides ``nodes``."""
    kubernetes: str = KUBERNETES
    """Minor version of Kubernetes."""

    @cached_property
    def routers(self) -> tuple[Machine, ...]:
        return tuple(
            Machine(name=f"r{i}", role=Role.ROUTER, index=0, address=f"10.0.255.{i}", asn=65100 + i)
            for i in range(1, self.uplinks + 1)
        )

    @cached_property
    def workers(self) -> tuple[Machine, ...]:
        """Those that may have GPUs first."""
        numbers = (*range(1, self.nodes + 1), *self.pool_nodes)
        small = range(1, self.cpu_nodes + 1)
        return (*map(self._worker, numbers), *map(self._cpu_worker, small))

    def _cpu_worker(self, number: int) -> Machine:
        index = LAST_WORKER + number
        plain = replace(self._worker(index), name=f"c{number}", gpus=(), small=True)
        return replace(plain, rack=self._rack(number))

    def _worker(self, number: int) -> Machine:
        return Machine(
            name=f"n{number}",
            role=Role.WORKER,
            index=number,
            address=f"10.0.0.{number}",
            asn=65200 + number,
            rack=self._rack(number),
            pod_network=f"10.244.{number}.0/24",
            gpus=tuple(
                f"GPU-{number:08x}-0000-4000-8000-{g:012x}" for g in range(self.gpus_per_node)
            ),
        )

    def _rack(self, number: int) -> str:
        return f"rack-{(number - 1) % self.racks + 1}"

    def sharing(self, worker: Machine) -> GpuSharing:
        """Return how a worker's GPUs are shared.

        Raises:
            LabError: its words in ``gpu_sharing`` name nothing that a GPU can do.
        """
        return GpuSharing.parse(self.gpu_sharing.get(worker.name, ""))

    @property
    def by_claim(self) -> bool:
        """Whether all GPUs are given out by resource claim."""
        return all(self.sharing(one).strategy is Strategy.DRA for one in self.workers)

    @cached_property
    def members(self) -> tuple[Machine, ...]:
        """The control plane, one machine in each rack as far as there are racks."""
        return tuple(
            Machine(
                name=f"cp{i}",
                role=Role.CONTROL_PLANE,
                index=100 + i,
                address=f"10.0.0.{100 + i}",
                asn=65300 + i,
                rack=self._rack(i),
            )
            for i in range(1, self.control_planes + 1)
        )

    @cached_property
    def store(self) -> Machine:
        """What the platform depends on outside Kubernetes: model store and Redis."""
        return Machine(name="store", role=Role.STORE, index=110, address="10.0.0.110", asn=65402)

    @cached_property
    def client(self) -> Machine:
        """The outside world: where users' requests, the load and the operator come from."""
        return Machine(name="client", role=Role.CLIENT, index=120, address="10.0.254.1", asn=65401)

    @property
    def attached(self) -> tuple[Machine, ...]:
        """Everything with uplinks."""
        return (*self.workers, *self.members, self.store, self.client)

    @property
    def machines(self) -> tuple[Machine, ...]:
        return (*self.routers, *self.attached)

    def machine(self, name: str) -> Machine:
        """Return the machine of that name; KeyError names the ones there are."""
        for machine in self.machines:
            if machine.name == name:
                return machine
        raise KeyError(f"no machine {name!r}; there are {', '.join(m.name for m in self.machines)}")

    @cached_property
    def links(self) -> tuple[Link, ...]:
        return tuple(
            Link(
                router=router,
                machine=machine,
                uplink=f"up{r}",
                router_address=IPv4Interface(f"172.16.{r}.{2 * machine.index}/31"),
                machine_address=IPv4Interface(f"172.16.{r}.{2 * machine.index + 1}/31"),
            )
            for machine in self.attached
            for r, router in enumerate(self.routers, start=1)
        )

    def links_of(self, machine: Machine) -> tuple[Link, ...]:
        return tuple(link for link in self.links if machine in (link.router, link.machine))
