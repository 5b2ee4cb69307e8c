"""What a check breaks by a step of the faults is undone, and its undo is written ahead."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fixtures.breaks import Breaks, stops
from hotfire.chaos import janitor
from hotfire.chaos.agent_pods import code_digest
from hotfire.chaos.lease import RunLease
from hotfire.chaos.plan import World
from hotfire.chaos.steps.cordon import Cordon
from hotfire.chaos.steps.service_stop import ServiceStop
from hotfire.chaos.steps.services_block import ServicesBlock
from hotfire.chaos.undo import UndoJournal
from hotfire.chaos.written import Target
from hotfire.cluster import Cluster, Estate
from hotfire.errors import FaultNotInjected, HarnessError
from tests.chaos.platform import SYSTEM
from tests.chaos.scripted_agent import ScriptedAgent, asking
from tests.chaos.test_node_faults import node
from tests.fake_api import FakeApi

MACHINES = ["cp1", "cp2"]
STOPPED = {"id": "u-1", "op": "service.stop", "state": "injected"}


@dataclass(frozen=True, slots=True)
class Case:
    """Breaks on machines whose agents answer by a script."""

    breaks: Breaks
    agent: ScriptedAgent

    def ordered(self, op: str) -> list[str]:
        return [machine for machine, asked, _ in self.agent.asked if asked == op]


@pytest.fixture
def held(cluster: Cluster, tmp_path: Path) -> Iterator[RunLease]:
    Estate(cluster, SYSTEM, run_id="r", journal=tmp_path / "made.jsonl").open()
    with RunLease(cluster, SYSTEM, run_id="r", lease_seconds=60, on_lost=lambda: None) as held:
        yield held


def case(world: World, held: RunLease, tmp_path: Path, stopped: object) -> Case:
    told = asking(
        world,
        ping={"code": code_digest()},
        service_stop=stopped,
        list=[],
        heal={"problems": []},
        renew=STOPPED,
    )
    journal = UndoJournal(tmp_path / "undo.jsonl", world.cluster, SYSTEM)
    assert isinstance(told.agent, ScriptedAgent)
    estate = Estate(world.cluster, SYSTEM, run_id="r", journal=tmp_path / "made.jsonl")
    breaks = Breaks(world=told, journal=journal, held=held, estate=estate, case="CLU-004")
    return Case(breaks, told.agent)


def test_services_are_stopped_with_their_undo_written_and_started_again(
    world: World, held: RunLease, tmp_path: Path
) -> None:
    found = case(world, held, tmp_path, STOPPED)

    found.breaks.stop_service("etcd", MACHINES)
    written = found.breaks.journal.open()
    found.breaks.undo_all()

    assert sorted(entry.target.node for entry in written) == MACHINES
    assert {entry.fault for entry in written} == {"CLU-004"}
    assert found.ordered("service.stop") == MACHINES
    assert sorted(found.ordered("heal")) == MACHINES
    assert found.breaks.journal.open() == []


def test_what_was_refused_is_undone_all_the_same(
    world: World, held: RunLease, tmp_path: Path
) -> None:
    found = case(world, held, tmp_path, HarnessError("service etcd does not run here"))

    with pytest.raises(FaultNotInjected, match="does not run here"):
        found.breaks.stop_service("etcd", MACHINES)
    found.breaks.undo_all()

    assert sorted(found.ordered("heal")) == MACHINES
    assert found.breaks.journal.open() == []


def test_a_run_that_lost_the_cluster_stops_nothing(
    world: World, held: RunLease, cluster: Cluster, tmp_path: Path
) -> None:
    found = case(world, held, tmp_path, STOPPED)
    cluster.delete("Lease", SYSTEM, "hotfire-run", api_version="coordination.k8s.io/v1")

    with pytest.raises(HarnessError, match="lost the cluster"):
        found.breaks.stop_service("etcd", MACHINES)

    assert found.ordered("service.stop") == []


def test_leases_are_renewed_while_something_is_awaited(
    world: World, held: RunLease, tmp_path: Path
) -> None:
    agent = world.profile.agent.model_copy(update={"lease_seconds": 0.3})
    profile = world.profile.model_copy(update={"agent": agent})
    short = World(cluster=world.cluster, agent=world.agent, profile=profile)
    found = case(short, held, tmp_path, STOPPED)
    found.breaks.carry_out(
        ServiceStop(service="kubelet"), Target(kind="node", name="n1", uid="n1", node="n1")
    )

    shown = found.breaks.hold(lambda: False, within_seconds=0.3)

    assert not shown
    assert len(found.ordered("renew")) >= 2


def test_some_of_it_is_undone_early_and_still_written_down(
    world: World, held: RunLease, tmp_path: Path
) -> None:
    found = case(world, held, tmp_path, STOPPED)
    block = ServicesBlock(networks=("10.96.0.0/16",))
    found.agent.answers["net.block"] = {"id": "u-2", "op": "net.block", "state": "injected"}

    found.breaks.carry_out(block, Target(kind="node", name="cp1", uid="cp1", node="cp1"))
    stopped = found.breaks.carry_out_in_turn(
        [*stops("kube-apiserver", MACHINES), *stops("etcd", MACHINES)]
    )
    found.breaks.end(stopped)
    early, written = found.ordered("heal"), found.breaks.journal.open()
    found.breaks.undo_all()

    told = [args["service"] for _, op, args in found.agent.asked if op == "service.stop"]
    assert told == ["kube-apiserver", "kube-apiserver", "etcd", "etcd"]
    [ordered] = [args for _, op, args in found.agent.asked if op == "net.block"]
    assert (ordered["between"], ordered["and"]) == ([], ["10.96.0.0/16"])
    assert early == [*reversed(MACHINES), *reversed(MACHINES)]
    assert len(written) == 5
    assert found.breaks.journal.open() == []


def test_what_no_node_undoes_has_a_janitor_first(
    world: World, held: RunLease, api: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.put({**node("n1"), "spec": {}})
    uid = api.objects["v1", "nodes", "", "n1"]["metadata"]["uid"]
    monkeypatch.setattr(janitor, "is_live", lambda *_: bool(api.names("deployments")))
    found = case(world, held, tmp_path, STOPPED)

    found.breaks.carry_out(Cordon(), Target(kind="node", name="n1", uid=uid, node="n1"))
    cordoned = api.objects["v1", "nodes", "", "n1"]["spec"].get("unschedulable")
    found.breaks.undo_all()

    assert cordoned
    assert api.names("deployments") == [janitor.NAME]
    assert not api.objects["v1", "nodes", "", "n1"]["spec"].get("unschedulable")
