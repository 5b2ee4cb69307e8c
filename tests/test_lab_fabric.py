"""BIRD's configuration: one session per neighbour, and BIRD itself accepts it."""

import errno
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from pyroute2 import NetlinkError

from hotfire.lab.network import fabric
from hotfire.lab.programs.service_addresses import announcer
from hotfire.lab.shape.topology import Machine, Topology

TOPOLOGY = Topology(nodes=3, racks=3, control_planes=3)
EVERY_MACHINE = pytest.mark.parametrize("machine", TOPOLOGY.machines, ids=lambda each: each.name)


def neighbours(machine: Machine) -> dict[str, str]:
    """Return the machine's BGP neighbours: address to autonomous system."""
    config = fabric.bird_config(TOPOLOGY, machine)
    return dict(re.findall(r"neighbor ([\d.]+) as (\d+);", config))


@EVERY_MACHINE
def test_machine_has_one_session_per_cable(machine: Machine) -> None:
    links = TOPOLOGY.links_of(machine)

    assert len(neighbours(machine)) == len(links) > 0


@EVERY_MACHINE
def test_both_ends_of_a_cable_name_each_other(machine: Machine) -> None:
    for link in TOPOLOGY.links_of(machine):
        to_machine = neighbours(link.router)[str(link.machine_address.ip)]
        to_router = neighbours(link.machine)[str(link.router_address.ip)]
        assert (to_machine, to_router) == (str(link.machine.asn), str(link.router.asn))


def test_worker_announces_itself_its_pods_and_the_services() -> None:
    config = fabric.bird_config(TOPOLOGY, TOPOLOGY.machine("n2"))

    routes = re.findall(r"route (\S+) blackhole", config)

    assert routes == ["10.0.0.2/32", "10.244.2.0/24", "10.96.0.0/16"]


def test_only_workers_announce_what_their_announcer_lists() -> None:
    configs = {each.name: fabric.bird_config(TOPOLOGY, each) for each in TOPOLOGY.machines}

    assert [name for name in configs if "include" in configs[name]] == ["n1", "n2", "n3"]


def test_only_the_control_plane_announces_the_api_address() -> None:
    configs = {each.name: fabric.bird_config(TOPOLOGY, each) for each in TOPOLOGY.machines}

    assert [name for name in configs if "10.0.100.1/32" in configs[name]] == ["cp1", "cp2", "cp3"]


def test_only_routers_pass_on_what_they_learnt() -> None:
    exports = {
        machine.name: set(
            re.findall(r"export (all|where proto = \"mine\" .*proto = \"balanced\");", config)
        )
        for machine in TOPOLOGY.machines
        for config in [fabric.bird_config(TOPOLOGY, machine)]
    }

    assert [name for name, seen in exports.items() if seen == {"all"}] == ["r1", "r2"]
    assert all(len(seen) == 1 for seen in exports.values())


class Vanished(dict[str, int]):
    """A link that the kernel has listed, and that is gone when it is to be removed."""

    def get_attr(self, _name: str) -> str:
        return "veth0a1b"


class Routes:
    """Refuses as the kernel does."""

    def __init__(self, code: int) -> None:
        self._code = code

    def link(self, _verb: str, *, index: int) -> None:
        raise NetlinkError(self._code, f"link {index}")


def test_pods_cable_that_vanishes_while_its_node_is_reset_is_no_failure() -> None:
    node = TOPOLOGY.machine("n1")

    fabric.forget(Routes(errno.ENODEV), Vanished(index=7), node, ["up1"])

    with pytest.raises(NetlinkError):
        fabric.forget(Routes(errno.EPERM), Vanished(index=7), node, ["up1"])


def test_a_worker_starts_with_no_services_address() -> None:
    assert announcer.bird_config([]) == fabric.NONE_BALANCED


@pytest.mark.skipif(not shutil.which("bird"), reason="bird is not installed")
@EVERY_MACHINE
def test_bird_accepts_the_configuration(machine: Machine, tmp_path: Path) -> None:
    config = fabric.bird_config(TOPOLOGY, machine)
    path = tmp_path / "bird.conf"
    # BIRD opens its log files even when it only parses.
    (tmp_path / "balanced.conf").write_text(announcer.bird_config(["10.0.200.1", "10.0.200.2"]))
    path.write_text(config.replace("/var/log/", f"{tmp_path}/").replace("/etc/bird", str(tmp_path)))

    done = subprocess.run(
        ["bird", "-p", "-c", str(path)], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
