"""Established connections survive the loss of one of two paths.

A second uplink is paid for so that nobody notices when the first one dies. Where connections are
tied to a path, by the address of one uplink or by a route that no protocol looks after, its loss
cuts every stream on it, though all sessions of the other one stand.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import pytest

from fixtures.fabric import Fabric
from fixtures.own_backends import PORT, service
from fixtures.scratch import Scratch
from hotfire import Evidence, Level, requirement
from hotfire.chaos.agent_client import AgentClient, entry_id
from hotfire.cluster import Cluster
from hotfire.errors import HarnessError, RollbackFailed
from hotfire.waiting import pause, until

pytestmark = requirement(
    "NET-007",
    Level.MUST,
    __doc__,
    source="https://datatracker.ietf.org/doc/html/rfc5882#section-4.2",
    features={"redundant-uplinks"},
)

CONNECTIONS = 60
LONGEST_STALL_SECONDS = 1.0
# A connection on the path misses its detection time at least; on another one it misses nothing.
TOUCHED_SECONDS = 0.15
CUT_SECONDS, AFTER_SECONDS = 2.0, 1.0
FAR, NEAR = "far", "near"
ECHO = """
import asyncio, sys
async def echo(reader, writer):
    try:
        while said := await reader.read(64):
            writer.write(said)
    except OSError:
        pass
    writer.close()
async def main():
    server = await asyncio.start_server(echo, None, int(sys.argv[1]), backlog=256)
    print("listening", flush=True)
    await server.serve_forever()
asyncio.run(main())
"""
# Connections over which something goes there and back all the time, and one within the pod beside
# them: what that one misses, the machine has missed. A row tells the longest silence of each.
HOLD = """
import asyncio, json, sys, time
address, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
async def echo(reader, writer):
    while said := await reader.read(64):
        writer.write(said)
class Held:
    def __init__(self):
        self.heard, self.longest, self.broken = time.monotonic(), 0.0, False
    def silence(self):
        found = max(self.longest, time.monotonic() - self.heard)
        self.longest = 0.0
        return 0.0 if self.broken else found
    async def opened(self, host, port):
        # A node may not know a new Service yet.
        while True:
            try:
                return await asyncio.open_connection(host, port)
            except OSError:
                await asyncio.sleep(0.2)
    async def run(self, host, port):
        reader, writer = await self.opened(host, port)
        self.heard = time.monotonic()
        try:
            while True:
                writer.write(b"hotfire!")
                await reader.readexactly(8)
                now = time.monotonic()
                self.longest, self.heard = max(self.longest, now - self.heard), now
                await asyncio.sleep(0.05)
        except (OSError, asyncio.IncompleteReadError):
            self.broken = True
async def main():
    beside = await asyncio.start_server(echo, "127.0.0.1", 0)
    own, held = Held(), [Held() for _ in range(count)]
    tasks = [asyncio.create_task(one.run(address, port)) for one in held]
    tasks.append(asyncio.create_task(own.run("127.0.0.1", beside.sockets[0].getsockname()[1])))
    while True:
        await asyncio.sleep(0.25)
        silences = [one.silence() for one in held]
        row = {"at_ns": time.time_ns(), "broken": sum(one.broken for one in held),
               "silences": [round(each, 3) for each in silences], "beside": own.silence()}
        print(json.dumps(row), flush=True)
