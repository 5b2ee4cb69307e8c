"""What SCH-008 says of Jobs in queues that admit them as Kueue does, and of some that do not."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from fixtures.queues import API, JOBS, Queues
from fixtures.scratch import Scratch
from hotfire import Evidence
from hotfire.cluster import Cluster, Estate
from hotfire.profile import TargetProfile
from suites.scheduling import test_gangs_start_completely_or_not_at_all as check
from tests.fake_api import KINDS, FakeApi, connect, serving
from tests.foreign_cluster import put

GPU = "nvidia.com/gpu"
SCRATCH = "hotfire-scratch-1"
PROFILE = TargetProfile.model_validate(
    {
        "name": "miniature", "gateway": {"url": "http://10.0.0.1"}, "engine": {"model": "tiny"},
        "budgets": {},
    }
)  # fmt: skip
ROOM = check.Room(nodes=("n1", "n2"), size=2)
Document = dict[str, Any]


@dataclass
class Kueue:
    """Admits each Job by what its queue has; ``in_part``: with fewer pods than it asks for."""

    api: FakeApi
    in_part: bool = False
    gives_all: bool = True
    """Whether it looks again at what it refused."""
    over: Event = field(default_factory=Event)
    admitted: dict[str, int] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)

    def run(self) -> None:
        while not self.over.wait(0.02):
            with suppress(KeyError, RuntimeError):
                self._turn()

    def _turn(self) -> None:
        jobs = {one["metadata"]["name"]: one for one in self._all("jobs")}
        for gone in (self.admitted.keys() | self.refused) - jobs.keys():
            self._forget(gone)
        for name, job in jobs.items():
            free = self._quota() - sum(self.admitted.values())
            wanted = job["spec"]["parallelism"]
            if name in self.admitted or (name in self.refused and not self.gives_all):
                continue
            if wanted <= free or (self.in_part and free):
                self._admit(job, min(wanted, free))
            else:
                self._refuse(name)

    def _quota(self) -> int:
        [queue] = self._all("clusterqueues")
        rows = queue["spec"]["resourceGroups"][0]["flavors"][0]["resources"]
        return next(int(row["nominalQuota"]) for row in rows if row["name"] == GPU)

    def _admit(self, job: Document, pods: int) -> None:
        name = job["metadata"]["name"]
        self.admitted[name] = pods
        for number in range(pods):
            put(
                self.api, "Pod", "v1", f"{name}-{number}", namespace=SCRATCH,
                labels=job["spec"]["template"]["metadata"]["labels"],
                spec={"nodeName": "n1", "containers": []}, status={"phase": "Running"},
            )  # fmt: skip

    def _refuse(self, name: str) -> None:
        self.refused.add(name)
        condition = {"type": "QuotaReserved", "status": "False", "message": "too few"}
        put(
            self.api, "Workload", API, name, namespace=SCRATCH,
            spec={"queueName": check.QUEUE}, status={"conditions": [condition]},
        )  # fmt: skip

    def _forget(self, name: str) -> None:
        self.admitted.pop(name, None)
        self.refused.discard(name)
        for key in [key for key in self.api.objects if key[1] in ("pods", "workloads")]:
            if key[3].startswith(name):
                self.api.remove(key)

    def _all(self, plural: str) -> list[Document]:
        return [one for key, one in list(self.api.objects.items()) if key[1] == plural]


@pytest.fixture
def admission(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kueue]:
    kinds = {"ClusterQueue": False, "ResourceFlavor": False, "LocalQueue": True, "Workload": True}
    monkeypatch.setitem(KINDS, API, kinds)
    monkeypatch.setitem(KINDS, JOBS, {"Job": True})
    monkeypatch.setattr(check, "HELD_SECONDS", 0.3)
    found = Kueue(FakeApi())
    put(found.api, "Namespace", "v1", SCRATCH)
    controller = Thread(target=found.run)
    controller.start()
    yield found
    found.over.set()
    controller.join()


def judge(admission: Kueue, folder: Path) -> None:
    with serving(admission.api) as address:
        cluster: Cluster = connect(address)
        estate = Estate(cluster, "hotfire-system", run_id="x")
        estate.open()
        queues = Queues(cluster, PROFILE, estate, Scratch(cluster, PROFILE, SCRATCH))
        check.test_job_short_of_one_gpu_starts_no_pod_until_its_queue_has_it(
            cluster, queues, ROOM, Evidence(folder)
        )
        queues.close()


def test_jobs_that_are_admitted_whole_are_gangs(admission: Kueue, tmp_path: Path) -> None:
    judge(admission, tmp_path)


def test_a_job_that_starts_in_part_is_none(admission: Kueue, tmp_path: Path) -> None:
    admission.in_part = True

    with pytest.raises(AssertionError, match="one GPU short, and of 2 pods"):
        judge(admission, tmp_path)


def test_a_job_that_never_starts_is_told(
    admission: Kueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    admission.gives_all = False
    monkeypatch.setattr("fixtures.queues.STARTED_SECONDS", 1.0)

    with pytest.raises(AssertionError, match="now that the queue has 2"):
        judge(admission, tmp_path)
