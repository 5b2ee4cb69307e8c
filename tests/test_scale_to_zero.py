"""What SCA-006 says of the activator itself and of a real engine that it wakes, cluster aside."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

import pytest

from fixtures.stack import Stack
from hotfire import Evidence
from hotfire.cluster import Cluster
from hotfire.engine import activator
from hotfire.engine.activator import Demand, Engines, serve
from hotfire.errors import HarnessError
from hotfire.profile import TargetProfile
from hotfire.waiting import pause
from suites.scaling import test_first_request_after_idling_is_not_lost as check
from tests.engine_process import running_engine
from tests.fake_api import FakeApi, connect, serving
from tests.foreign_cluster import NAMESPACE, put

NOW = "2026-11-30T21:00:00Z"
LOAD_SECONDS = 1.0


@dataclass
class Sleeping:
    """A platform without an engine: the first who waits for one has it come a second later."""

    engine_port: int
    api: FakeApi = field(default_factory=FakeApi)
    engines: Engines = field(default_factory=Engines)
    demand: Demand = field(default_factory=Demand)
    over: Event = field(default_factory=Event)

    def wake(self) -> None:
        while not self.demand.count():
            if self.over.wait(0.02):
                return
        pause(LOAD_SECONDS, why="the engine is to load for so long")
        self.have_engine()
        self.engines.are([("127.0.0.1", self.engine_port)])

    def have_engine(self) -> None:
        running = {"name": "vllm", "ready": True, "state": {"running": {"startedAt": NOW}}}
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": NOW}
        put(
            self.api, "Pod", "v1", "vllm-0", namespace=NAMESPACE, labels={"app": "vllm"},
            spec={"nodeName": "n1", "containers": [{"name": "vllm"}]},
            status={"phase": "Running", "conditions": [ready], "containerStatuses": [running]},
        )  # fmt: skip


@pytest.fixture
def sleeping(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sleeping]:
    for name in ("APART_SECONDS", "AGAIN_SECONDS", "SETTLED_SECONDS"):
        monkeypatch.setattr(check, name, 0.1)
    with running_engine("--model=tiny", "--ttft-seconds=0.001") as engine:
        found = Sleeping(engine.port)
        autoscaler = Thread(target=found.wake)
        autoscaler.start()
        yield found
        found.over.set()
        autoscaler.join()


@pytest.fixture
def target(sleeping: Sleeping) -> Iterator[TargetProfile]:
    servers = serve((0, 0), sleeping.demand, sleeping.engines)
    yield TargetProfile.model_validate(
        {
            "name": "miniature", "gateway": {"url": f"http://127.0.0.1:{servers[0].server_port}"},
            "engine": {"model": "tiny"}, "budgets": {}, "namespace": NAMESPACE,
            "waits": {"pod_ready_seconds": 10.0, "idle_seconds": 0.1},
        }
    )  # fmt: skip
    for one in servers:
        one.shutdown()
        one.server_close()


@pytest.fixture
def cluster(sleeping: Sleeping) -> Iterator[Cluster]:
    with serving(sleeping.api) as address:
        yield connect(address)


def judge(cluster: Cluster, target: TargetProfile, folder: Path) -> None:
    check.test_who_comes_while_no_engine_is_there_is_served_by_the_first(
        cluster, target, Stack(cluster, target), Evidence(folder)
    )


def test_whoever_is_held_until_an_engine_serves_is_not_lost(
    cluster: Cluster, target: TargetProfile, tmp_path: Path
) -> None:
    judge(cluster, target, tmp_path)


def test_whoever_is_told_when_to_return_is_not_lost(
    cluster: Cluster, target: TargetProfile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activator, "HOLD_SECONDS", 0.0)
    monkeypatch.setattr(activator, "AGAIN", {"Retry-After": "1"})

    judge(cluster, target, tmp_path)


def test_whoever_gets_a_bare_refusal_is_lost(
    cluster: Cluster, target: TargetProfile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activator, "HOLD_SECONDS", 0.0)
    monkeypatch.setattr(activator, "AGAIN", {})

    with pytest.raises(AssertionError, match="503 and no Retry-After"):
        judge(cluster, target, tmp_path)


def test_a_first_token_that_comes_too_late_fails(
    cluster: Cluster, target: TargetProfile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So long an engine's pod says that it loaded: a second, as stamps are rounded.
    monkeypatch.setattr(check, "LATE_SECONDS", LOAD_SECONDS - 1.5)

    with pytest.raises(AssertionError, match=r"waited .* for his first token"):
        judge(cluster, target, tmp_path)


def test_engines_that_stay_without_demand_are_told(
    sleeping: Sleeping, cluster: Cluster, target: TargetProfile, tmp_path: Path
) -> None:
    sleeping.have_engine()

    with pytest.raises(HarnessError, match=r"waits\.idle_seconds"):
        judge(cluster, target, tmp_path)
