"""A pod behind a node: partitioned, and its connections reset, while the node itself reaches it."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.agent.world import Agent, Node, ip

POD, CLIENT, PORT = "10.98.0.2", "10.99.0.2", 8000
SERVER = f"""
import socket, threading
def serve(one):
    while said := one.recv(100):
        one.sendall(said)
door = socket.create_server(("{POD}", {PORT}))
print("ready", flush=True)
while True:
    threading.Thread(target=serve, args=(door.accept()[0],), daemon=True).start()
"""
# One line in, one line out: connect, or exchange a word on the last connection.
TALKER = f"""
import socket, sys
for line in sys.stdin:
    try:
        if line.strip() == "connect":
            open_one = socket.create_connection(("{POD}", {PORT}), 1.0)
        open_one.settimeout(1.0)
        open_one.sendall(b"word")
        print("answered" if open_one.recv(100) else "ended", flush=True)
    except OSError as error:
        print(type(error).__name__, flush=True)
"""


class Talker:
    """A client in a network namespace that keeps its last connection open."""

    def __init__(self, space: str) -> None:
        self._process = within(space, TALKER, stdin=subprocess.PIPE)

    def does(self, what: str) -> str:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{what}\n".encode())
        self._process.stdin.flush()
        return self._process.stdout.readline().decode().strip()

    def end(self) -> None:
        self._process.kill()
        self._process.wait(10)


def within(space: str, program: str, *, stdin: int | None = None) -> subprocess.Popen[bytes]:
    argv = ["nsenter", f"--net=/run/netns/{space}", "--", sys.executable, "-c", program]
    return subprocess.Popen(argv, stdin=stdin, stdout=subprocess.PIPE)


@pytest.fixture
def pod(node: Node) -> Iterator[str]:
    """A namespace behind the node, in which a server sends every word back."""
    name = f"{node.name}-p"
    ip("netns", "add", name)
    try:
        ip("link", "add", "pod0", "netns", node.name, "type", "veth", "peer", "eth0", "netns", name)
        ip("-n", node.name, "addr", "add", "10.98.0.1/30", "dev", "pod0")
        ip("-n", node.name, "link", "set", "pod0", "up")
        ip("-n", name, "addr", "add", f"{POD}/30", "dev", "eth0")
        ip("-n", name, "link", "set", "eth0", "up")
        ip("-n", name, "route", "add", "default", "via", "10.98.0.1")
        ip("-n", node.router, "route", "add", "10.98.0.0/30", "via", "10.99.0.1")
        forward = "echo 1 > /proc/sys/net/ipv4/ip_forward"
        subprocess.run([*node.prefix.split(), "sh", "-c", forward], check=True, timeout=10)
        server = within(name, SERVER)
        assert server.stdout
        assert server.stdout.readline() == b"ready\n"
        yield name
        server.kill()
        server.wait(10)
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False, timeout=10)


@pytest.fixture
def talkers(pod: str, node: Node) -> Iterator[tuple[Talker, Talker]]:
    """A client beyond the node, and one on it, as the kubelet is; both are connected."""
    found = Talker(node.router), Talker(node.name)
    assert [one.does("connect") for one in found] == ["answered", "answered"]
    yield found
    for one in found:
        one.end()


def reset(agent: Agent) -> Any:  # noqa: ANN401 - JSON
    return agent.call("net.reset", id="u-1", address=POD, port=PORT, ttl_seconds=60)


def test_open_connections_are_reset_and_new_ones_live(
    agent: Agent, node: Node, talkers: tuple[Talker, Talker]
) -> None:
    beyond, _ = talkers

    reset(agent)
    seen = [beyond.does("talk"), beyond.does("connect"), beyond.does("talk")]
    counted = agent.call("net.drops", id="u-1")
    agent.call("heal", id="u-1")

    assert seen == ["ConnectionResetError", "answered", "answered"]
    assert counted["of_each_rule"][0] >= 1
    assert "hotfire" not in node.tables()


def test_resets_of_a_killed_agent_end_at_its_next_start(
    agent: Agent, node: Node, talkers: tuple[Talker, Talker]
) -> None:
    beyond, _ = talkers
    reset(agent)
    agent.end(signal.SIGKILL)

    agent.start()

    assert "hotfire" not in node.tables()
    assert beyond.does("talk") == "answered"


def test_what_the_server_says_first_resets_both_ends(agent: Agent, pod: str, node: Node) -> None:
    """As a stream of tokens does: the client only listens."""
    speaker = within(
        pod,
        f"""
import socket, sys
door = socket.create_server(("{POD}", 9000))
print("ready", flush=True)
one = door.accept()[0]
sys.stdin.readline()
try:
    while True:
        one.sendall(b"token")
        one.settimeout(0.05)
        try:
            one.recv(1)
        except TimeoutError:
            pass
except OSError as error:
    print(type(error).__name__, flush=True)
""",
        stdin=subprocess.PIPE,
    )
    assert speaker.stdout
    assert speaker.stdin
    assert speaker.stdout.readline() == b"ready\n"
    listener = within(
        node.router,
        f"""
import socket
one = socket.create_connection(("{POD}", 9000), 5.0)
print("ready", flush=True)
try:
    print(one.recv(10), flush=True)
except OSError as error:
    print(type(error).__name__, flush=True)
""",
    )
    assert listener.stdout
    assert listener.stdout.readline() == b"ready\n"

    agent.call("net.reset", id="u-1", address=POD, port=9000, ttl_seconds=60)
    speaker.stdin.write(b"\n")
    speaker.stdin.flush()

    try:
        assert listener.stdout.readline() == b"ConnectionResetError\n"
        assert speaker.stdout.readline() in {b"ConnectionResetError\n", b"BrokenPipeError\n"}
        assert agent.call("net.drops", id="u-1")["of_each_rule"][1] == 1
    finally:
        for one in (listener, speaker):
            one.kill()
            one.wait(10)


def test_what_the_node_itself_has_open_is_not_reset(
    agent: Agent, talkers: tuple[Talker, Talker]
) -> None:
    _, on_node = talkers

    reset(agent)

    assert on_node.does("talk") == "answered"


def test_a_partitioned_pod_is_reached_by_its_node_alone(
    agent: Agent, talkers: tuple[Talker, Talker]
) -> None:
    beyond, on_node = talkers
    args: dict[str, object] = {"between": [], "and": [POD], "spare_node": True}

    agent.call("net.block", id="u-1", ttl_seconds=60, **args)
    during = [beyond.does("talk"), beyond.does("connect")]
    probed = [on_node.does("talk"), on_node.does("connect")]
    dropped = agent.call("net.drops", id="u-1")["drops"]
    agent.call("heal", id="u-1")

    assert during == ["TimeoutError", "TimeoutError"]
    assert probed == ["answered", "answered"]
    assert dropped >= 2
    assert beyond.does("connect") == "answered"


@pytest.mark.parametrize("args", [{"port": PORT}, {"address": "10.0.0.0/24", "port": PORT}])
def test_a_reset_of_no_single_address_is_refused(agent: Agent, args: dict[str, object]) -> None:
    reply = agent.reply("net.reset", id="u-1", ttl_seconds=60, **args)

    assert reply["ok"] is False
    assert agent.call("list") == []
