"""A fault whose runner was killed is undone, by `hotfire heal` or by the node itself."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hotfire.agent.janitor import CHANGED
from hotfire.chaos.agent_client import AgentClient
from hotfire.cluster import namespaces
from hotfire.waiting import until
from tests.killed_runner import (
    LEASE_SECONDS,
    briefly_measured,
    happened,
    killed,
    with_short_leases,
)
from tests.world import World

pytestmark = pytest.mark.lab

NODES = ("n1", "n2", "n3")
STATE = "/var/lib/hotfire-agent"


def cut_links(world: World) -> list[str]:
    tables = {node: world.rack.run(node, ["nft", "list", "tables"]) for node in NODES}
    return [node for node, text in tables.items() if "netdev hotfire" in text]


def killed_runner(world: World, target: Path, folder: Path) -> None:
    """Run a silent uplink loss as a user does, and kill the runner while it is in effect."""
    killed(target, folder, only="FLT-NET-001", amid=lambda run: "took-effect" in happened(run))
    assert cut_links(world) != []


def heal(world: World, target: Path) -> str:
    """Heal as a user does, see that it did, and return what it said; agents and namespace go."""
    argv = [sys.executable, "-m", "hotfire", "heal", "--target", str(target), "--keep-stack"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert cut_links(world) == []
    AgentClient(world.cluster, world.profile).remove()
    name = world.profile.system_namespace
    found = world.cluster.get("Namespace", None, name)
    assert found is not None
    namespaces.delete(world.cluster, name, uid=found["metadata"]["uid"])
    until(
        lambda: world.cluster.get("Namespace", None, name) is None,
        within_seconds=60,
        what=f"namespace {name} gone",
    )
    return done.stdout


def test_killed_in_the_middle_of_a_silent_uplink_loss(
    world: World, scripted_target: Path, tmp_path: Path
) -> None:
    target = briefly_measured(scripted_target, tmp_path)
    killed_runner(world, target, tmp_path)

    said = heal(world, target)

    assert "undone" in said


def test_node_whose_runner_was_killed_heals_when_the_lease_ends(
    world: World, scripted_target: Path, tmp_path: Path
) -> None:
    target = with_short_leases(scripted_target, tmp_path)
    killed_runner(world, target, tmp_path)
    [node] = cut_links(world)

    until(lambda: cut_links(world) == [], within_seconds=120, what="the lease's end")

    [entry] = AgentClient(world.cluster, world.profile).entries(node)
    assert (entry.state, entry.observed.healed_because) == ("healed", "expired")
    heal(world, target)


@pytest.fixture
def small_disks(world: World) -> Iterator[None]:
    """A small disk of their own for the agents' entries, on each node."""
    for node in NODES:
        world.rack.run(node, ["mkdir", "-p", STATE])
        world.rack.run(node, ["mount", "-t", "tmpfs", "-o", "size=64k", "none", STATE])
    yield
    for node in NODES:
        world.rack.run(node, ["umount", "--lazy", STATE])


def kill_agent(world: World, node: str) -> None:
    """Kill a node's agent and all its children, from outside of the node."""
    inside = Path(f"/proc/{world.rack.pid(node)}/ns/pid").readlink()
    killed = 0
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            same = (process / "ns/pid").readlink() == inside
            if same and b"hotfire.agent" in (process / "cmdline").read_bytes():
                os.kill(int(process.name), signal.SIGKILL)
                killed += 1
    assert killed > 0


@pytest.mark.usefixtures("small_disks")
def test_everything_killed_on_a_node_with_a_full_disk_heals_within_its_lease(
    world: World, scripted_target: Path, tmp_path: Path
) -> None:
    target = with_short_leases(scripted_target, tmp_path)
    killed_runner(world, target, tmp_path)
    [node] = cut_links(world)
    fill = f"dd if=/dev/zero of={STATE}/foreign bs=4096 2>&1; df {STATE}"
    full = world.rack.run(node, ["sh", "-c", fill])
    kill_agent(world, node)

    until(lambda: cut_links(world) == [], within_seconds=LEASE_SECONDS, what="a healed node")

    assert "100%" in full
    heal(world, target)


def test_a_route_that_a_check_had_changed_is_put_back_with_nobody_there(
    world: World, scripted_target: Path, tmp_path: Path
) -> None:
    """The platform is not ours: its users go on by the route that a dead runner left."""
    target, former = with_short_leases(scripted_target, tmp_path), world.stack.way_in()["spec"]

    def is_changed() -> bool:
        return CHANGED in (world.stack.way_in()["metadata"].get("annotations") or {})

    killed(target, tmp_path, only="GTW-013", amid=lambda _: is_changed())
    until(lambda: not is_changed(), within_seconds=2 * LEASE_SECONDS, what="the route put back")
    argv = [sys.executable, "-m", "hotfire", "heal", "--target", str(target)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=200, check=False)

    assert world.stack.way_in()["spec"] == former
    assert "healed: GTW-013" in done.stdout, done.stdout + done.stderr
    assert world.cluster.get("Namespace", None, world.profile.system_namespace) is None
    roles = world.cluster.list("ClusterRole", api_version="rbac.authorization.k8s.io/v1")
    assert [one for one in roles if world.cluster.owns(one)] == []
