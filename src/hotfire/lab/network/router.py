"""A top-of-rack router, and the services that every machine of the fabric runs."""

from hotfire.lab.network import fabric
from hotfire.lab.shape.blueprint import BASE_ENV, Blueprint, Service
from hotfire.lab.shape.topology import Machine, Topology

NODE_EXPORTER_PORT = 9100
BIRD_EXPORTER_PORT = 9324
# One thread and a small heap: there is one of each on every machine.
_EXPORTER_ENV = BASE_ENV | {"GOMAXPROCS": "1", "GOGC": "50"}
_COLLECTORS = ("conntrack", "loadavg", "netclass", "netdev", "netstat", "qdisc", "sockstat")


def machine_services(machine: Machine) -> tuple[Service, ...]:
    """Return BIRD, which runs before and without Kubernetes, and what shows the machine's network.

    The exporters are those of a real data centre, so their metrics have the names known there.
    """
    return (
        Service(
            name="bird",
            argv=("bird", "-f", "-c", fabric.BIRD_CONFIG, "-s", fabric.BIRD_SOCKET),
            nice=-10,
            # A data centre's BFD does not wait behind its engines: on shared cores they, and what
            # else the host does, would hold it up for longer than its detection time.
            realtime=True,
        ),
        Service(name="prometheus-node-exporter", argv=_node_exporter(machine), env=_EXPORTER_ENV),
        Service(name="prometheus-bird-exporter", argv=_bird_exporter(machine), env=_EXPORTER_ENV),
    )


def _node_exporter(machine: Machine) -> tuple[str, ...]:
    return (
        "prometheus-node-exporter",
        # Processor, memory and disks are the host's, the same on every machine: left out.
        "--collector.disable-defaults",
        *(f"--collector.{name}" for name in _COLLECTORS),
        # Pods' ends of their cables: cAdvisor tells about those.
        "--collector.netdev.device-exclude=^veth.*",
        "--collector.netclass.ignored-devices=^veth.*",
        "--web.disable-exporter-metrics",
        f"--web.listen-address={machine.address}:{NODE_EXPORTER_PORT}",
        "--log.level=warn",
    )


def _bird_exporter(machine: Machine) -> tuple[str, ...]:
    absent = ("babel", "ospf", "rpki")
    return (
        "prometheus-bird-exporter",
        "-bird.v2",
        f"-bird.socket={fabric.BIRD_SOCKET}",
        *(f"-proto.{name}=false" for name in absent),
        f"-web.listen-address={machine.address}:{BIRD_EXPORTER_PORT}",
    )


def blueprint(topology: Topology, machine: Machine) -> Blueprint:
    """Return a router: BIRD and nothing else."""
    return Blueprint(
        machine=machine,
        services=machine_services(machine),
        files={fabric.BIRD_CONFIG: fabric.bird_config(topology, machine)},
        directories=("/run/bird",),
    )
