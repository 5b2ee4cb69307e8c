"""The API and a node are taken away in turn, and who hears the node's routes is asked past it."""

import sys
from pathlib import Path

import pytest
from kubernetes import client as k8s

from fixtures.breaks import Breaks
from fixtures.outage import Onlookers, Outage
from hotfire.chaos.agent_pods import code_digest
from hotfire.chaos.lease import RunLease
from hotfire.chaos.plan import World
from hotfire.chaos.undo import UndoJournal
from hotfire.cluster import Cluster, Door, Estate
from hotfire.errors import ClusterError, HarnessError
from hotfire.machines import Power
from tests.chaos.platform import SYSTEM
from tests.chaos.scripted_agent import ScriptedAgent, asking
from tests.chaos.test_node_faults import node
from tests.fake_api import FakeApi
from tests.ports import free_port

WRITES = "import sys; open(sys.argv[1], 'a').write(' '.join(sys.argv[2:]) + ';')"
STOPPED = {"id": "u-1", "op": "service.stop", "state": "injected"}


def routes(*prefixes: str) -> dict[str, object]:
    heard = [{"prefix": one, "origin_as": 65203} for one in prefixes]
    return {"announced": [], "heard": heard}


@pytest.fixture
def powered(world: World, tmp_path: Path) -> World:
    """A platform whose power handle writes down what it was asked for, and agents that obey."""
    handle = [sys.executable, "-c", WRITES, str(tmp_path / "told")]
    power = Power(cut=[*handle, "cut"], restore=[*handle, "restore"])
    profile = world.profile.model_copy(update={"power": power})
    asked = World(cluster=world.cluster, agent=world.agent, profile=profile)
    answers = {"list": [], "heal": {"problems": []}, "service_stop": STOPPED}
    return asking(asked, ping={"code": code_digest()}, **answers)


def outage(world: World, cluster: Cluster, tmp_path: Path, held: RunLease, port: int) -> Outage:
    journal = UndoJournal(tmp_path / "undo.jsonl", cluster, SYSTEM)
    estate = Estate(cluster, SYSTEM, run_id="r")
    breaks = Breaks(world=world, journal=journal, held=held, estate=estate, case="CLU-006")
    door = Door(k8s.Configuration(host=f"http://127.0.0.1:{port}"))
    return Outage(breaks=breaks, door=door, servers=["cp1"], etcd=["cp1"], within_seconds=1)


def test_node_and_api_go_in_turn_and_all_of_it_comes_back(
    powered: World, cluster: Cluster, api: FakeApi, tmp_path: Path
) -> None:
    api.put({**node("n1"), "spec": {}})
    [there] = cluster.nodes()
    Estate(cluster, SYSTEM, run_id="r", journal=tmp_path / "made.jsonl").open()
    assert isinstance(powered.agent, ScriptedAgent)

    with RunLease(cluster, SYSTEM, run_id="r", lease_seconds=60, on_lost=lambda: None) as held:
        found = outage(powered, cluster, tmp_path, held, free_port())
        with found.with_boot_of(there):
            during = (tmp_path / "told").read_text(encoding="utf-8")
            written = {one.target.name for one in found.breaks.journal.open()}

    told = [args["ttl_seconds"] for _, op, args in powered.agent.asked if op == "service.stop"]
    assert during == "cut n1 20;"
    assert written == {"n1", "cp1"}
    assert told == [51]
    assert (tmp_path / "told").read_text(encoding="utf-8") == "cut n1 20;restore n1;"
    assert found.breaks.journal.open() == []


def test_only_who_hears_of_every_network_counts(world: World) -> None:
    asked = asking(world, bgp_routes=routes("10.244.3.0/24", "10.0.0.3/32"))
    sessions = {"cp1": ["to_r1", "to_r2"]}

    def hearing(*networks: str) -> frozenset[str]:
        wanted = frozenset(networks)
        return Onlookers(agent=asked.agent, sessions=sessions, networks=wanted).hearing()

    assert hearing("10.244.3.0/24") == {"cp1 to_r1", "cp1 to_r2"}
    assert hearing("10.244.3.0/24", "10.244.4.0/24") == frozenset()


def test_over_a_session_that_is_down_nobody_hears_and_who_is_out_of_reach_is_no_witness(
    world: World,
) -> None:
    down = asking(world, bgp_routes=HarnessError("birdc show route export to_r1: protocol is down"))
    away = asking(world)
    sessions, wanted = {"cp1": ["to_r1"]}, frozenset({"10.244.3.0/24"})

    heard = Onlookers(agent=down.agent, sessions=sessions, networks=wanted).hearing()

    assert heard == frozenset()
    with pytest.raises(ClusterError):
        Onlookers(agent=away.agent, sessions=sessions, networks=wanted).hearing()
