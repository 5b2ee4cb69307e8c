"""A top-of-rack router, and BIRD as every machine of the fabric runs it."""

from hotfire.lab import fabric
from hotfire.lab.machines import Blueprint, Service
from hotfire.lab.topology import Machine, Topology


def bird_service() -> Service:
    """BIRD runs on the machine itself, before and without Kubernetes."""
    argv = ("bird", "-f", "-c", fabric.BIRD_CONFIG, "-s", fabric.BIRD_SOCKET)
    return Service(name="bird", argv=argv, nice=-10)


def blueprint(topology: Topology, machine: Machine) -> Blueprint:
    """Return a router: BIRD and nothing else."""
    return Blueprint(
        machine=machine,
        services=(bird_service(),),
        files={fabric.BIRD_CONFIG: fabric.bird_config(topology, machine)},
        directories=("/run/bird",),
    )
