"""A container that is killed after each start, known by its pod and its command line."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hotfire.agent import processes
from hotfire.agent.entries import Entries
from hotfire.agent.host import Host, OperationError
from hotfire.agent.operations import Operations
from hotfire.waiting import until

WAITS = [sys.executable, "-c", "import signal; signal.pause()"]
ENGINE, SIDECAR = [*WAITS, "engine"], [*WAITS, "sidecar"]


class PodCgroup:
    """The memory cgroup of a pod; each start of a container makes another one below it."""

    def __init__(self, name: str) -> None:
        v1 = Path("/sys/fs/cgroup/memory")
        self.path = (v1 if v1.is_dir() else Path("/sys/fs/cgroup")) / f"{name}-pod"
        self.path.mkdir()
        self.started: list[tuple[Path, subprocess.Popen[bytes]]] = []

    def start(self, container_id: str, argv: list[str]) -> subprocess.Popen[bytes]:
        path = self.path / container_id
        path.mkdir()
        process = subprocess.Popen(argv)
        # A process shows no words until its program is loaded.
        until(lambda: processes.words(process.pid) == argv, within_seconds=10, what="its words")
        (path / "cgroup.procs").write_text(str(process.pid))
        self.started.append((path, process))
        return process

    def remove(self) -> None:
        for path, process in self.started:
            process.kill()
            process.wait(10)
            path.rmdir()
        self.path.rmdir()


@pytest.fixture
def pod() -> Iterator[PodCgroup]:
    if os.geteuid() != 0:
        pytest.skip("cgroups need root")
    try:
        pod = PodCgroup(f"hotfire-crash-{os.getpid()}")
    except OSError as error:
        pytest.skip(f"no memory cgroup can be made here: {error}")
    yield pod
    pod.remove()


def operations(tmp_path: Path) -> Operations:
    return Operations(Host((), Path("/")), Entries(tmp_path / "state"))


def crash(agent: Operations, pod: PodCgroup) -> None:
    whom = {"container_id": "engine-00000001", "pod_uid": pod.path.name}
    agent.answer({"op": "process.crash_loop", "id": "u-1", "ttl_seconds": 60, **whom})


def ended(process: subprocess.Popen[bytes]) -> bool:
    return process.poll() == -signal.SIGKILL


def test_each_start_of_the_container_is_killed_and_nothing_else(
    tmp_path: Path, pod: PodCgroup
) -> None:
    first, beside = pod.start("engine-00000001", ENGINE), pod.start("sidecar-00000001", SIDECAR)
    agent = operations(tmp_path)
    crash(agent, pod)
    until(lambda: ended(first), within_seconds=10, what="the first start killed")
    second = pod.start("engine-00000002", ENGINE)

    agent.tick()

    until(lambda: ended(second), within_seconds=10, what="the second start killed")
    entry = agent.answer({"op": "entry", "id": "u-1"})
    assert isinstance(entry, dict)
    assert entry["observed"]["kills"] == 2
    assert beside.poll() is None


def test_a_healed_container_stays_up(tmp_path: Path, pod: PodCgroup) -> None:
    pod.start("engine-00000001", ENGINE)
    agent = operations(tmp_path)
    crash(agent, pod)

    problems = agent.heal_all()
    second = pod.start("engine-00000002", ENGINE)
    agent.tick()

    assert problems == []
    assert second.poll() is None


def test_the_agent_that_comes_after_a_killed_one_kills_nobody(
    tmp_path: Path, pod: PodCgroup
) -> None:
    pod.start("engine-00000001", ENGINE)
    crash(operations(tmp_path), pod)
    second = pod.start("engine-00000002", ENGINE)

    after = operations(tmp_path)
    after.start()

    assert after.idle()
    assert second.poll() is None


def test_a_container_that_is_not_here_is_refused(tmp_path: Path, pod: PodCgroup) -> None:
    with pytest.raises(OperationError, match="no memory cgroup of container"):
        crash(operations(tmp_path), pod)


def test_a_container_without_a_process_is_refused(tmp_path: Path, pod: PodCgroup) -> None:
    process = pod.start("engine-00000001", ENGINE)
    process.kill()
    process.wait(10)

    with pytest.raises(OperationError, match="no such process"):
        crash(operations(tmp_path), pod)
