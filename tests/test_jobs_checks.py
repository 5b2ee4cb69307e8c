"""The check of queued jobs passes beside sound workers, and fails beside its broken twin.

Its parts are processes of this machine, their pods those of an API server in miniature: what a lab
adds are Services, a gateway and the kernel's own kill.
"""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import fixtures.jobs
from fixtures.changes import Changes
from fixtures.jobs import QueuedJobs
from hotfire import Evidence
from hotfire.chaos.agent_answers import AgentEntry
from hotfire.chaos.plan import World
from hotfire.engine.jobs import worker as worker_program
from hotfire.jobs import Jobs
from suites.api import test_queued_jobs_survive_the_loss_of_a_worker as check
from tests.chaos.conftest import address, api, cluster, profile, world
from tests.chaos.fake_agent import FakeAgent
from tests.chaos.platform import NAMESPACE
from tests.chaos.test_changes import changes, estate, held
from tests.defects.queued_jobs_survive_the_loss_of_a_worker import ACKNOWLEDGES, DOES
from tests.fake_api import Document, FakeApi
from tests.jobs_machine import LEASE_SECONDS, NEEDS_REDIS, Application, application
from tests.meanwhile import meanwhile
from tests.rag_machine import APPS, pod

__all__ = ["address", "api", "changes", "cluster", "estate", "held", "profile", "world"]
pytestmark = NEEDS_REDIS
WORKER, API = "worker", "api"
WORKERS = 2
SOUND = Path(worker_program.__file__).read_text(encoding="utf-8")
ACKNOWLEDGING = SOUND.replace(DOES, ACKNOWLEDGES + DOES)
FEWER = 80
# Who waits in vain waits for less long; on a busy machine a process takes seconds to start.
MARGIN_SECONDS, SHORT_SECONDS = 30.0, 5.0


@dataclass
class Machine:
    """Controllers and kubelet: as many pods as are wanted, and a process in each of the workers."""

    api: FakeApi
    application: Application
    source: str
    joined: bool
    """Whether a worker more brings an API pod more along."""
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    made: int = 0

    def turn(self) -> None:
        with self.api.lock:
            for part in (WORKER, API):
                self._as_wanted(part)
            for one in self.pods(WORKER):
                self._run(one)

    def pods(self, part: str) -> list[Document]:
        found = [one for key, one in sorted(self.api.objects.items()) if key[1] == "pods"]
        return [one for one in found if one["metadata"]["labels"] == {"app": part}]

    def _as_wanted(self, part: str) -> None:
        wanted = self._replicas(part)
        if self.joined and part == API:
            wanted += self._replicas(WORKER) - WORKERS
        for one in self.pods(part)[wanted:]:
            self.api.remove(("v1", "pods", NAMESPACE, one["metadata"]["name"]))
            if process := self.processes.pop(one["metadata"]["uid"], None):
                process.kill()
        for _ in range(wanted - len(self.pods(part))):
            self.made += 1
            made = pod(part, f"{part}-{self.made:03d}")
            made["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
            self.api.put(made)

    def _replicas(self, part: str) -> int:
        found: int = self.api.objects[APPS, "deployments", NAMESPACE, part]["spec"]["replicas"]
        return found

    def _run(self, one: Document) -> None:
        uid, [status] = one["metadata"]["uid"], one["status"]["containerStatuses"]
        process = self.processes.get(uid)
        if process is None or process.poll() is not None:
            status["restartCount"] += process is not None
            self.processes[uid] = self.application.run("-c", self.source)


class Agent(FakeAgent):
    """Kills the process of a pod."""

    def __init__(self, world: World, machine: Machine) -> None:
        super().__init__(world, {"heal": {"problems": []}})
        self._machine = machine

    def fire(self, node: str, op: str, id_: str, **args: object) -> AgentEntry:
        assert (op, args["signal"]) == ("process.signal", "KILL")
        self._machine.processes[str(args["pod_uid"])].kill()
        return super().fire(node, op, id_, **args)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What the check asks for."""

    queued_jobs: QueuedJobs
    agent: Agent
    changes: Changes
    evidence: Evidence


Laid = Callable[..., AbstractContextManager[Ground]]


@pytest.fixture
def laid(
    world: World, api: FakeApi, changes: Changes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Laid:
    """Have two workers and an API; ``laid(source=...)`` is another program of the workers."""
    monkeypatch.setattr(check, "JOBS", FEWER)

    @contextmanager
    def lay(
        *, source: str = SOUND, joined: bool = False, margin_seconds: float = MARGIN_SECONDS
    ) -> Iterator[Ground]:
        monkeypatch.setattr(fixtures.jobs, "MARGIN_SECONDS", margin_seconds)
        for part, count in ((WORKER, WORKERS), (API, 1)):
            metadata = {"name": part, "namespace": NAMESPACE, "uid": part}
            spec = {"replicas": count, "template": {"spec": {"containers": [{"name": part}]}}}
            api.put({"apiVersion": APPS, "kind": "Deployment", "metadata": metadata, "spec": spec})
        folder = tmp_path / "queue"
        folder.mkdir()
        with application(folder) as running:
            machine = Machine(api, running, source, joined)
            machine.turn()
            with meanwhile(machine.turn):
                yield ground(world, machine, changes, tmp_path)

    return lay


def ground(world: World, machine: Machine, changes: Changes, folder: Path) -> Ground:
    parts = {part: {"app": part} for part in (WORKER, API)}
    return Ground(
        queued_jobs=QueuedJobs(
            jobs=Jobs.model_validate({"parts": parts, "redelivery_seconds": LEASE_SECONDS}),
            profile=world.profile,
            cluster=world.cluster,
            client=machine.application.client,
        ),
        agent=Agent(world, machine),
        changes=changes,
        evidence=Evidence(folder),
    )


def lose_a_worker(on: Ground) -> None:
    check.test_each_job_has_one_result_though_a_worker_dies(on.queued_jobs, on.agent, on.evidence)


def test_the_loss_passes_where_jobs_are_acknowledged_when_done(laid: Laid) -> None:
    with laid() as on:
        lose_a_worker(on)

        check.test_what_was_never_queued_has_no_result(on.queued_jobs, on.evidence)
        assert on.evidence.observations["results"] == FEWER


def test_the_loss_fails_where_jobs_are_acknowledged_when_taken(laid: Laid) -> None:
    with (
        laid(source=ACKNOWLEDGING, margin_seconds=SHORT_SECONDS) as on,
        pytest.raises(AssertionError, match="the others are lost"),
    ):
        lose_a_worker(on)


def test_the_loss_fails_where_results_are_kept_under_another_name(laid: Laid) -> None:
    renamed = SOUND.replace('"custom_id": job.name}', '"custom_id": job.name[:-1]}')
    assert renamed != SOUND

    with laid(source=renamed) as on, pytest.raises(AssertionError, match="have no result"):
        lose_a_worker(on)


def scale(on: Ground) -> None:
    check.test_api_and_workers_scale_apart(on.queued_jobs, on.changes, on.evidence)


def test_scaling_passes_where_each_part_grows_alone(laid: Laid) -> None:
    with laid() as on:
        scale(on)


def test_scaling_fails_where_one_part_grows_with_the_other(laid: Laid) -> None:
    with laid(joined=True) as on, pytest.raises(AssertionError, match="api with the worker"):
        scale(on)
