"""The relay program carries bytes both ways, and the lab finds a taken port before it starts."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from hotfire.errors import LabError
from hotfire.lab import programs
from hotfire.lab.machine import client
from hotfire.lab.shape.state import Ports
from hotfire.lab.shape.topology import Topology

PROGRAM = programs.path("relay.py")


def listener() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def port_of(server: socket.socket) -> int:
    port: int = server.getsockname()[1]
    return port


@contextmanager
def relay(far_port: int) -> Iterator[socket.socket]:
    """Run the program as the client machine does, and give a connection to it."""
    with listener() as near:
        rows = json.dumps([[near.fileno(), "127.0.0.1", far_port]])
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(PROGRAM), rows], pass_fds=[near.fileno()]
        )
        try:
            with socket.create_connection(near.getsockname(), timeout=10) as connection:
                yield connection
        finally:
            process.kill()
            process.wait()


@pytest.fixture
def shouting() -> Iterator[int]:
    """Answer everything in capitals once the caller has finished, then finish as well."""

    def serve() -> None:
        connection, _ = server.accept()
        with connection, connection.makefile("rwb") as stream:
            stream.write(stream.read().upper())

    with closing(listener()) as server:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield port_of(server)
        thread.join(timeout=10)


def test_bytes_and_ends_pass_in_both_directions(shouting: int) -> None:
    sent = b"hello " * 50_000

    with relay(shouting) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as stream:
            received = stream.read()

    assert received == sent.upper()


def test_connection_ends_when_nobody_listens_there() -> None:
    with listener() as server:
        nobody = port_of(server)

    with relay(nobody) as connection:
        try:
            received = connection.recv(1)
        except ConnectionResetError:
            received = b""

    assert received == b""


def test_taken_port_is_named_with_its_purpose_and_the_others_are_let_go() -> None:
    with listener() as free:
        api = port_of(free)

    with listener() as taken:
        ports = Ports(api=api, gateway=port_of(taken), prometheus=0)
        with (
            pytest.raises(LabError, match=rf"port {ports.gateway} of .* lab's gateway, is in use"),
            client.relays(ports),
        ):
            pytest.fail("a taken port was opened")

    with closing(socket.socket()) as again:
        again.bind(("127.0.0.1", api))


def test_client_machine_inherits_the_relays_sockets() -> None:
    with client.relays(Ports(api=0, gateway=0, prometheus=0)) as relays:
        plan = client.blueprint(Topology(), Path("/python"), relays)
        descriptors = tuple(each.listener.fileno() for each in relays)

    service = next(each for each in plan.services if each.name == "relay")
    assert service.fds == descriptors
    assert [row[0] for row in json.loads(service.argv[-1])] == list(descriptors)
