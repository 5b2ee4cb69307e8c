"""Services and processes, on a node whose supervisor is played by this test."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hotfire.agent import processes
from hotfire.agent.entries import Entries
from hotfire.agent.host import Host, OperationError
from hotfire.agent.operations import Operations
from hotfire.waiting import until

PROGRAM = [sys.executable, "-c", "import signal; signal.pause()"]


class Supervisor(threading.Thread):
    """Does for one service what PID 1 of a lab machine does, within a hundredth of a second."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.over = threading.Event()
        self.pid_file = root / "run/hotfire/kubelet.pid"
        self.hold = root / "var/lib/hotfire/services/kubelet.down"
        for path in (self.pid_file, self.hold):
            path.parent.mkdir(parents=True)
        self.process = self._launch()

    def run(self) -> None:
        while not self.over.wait(0.01):
            if self.hold.exists():
                self.process.kill()
            gone = self.process.poll() is not None
            if gone and not self.hold.exists():
                self.process = self._launch()
            elif gone:
                self.pid_file.unlink(missing_ok=True)
        self.process.kill()
        self.process.wait(5)

    def _launch(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(PROGRAM)
        self.pid_file.write_text(str(process.pid))
        return process


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    supervisor = Supervisor(tmp_path)
    supervisor.start()
    yield supervisor
    supervisor.over.set()
    supervisor.join()


@pytest.fixture
def operations(tmp_path: Path) -> Operations:
    return Operations(Host((), tmp_path), Entries(tmp_path / "state"))


def state(operations: Operations) -> dict[str, object]:
    answer = operations.answer({"op": "service.state", "service": "kubelet"})
    assert isinstance(answer, dict)
    return answer


def await_state(pid: int, *letters: str) -> None:
    """Wait for what a signal comes to, which the kernel does after it has been sent."""
    what = f"process {pid} in state {' or '.join(letters)}"
    until(lambda: processes.state(pid) in letters, within_seconds=10, what=what, poll_seconds=0.01)


def test_stopped_service_stays_stopped_until_it_is_healed(
    operations: Operations, supervisor: Supervisor
) -> None:
    request = {"op": "service.stop", "id": "u-1", "ttl_seconds": 60, "service": "kubelet"}
    operations.answer(request)
    stopped = state(operations)

    problems = operations.heal_all()

    assert (stopped["pid"], stopped["held"]) == (None, True)
    assert problems == []
    until(
        lambda: state(operations)["pid"] == supervisor.process.pid,
        within_seconds=10,
        what="its new process",
    )


def test_a_service_that_does_not_run_is_refused(
    operations: Operations, supervisor: Supervisor
) -> None:
    request = {"op": "service.stop", "id": "u-1", "ttl_seconds": 60, "service": "etcd"}

    with pytest.raises(OperationError, match="does not run here"):
        operations.answer(request)


def test_hanging_service_stands_still_until_it_is_healed(
    operations: Operations, supervisor: Supervisor
) -> None:
    what = {"op": "process.signal", "service": "kubelet", "signal": "STOP"}
    operations.answer({**what, "id": "u-1", "ttl_seconds": 60})
    await_state(supervisor.process.pid, "T")

    problems = operations.heal_all()

    assert problems == []
    await_state(supervisor.process.pid, "S", "R")


HANG = {"op": "process.signal", "service": "kubelet", "signal": "STOP", "ttl_seconds": 60}


def test_a_service_that_somebody_else_stopped_is_not_let_run_by_us(
    operations: Operations, supervisor: Supervisor
) -> None:
    pid = supervisor.process.pid
    os.kill(pid, signal.SIGSTOP)
    await_state(pid, "T")

    with pytest.raises(OperationError, match="stand still already"):
        operations.answer({**HANG, "id": "u-1"})

    assert operations.idle()
    assert processes.state(pid) == "T"


def test_a_service_that_stands_still_can_be_killed(
    operations: Operations, supervisor: Supervisor
) -> None:
    pid = supervisor.process.pid
    operations.answer({**HANG, "id": "u-1"})
    await_state(pid, "T")

    killed = operations.answer({**HANG, "signal": "KILL", "id": "u-2"})

    assert isinstance(killed, dict)
    assert killed["observed"]["pids"] == [pid]


def test_who_is_to_stand_still_is_written_down_before_it_does(
    operations: Operations, supervisor: Supervisor, tmp_path: Path
) -> None:
    operations.answer({**HANG, "id": "u-1"})
    pid = supervisor.process.pid
    await_state(pid, "T")
    # Killed before it noted what came of it.
    path = tmp_path / "state/u-1.json"
    left = json.loads(path.read_text())
    left |= {"state": "armed", "observed": {"processes": left["observed"]["processes"]}}
    path.write_text(json.dumps(left))

    Operations(Host((), tmp_path), Entries(tmp_path / "state")).start()

    await_state(pid, "S", "R")


def test_a_later_process_with_the_id_of_one_that_stood_is_left_alone(
    operations: Operations, supervisor: Supervisor, tmp_path: Path
) -> None:
    operations.answer({**HANG, "id": "u-1"})
    pid = supervisor.process.pid
    await_state(pid, "T")
    path = tmp_path / "state/u-1.json"
    left = json.loads(path.read_text())
    [[_, started]] = left["observed"]["processes"]
    left["observed"]["processes"] = [[pid, started - 1]]
    path.write_text(json.dumps(left))

    Operations(Host((), tmp_path), Entries(tmp_path / "state")).start()

    assert processes.state(pid) == "T"


def test_killed_service_gets_another_process(
    operations: Operations, supervisor: Supervisor
) -> None:
    former = supervisor.process.pid
    what = {"op": "process.signal", "service": "kubelet", "signal": "KILL"}
    answer = operations.answer({**what, "id": "u-1", "ttl_seconds": 60})
    assert isinstance(answer, dict)

    await_state(former, "", "Z", "X")
    until(
        lambda: state(operations)["pid"] not in {None, former},
        within_seconds=10,
        what="another process",
    )

    assert answer["observed"]["pids"] == [former]


@pytest.fixture
def container() -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A memory cgroup with two processes, named as the kubelet names a container's."""
    root = Path("/sys/fs/cgroup/memory")
    if os.geteuid() != 0 or not root.is_dir():
        pytest.skip("needs root and cgroup v1")
    name = f"hotfire-signal-{os.getpid()}"
    path = root / "podp-1" / name
    path.mkdir(parents=True)
    pair = [subprocess.Popen([*PROGRAM, role]) for role in ("engine-core", "api-server")]
    for process in pair:
        (path / "cgroup.procs").write_text(str(process.pid))
    yield name, pair
    for process in pair:
        process.kill()
        process.wait(5)
    for folder in (path, path.parent):
        folder.rmdir()


def test_only_the_named_process_of_a_container_stands_still(
    tmp_path: Path, container: tuple[str, list[subprocess.Popen[bytes]]]
) -> None:
    name, (engine, api) = container
    operations = Operations(Host((), Path("/")), Entries(tmp_path))
    what = {"op": "process.signal", "signal": "STOP", "process": "engine-core"}
    ids = {"container_id": name, "pod_uid": "p-1", "id": "u-1", "ttl_seconds": 60}
    operations.answer({**what, **ids})
    await_state(engine.pid, "T")
    other = processes.state(api.pid)

    operations.heal_all()

    assert other not in {"T", ""}
    await_state(engine.pid, "R", "S")


def test_all_processes_stand_still_where_none_is_called_so_and_that_is_asked_for(
    tmp_path: Path, container: tuple[str, list[subprocess.Popen[bytes]]]
) -> None:
    name, pair = container
    operations = Operations(Host((), Path("/")), Entries(tmp_path))
    what = {"op": "process.signal", "signal": "STOP", "process": "VLLM::EngineCore"}
    ids = {"container_id": name, "pod_uid": "p-1", "id": "u-1", "ttl_seconds": 60}
    with pytest.raises(OperationError, match="no such process"):
        operations.answer({**what, **ids})

    operations.answer({**what, **ids, "or_all": True})

    for process in pair:
        await_state(process.pid, "T")
    operations.heal_all()


def test_what_became_of_signalled_processes_is_told(
    tmp_path: Path, container: tuple[str, list[subprocess.Popen[bytes]]]
) -> None:
    name, (engine, _) = container
    operations = Operations(Host((), Path("/")), Entries(tmp_path))
    what = {"op": "process.signal", "signal": "KILL", "process": "engine-core"}
    ids = {"container_id": name, "pod_uid": "p-1", "id": "u-1", "ttl_seconds": 60}

    operations.answer({**what, **ids})
    engine.wait(10)

    told = operations.answer({"op": "process.states", "id": "u-1"})
    assert told == [{"pid": engine.pid, "state": ""}]


KILL_AFTER_STANDING = {
    "op": "process.signal",
    "signal": "KILL",
    "process": "engine-core",
    "standing_seconds": 2,
    "pod_uid": "p-1",
    "id": "u-1",
    "ttl_seconds": 60,
}


def test_a_process_stands_still_as_long_as_ordered_before_it_is_killed(
    tmp_path: Path,
    container: tuple[str, list[subprocess.Popen[bytes]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name, (engine, _) = container
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        await_state(engine.pid, "T")
        slept.append(seconds)

    monkeypatch.setattr("hotfire.agent.signals._keep_standing", sleep)
    operations = Operations(Host((), Path("/")), Entries(tmp_path))

    operations.answer({**KILL_AFTER_STANDING, "container_id": name})

    assert slept == [2]
    assert engine.wait(10) == -signal.SIGKILL


def test_an_agent_that_dies_meanwhile_leaves_nobody_standing(
    tmp_path: Path,
    container: tuple[str, list[subprocess.Popen[bytes]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name, (engine, _) = container

    class Died(BaseException):
        pass

    def die(_seconds: float) -> None:
        await_state(engine.pid, "T")
        raise Died

    monkeypatch.setattr("hotfire.agent.signals._keep_standing", die)
    operations = Operations(Host((), Path("/")), Entries(tmp_path))
    with pytest.raises(Died):
        operations.answer({**KILL_AFTER_STANDING, "container_id": name})

    Operations(Host((), Path("/")), Entries(tmp_path)).heal_all()

    await_state(engine.pid, "R", "S")


@pytest.mark.parametrize("wrong", [{"signal": "STOP"}, {"standing_seconds": 60}])
def test_a_standstill_is_short_and_goes_before_a_kill(
    wrong: dict[str, object], tmp_path: Path, container: tuple[str, list[subprocess.Popen[bytes]]]
) -> None:
    operations = Operations(Host((), Path("/")), Entries(tmp_path))

    with pytest.raises(OperationError, match="standing_seconds"):
        operations.answer({**KILL_AFTER_STANDING, "container_id": container[0], **wrong})


def test_signals_other_than_stop_and_kill_are_refused(
    operations: Operations, supervisor: Supervisor
) -> None:
    what = {"op": "process.signal", "service": "kubelet", "signal": signal.SIGTERM.name}

    with pytest.raises(OperationError, match="signal is one of KILL, STOP"):
        operations.answer({**what, "id": "u-1", "ttl_seconds": 60})
