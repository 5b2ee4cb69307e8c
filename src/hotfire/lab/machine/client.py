"""The client machine: where users' requests leave from; it also carries the host's relays."""

import contextlib
import json
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hotfire.errors import LabError
from hotfire.lab import programs
from hotfire.lab.network import fabric
from hotfire.lab.network.router import machine_services
from hotfire.lab.shape.blueprint import Bind, Blueprint, Service
from hotfire.lab.shape.state import Ports
from hotfire.lab.shape.topology import (
    API_ADDRESS,
    API_PORT,
    GATEWAY_ADDRESS,
    PROMETHEUS_ADDRESS,
    Topology,
)

_RELAY = programs.path("relay.py")
_PROGRAM = "/opt/hotfire/relay.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay:
    """A listening socket of the host's loopback and where the client machine passes it on to."""

    listener: socket.socket
    host: str
    port: int


def blueprint(topology: Topology, python: Path, relays: Iterable[Relay]) -> Blueprint:
    """Return the client machine; it inherits the relays' sockets."""
    rows = [(relay.listener.fileno(), relay.host, relay.port) for relay in relays]
    service = Service(
        name="relay",
        argv=("/opt/hotfire/python/bin/python3", "-I", "-S", _PROGRAM, json.dumps(rows)),
        fds=tuple(fd for fd, _, _ in rows),
    )
    return Blueprint(
        machine=topology.client,
        services=(*machine_services(topology.client), service),
        binds=(Bind(source=str(python), target="/opt/hotfire/python"),),
        files={
            fabric.BIRD_CONFIG: fabric.bird_config(topology, topology.client),
            _PROGRAM: _RELAY.read_text(),
        },
        directories=("/run/bird",),
    )


@contextlib.contextmanager
def relays(ports: Ports) -> Iterator[list[Relay]]:
    """Open the host's ports for the length of the block; machines started in it inherit them.

    Raises:
        LabError: a port is in use.
    """
    opened: list[Relay] = []
    try:
        for port, name, host, far_port in (
            (ports.api, "API server", API_ADDRESS, API_PORT),
            (ports.gateway, "gateway", GATEWAY_ADDRESS, 80),
            (ports.prometheus, "Prometheus", PROMETHEUS_ADDRESS, 80),
        ):
            opened.append(Relay(listener=_listen(port, name), host=host, port=far_port))
        yield opened
    finally:
        for relay in opened:
            relay.listener.close()


def _listen(port: int, name: str) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        listener.close()
        raise LabError(
            f"port {port} of 127.0.0.1, meant for the lab's {name}, is in use; end what uses it "
            f"or choose another port"
        ) from error
    listener.listen(256)
    return listener
