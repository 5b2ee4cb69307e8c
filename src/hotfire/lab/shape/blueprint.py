"""What a machine of the lab is made of: its services, what the host lends it, its files."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hotfire.lab.programs.machine_spec import BindSpec, ServiceSpec
from hotfire.lab.shape.topology import Machine

PKI = "/etc/kubernetes/pki"
"""Where certificates and kubeconfigs lie on a machine of the cluster."""
_PATH = "/opt/hotfire/bin:/usr/sbin:/usr/bin:/sbin:/bin"
BASE_ENV = {"PATH": _PATH, "HOME": "/root", "LD_LIBRARY_PATH": "/opt/hotfire/python/lib"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A supervised program of a machine; paths are the machine's own."""

    name: str
    argv: tuple[str, ...]
    env: dict[str, str] = field(default_factory=lambda: dict(BASE_ENV))
    nice: int = 0
    realtime: bool = False
    """Whether it runs before anything else on the host, where the host permits."""
    fds: tuple[int, ...] = ()
    on_demand: bool = False
    """Started when somebody releases it, not with the machine."""

    @property
    def log(self) -> str:
        return f"/var/log/{self.name}.log"

    def spec(self) -> ServiceSpec:
        return {
            "name": self.name,
            "argv": list(self.argv),
            "env": self.env,
            "nice": self.nice,
            "realtime": self.realtime,
            "fds": list(self.fds),
            "on_demand": self.on_demand,
            "log": self.log,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind:
    """A directory or file of the host as the machine sees it."""

    source: str
    target: str
    read_only: bool = True

    def spec(self) -> BindSpec:
        return {"source": self.source, "target": self.target, "read_only": self.read_only}


@dataclass(frozen=True, slots=True, kw_only=True)
class Blueprint:
    """Everything a machine has besides what all machines have."""

    machine: Machine
    services: tuple[Service, ...]
    binds: tuple[Bind, ...] = ()
    files: dict[str, str] = field(default_factory=dict)
    directories: tuple[str, ...] = ()
    block_devices: Mapping[str, bytes] = field(default_factory=dict)
    """Content of read-only block devices by their place below /dev."""


# The node agent, as `lab break` uses it: it runs while something is broken, and PID 1 starts it
# again if it dies. A namespace package of its own: the tool's own imports need installing.
AGENT_SOCKET, AGENT_STATE = "/run/hotfire/agent.sock", "/var/lib/hotfire/handles"
CONTROL = "/var/lib/hotfire/services"
_AGENT_PACKAGE = "/opt/hotfire/agent"
_AGENT_WORDS = ("--socket", AGENT_SOCKET, "serve", "--state", AGENT_STATE, "--host-prefix", "")
AGENT = Service(
    name="agent",
    argv=(
        "/opt/hotfire/python/bin/python3",
        *("-S", "-B", "-m", "hotfire.agent.program"),
        *_AGENT_WORDS,
        *("--host-root", "/", "--retire", f"{CONTROL}/agent.down"),
    ),
    env=BASE_ENV | {"PYTHONPATH": _AGENT_PACKAGE},
    nice=-10,
    on_demand=True,
)
AGENT_BINDS = (
    Bind(source=sys.base_prefix, target="/opt/hotfire/python"),
    Bind(source=str(Path(__file__).parents[2] / "agent"), target=f"{_AGENT_PACKAGE}/hotfire/agent"),
)
