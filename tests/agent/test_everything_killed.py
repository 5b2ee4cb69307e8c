"""Runner, agent and its children killed at once, on a node whose disk takes nothing any more."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hotfire.agent import delay_line, processes
from hotfire.waiting import until
from tests.agent import disks
from tests.agent.world import ENTRY, LINK, Agent, Node


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """The file system of the agent's own entries."""
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("needs root")
    with disks.small_disk(tmp_path / "state") as disk:
        yield disk


@pytest.fixture
def agent(disk: Path, node: Node, tmp_path: Path) -> Iterator[Agent]:
    agent = Agent(tmp_path, birdc=node.birdc, inside=node.prefix)
    agent.start()
    yield agent
    if agent.process.poll() is None:
        agent.end(signal.SIGTERM)


def children() -> list[processes.Process]:
    return processes.of_entry(delay_line.MODULE, ENTRY)


def kill_everything(agent: Agent) -> None:
    """Kill the agent and what it started, as a node that is out of everything does."""
    processes.send(children(), signal.SIGKILL)
    agent.end(signal.SIGKILL)


@pytest.mark.parametrize("spoil", disks.SPOILED)
def test_node_heals_itself_once_its_agent_is_started_again(
    agent: Agent, node: Node, disk: Path, spoil: Callable[[Path], None]
) -> None:
    """The kubelet starts it again; the lease's rest is not awaited, and nobody is asked."""
    agent.call("link.silent_loss", id="u-1", link=LINK, ttl_seconds=3600)
    agent.call("link.delay", id=ENTRY, link=LINK, seconds=0.1, ttl_seconds=3600)
    spoil(disk)
    kill_everything(agent)
    before = node.tables()

    agent.start()

    assert before.count("hotfire_u") == 2
    assert "hotfire_u" not in node.tables()
    assert agent.call("ping")["open"] == 0


def test_a_child_that_outlived_its_agent_is_ended(agent: Agent, node: Node, disk: Path) -> None:
    agent.call("link.delay", id=ENTRY, link=LINK, seconds=0.1, ttl_seconds=3600)
    disks.without_a_free_byte(disk)
    [child] = children()
    # It would leave with its agent, but cannot: it stands.
    processes.send([child], signal.SIGSTOP)
    agent.end(signal.SIGKILL)

    agent.start()

    assert "hotfire_u" not in node.tables()
    assert children() == []


def test_a_lease_that_ends_on_a_full_disk_ends_the_fault(
    agent: Agent, node: Node, disk: Path
) -> None:
    agent.call("link.silent_loss", id="u-1", link=LINK, ttl_seconds=3)
    disks.without_a_free_byte(disk)

    until(lambda: "hotfire_u" not in node.tables(), within_seconds=10, what="the lease's end")

    assert agent.call("entry", id="u-1")["observed"]["healed_because"] == "expired"
    assert list(disk.glob("*.json")) == []


def test_a_filled_disk_is_free_the_moment_its_agent_is_killed(agent: Agent, disk: Path) -> None:
    """Nobody has to start another one, which a full disk may keep the node from doing."""
    (disk / "data").mkdir()
    room = disks.free(disk)
    order = {"path": str(disk / "data"), "free_bytes": 0, "at_most_bytes": disks.SIZE_BYTES}
    filled = agent.call("disk.fill", id="u-1", ttl_seconds=3600, **order)
    left = disks.free(disk)

    agent.end(signal.SIGKILL)

    assert filled["state"] == "injected"
    assert left == 0
    assert disks.free(disk) > room - (64 << 10)
    assert list((disk / "data").iterdir()) == []