asyncio.run(main())
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What connections went through while one path was cut."""

    broken: int
    touched: int
    """How many fell silent for a moment: they were on it."""
    longest_stall_seconds: float
    beside_seconds: float
    """The longest silence of a connection that leaves no pod."""


def seen(rows: Iterable[dict[str, Any]]) -> Seen:
    """Return what rows of a holder come to."""
    rows = list(rows)
    longest = [max(each) for each in zip(*(row["silences"] for row in rows), strict=True)]
    return Seen(
        broken=max((row["broken"] for row in rows), default=0),
        touched=sum(each > TOUCHED_SECONDS for each in longest),
        longest_stall_seconds=max(longest, default=0.0),
        beside_seconds=round(max((row["beside"] for row in rows), default=0.0), 3),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Connections from a pod of one node, by a Service, to a pod of another."""

    cluster: Cluster
    agent: AgentClient
    scratch: Scratch
    node: str

    def rows(self) -> list[dict[str, Any]]:
        lines = self.scratch.log(NEAR).splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def wait(self, right: Callable[[dict[str, Any]], bool], *, what: str) -> None:
        """Wait until the latest row is as it should."""
        until(
            lambda: (rows := self.rows()) and right(rows[-1]),
            within_seconds=40,
            what=what,
            excused_seconds=self.cluster.silent_seconds,
        )

    def while_cut(self, link: str) -> Seen:
        """Cut a link without a sound for a moment; return what the connections went through."""
        began_ns = time.time_ns()
        with self._cut(link):
            pause(CUT_SECONDS, why="connections are to go on over the other path")
        ended_ns = time.time_ns() + round(AFTER_SECONDS * 1e9)
        self.wait(lambda row: bool(row["at_ns"] > ended_ns), what="a word of after the cut")
        return seen(row for row in self.rows() if began_ns < row["at_ns"] <= ended_ns)

    @contextmanager
    def _cut(self, link: str) -> Iterator[None]:
        entry = entry_id("path")
        self.agent.fire(self.node, "link.silent_loss", entry, link=link)
        try:
            yield
        finally:
            if problems := self.agent.heal(self.node, entry):
                raise RollbackFailed("; ".join(problems))


@pytest.fixture
def held(cluster: Cluster, agent: AgentClient, scratch: Scratch, fabric: Fabric) -> Held:
    """Connections that stand, all of them."""
    near, far = (node.name for node in fabric.nodes[:2])
    scratch.pod(FAR, argv=["python3", "-c", ECHO, str(PORT)], node=far)
    [made] = cluster.apply([service(FAR)], namespace=scratch.namespace)
    scratch.wait_phase(FAR, "Running")
    until(lambda: scratch.log(FAR), within_seconds=20, what="a server that listens")
    words = [made["spec"]["clusterIP"], "80", str(CONNECTIONS)]
    scratch.pod(NEAR, argv=["python3", "-c", HOLD, *words], node=near)
    scratch.wait_phase(NEAR, "Running")
    found = Held(cluster=cluster, agent=agent, scratch=scratch, node=near)

    def stand(row: dict[str, Any]) -> bool:
        return not row["broken"] and max(row["silences"]) < LONGEST_STALL_SECONDS

    found.wait(stand, what=f"{CONNECTIONS} connections that stand")
    return found


def test_no_connection_ends_with_its_path(
    fabric: Fabric, held: Held, scratch: Scratch, cluster: Cluster, evidence: Evidence
) -> None:
    fabric.await_sessions()
    found: dict[str, Seen] = {}
    for link in fabric.uplinks:
        found[link] = held.while_cut(link)
        fabric.await_sessions()
    evidence.record("connections", CONNECTIONS)
    evidence.record("while_cut", {link: asdict(one) for link, one in found.items()})

    for link, one in found.items():
        assert not one.broken, f"{one.broken} of {CONNECTIONS} connections ended with {link}"
        require_calm(one)
        assert one.longest_stall_seconds <= LONGEST_STALL_SECONDS, (
            f"a connection stood for {one.longest_stall_seconds:.1f} s when {link} fell silent"
        )
    if not any(one.touched for one in found.values()):
        raise HarnessError(
            f"no connection noticed that an uplink of {held.node} was cut: name those that carry"
            " its traffic in fabric.uplinks"
        )
    check_control(cluster, held, scratch, evidence)


def require_calm(one: Seen) -> None:
    """Charge a stall only where the machine itself did not stand still.

    Raises:
        HarnessError: it did.
    """
    stood = one.longest_stall_seconds > LONGEST_STALL_SECONDS
    if stood and one.beside_seconds > LONGEST_STALL_SECONDS / 2:
        raise HarnessError(
            f"a connection within one pod stood for {one.beside_seconds:.1f} s as well: the machine"
            " stood still; try again on a quieter one"
        )


def check_control(cluster: Cluster, held: Held, scratch: Scratch, evidence: Evidence) -> None:
    """Negative control: connections to a pod that is killed end, and we see it."""
    uid = scratch.get(FAR).uid
    cluster.delete("Pod", scratch.namespace, FAR, uid=uid, grace_seconds=0)
    held.wait(lambda row: bool(row["broken"]), what="connections ended with their server")
    evidence.record("broken_with_their_server", held.rows()[-1]["broken"])
