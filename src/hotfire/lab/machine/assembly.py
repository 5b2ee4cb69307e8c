"""The machines of a lab that starts: one blueprint each, and the programs all of them see."""

import shutil
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

from hotfire.lab import programs
from hotfire.lab.build.parts import Parts
from hotfire.lab.machine import client, control_plane, dependencies, worker
from hotfire.lab.network import router
from hotfire.lab.shape.blueprint import Blueprint
from hotfire.lab.shape.state import State
from hotfire.lab.shape.topology import Topology

_SOURCE = Path(__file__).parents[3]
_SHIMS = programs.path("assets")
_CNI_PLUGIN = programs.path("network_policy") / "cni_plugin.py"


def blueprints(
    topology: Topology, state: State, parts: Parts, relays: Iterable[client.Relay]
) -> list[Blueprint]:
    """Return every machine; ``relays`` are the open sockets that the client serves."""
    python, pki = Path(sys.base_prefix), state.pki
    lent = worker.HostPaths(
        binaries=parts.binaries,
        add_ons=state.add_ons,
        python=python,
        engine=parts.engine,
        tool=Path(sysconfig.get_path("purelib")),
        source=_SOURCE,
    )
    carried = control_plane.HostPaths(binaries=parts.binaries, python=python)
    return [
        *(
            control_plane.blueprint(topology, member, pki / member.name, carried)
            for member in topology.members
        ),
        *(router.blueprint(topology, each) for each in topology.routers),
        dependencies.blueprint(topology, python=python, model=parts.model),
        client.blueprint(topology, python, relays),
        *(worker.blueprint(topology, node, pki / node.name, lent) for node in topology.workers),
    ]


def write_shims(usr_layer: Path) -> None:
    """Write what every machine finds in its /usr beside the host's programs."""
    shutil.copytree(_SHIMS, usr_layer / "bin", dirs_exist_ok=True)
    shutil.copy(_CNI_PLUGIN, usr_layer / "bin" / "hotfire-policy")
    for name in ("nvidia-smi", "hotfire-policy"):
        (usr_layer / "bin" / name).chmod(0o755)
