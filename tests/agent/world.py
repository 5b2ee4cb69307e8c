"""A node in miniature: a network namespace with one uplink to a router, both speaking BFD."""

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hotfire.agent.door import ask
from hotfire.waiting import until

LINK = "hf0"
ENTRY = f"u-{os.getpid()}"
"""An entry whose programs, found by its name among all of the machine, are no other test's."""


@dataclass
class Node:
    """Two namespaces joined by a link; BIRD runs a BFD session over it."""

    name: str
    folder: Path
    birds: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def router(self) -> str:
        return f"{self.name}-r"

    @property
    def prefix(self) -> str:
        return f"nsenter --net=/run/netns/{self.name} --"

    @property
    def birdc(self) -> str:
        return f"birdc -s {self.folder}/{self.name}.ctl"

    def up(self) -> None:
        ip("netns", "add", self.name)
        ip("netns", "add", self.router)
        ip(
            "link",
            "add",
            LINK,
            "netns",
            self.name,
            "type",
            "veth",
            "peer",
            LINK,
            "netns",
            self.router,
        )
        for number, name in enumerate((self.name, self.router), start=1):
            ip("-n", name, "addr", "add", f"10.99.0.{number}/30", "dev", LINK)
            ip("-n", name, "link", "set", LINK, "up")
            self._bird(name, address=f"10.99.0.{number}", neighbour=f"10.99.0.{3 - number}")

    def down(self) -> None:
        for bird in self.birds:
            bird.kill()
            bird.wait(10)
        for name in (self.name, self.router):
            subprocess.run(["ip", "netns", "del", name], check=False, timeout=10)

    def tables(self) -> str:
        argv = [*self.prefix.split(), "nft", "list", "tables"]
        return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=10).stdout

    def _bird(self, name: str, *, address: str, neighbour: str) -> None:
        config = self.folder / f"{name}.conf"
        config.write_text(
            f"router id {address};\nprotocol device {{}}\nprotocol bfd {{\n"
            f'  interface "{LINK}" {{ interval 100 ms; multiplier 3; }};\n'
            f'  neighbor {neighbour} dev "{LINK}" local {address};\n}}\n'
        )
        control = self.folder / f"{name}.ctl"
        argv = ["nsenter", f"--net=/run/netns/{name}", "--", "bird", "-f", "-c", str(config)]
        self.birds.append(subprocess.Popen([*argv, "-s", str(control)], stderr=subprocess.DEVNULL))


@dataclass
class Agent:
    """One agent process and how to talk to it."""

    folder: Path
    prefix: str = "nsenter --net=/proc/self/ns/net --"
    birdc: str = "birdc"
    inside: str = ""
    """The words that put the agent itself into a namespace."""
    process: subprocess.Popen[bytes] = field(init=False)

    def start(self) -> None:
        state = str(self.folder / "state")
        places = ["--state", state, "--host-root", "/", "--vacate", state]
        doors = ["--host-prefix", self.prefix, "--birdc", self.birdc]
        words = [*self.inside.split(), *self._program, "serve", *places, *doors]
        self.process = subprocess.Popen(words)
        self.await_socket()

    def await_socket(self) -> None:
        until(self._listens, within_seconds=90, what="the agent's socket", poll_seconds=0.02)

    def _listens(self) -> bool:
        with socket.socket(socket.AF_UNIX) as asking, suppress(OSError):
            asking.connect(str(self._socket))
            return True
        return False

    def end(self, number: signal.Signals) -> None:
        self.process.send_signal(number)
        self.process.wait(10)
        self._socket.unlink(missing_ok=True)

    def call(self, op: str, **args: object) -> Any:  # noqa: ANN401 - what the operation returns
        """Return the result of one call; a refusal is an assertion error with its reason."""
        reply = self.reply(op, **args)
        assert reply["ok"], reply["error"]
        return reply["result"]

    def await_bfd(self, state: str) -> None:
        """Wait until the one BFD session of the link is in a state."""

        def states() -> list[str]:
            return [one["state"] for one in self.call("link.state", link=LINK)["bfd"]]

        until(lambda: states() == [state], within_seconds=90, what=f"BFD {state}")

    def reply(self, op: str, **args: object) -> dict[str, Any]:
        reply: dict[str, Any] = json.loads(ask(self._socket, json.dumps({"op": op, **args})))
        return reply

    def command(self, op: str) -> subprocess.CompletedProcess[str]:
        """Ask as a run does: by a process beside the agent."""
        argv = [*self._program, "call", json.dumps({"op": op})]
        return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)

    @property
    def _program(self) -> list[str]:
        module = "hotfire.agent.program"
        return [sys.executable, "-m", module, "--socket", str(self._socket)]

    @property
    def _socket(self) -> Path:
        return self.folder / "agent.sock"


def ip(*argv: str) -> None:
    subprocess.run(["ip", *argv], check=True, timeout=10)
