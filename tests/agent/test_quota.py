"""A container that gets less CPU time than it uses, and gets its former limit back."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hotfire.agent import quota
from hotfire.agent.entries import Entries
from hotfire.agent.host import Host, OperationError
from hotfire.agent.operations import Operations
from hotfire.waiting import until

BUSY = [sys.executable, "-c", "while True: pass"]
TREES = ("memory", "cpu", "cpuacct")
NAME = f"hotfire-quota-{os.getpid()}"
WHOM = {"container_id": f"{NAME}-container", "pod_uid": f"{NAME}-pod"}


@pytest.fixture
def container() -> Iterator[Path]:
    """The CPU cgroup of a busy container; version 1 has one tree for each controller."""
    root = Path("/sys/fs/cgroup")
    if os.geteuid() != 0 or not all((root / tree).is_dir() for tree in TREES):
        pytest.skip("needs root and cgroup v1")
    paths = [root / tree / WHOM["pod_uid"] / WHOM["container_id"] for tree in TREES]
    process = subprocess.Popen(BUSY)
    try:
        for path in paths:
            path.mkdir(parents=True)
            (path / "cgroup.procs").write_text(str(process.pid))
        yield paths[1]
    finally:
        process.kill()
        process.wait(10)
        for path in paths:
            path.rmdir()
            path.parent.rmdir()


def operations(folder: Path) -> Operations:
    return Operations(Host((), Path("/")), Entries(folder))


def slow(agent: Operations, **args: object) -> Any:  # noqa: ANN401 - what the operation returns
    order = {"op": "cgroup.cpu_quota", "id": "u-1", "ttl_seconds": 60, "share": 0.3, **WHOM}
    return agent.answer(order | args)


def state(agent: Operations) -> Any:  # noqa: ANN401 - what the operation returns
    return agent.answer({"op": "cgroup.cpu", **WHOM})


def test_a_busy_container_waits_until_it_is_healed(tmp_path: Path, container: Path) -> None:
    agent = operations(tmp_path)
    before = state(agent)

    observed = slow(agent)["observed"]
    until(lambda: state(agent)["throttled_periods"] > 5, within_seconds=10, what="waiting")
    problems = agent.heal_all()

    granted = observed["quota_us"] / observed["period_us"]
    assert granted == pytest.approx(0.3 * observed["used_cpus"], rel=0.05)
    assert problems == []
    assert state(agent)["limit"] == before["limit"] == "-1 100000"


def test_a_former_quota_is_put_back(tmp_path: Path, container: Path) -> None:
    (container / "cpu.cfs_period_us").write_text("50000")
    (container / "cpu.cfs_quota_us").write_text("40000")
    agent = operations(tmp_path)
    slow(agent)

    agent.heal_all()

    assert state(agent)["limit"] == "40000 50000"


def test_the_agent_that_comes_after_a_killed_one_puts_it_back(
    tmp_path: Path, container: Path
) -> None:
    slow(operations(tmp_path))

    after = operations(tmp_path)
    after.start()

    assert after.idle()
    assert state(after)["limit"] == "-1 100000"


@pytest.mark.parametrize("share", [0, 1, "much"])
def test_a_share_that_takes_nothing_is_refused(
    tmp_path: Path, container: Path, share: object
) -> None:
    with pytest.raises(OperationError, match="share"):
        slow(operations(tmp_path), share=share)


def test_a_container_is_slowed_only_once(tmp_path: Path, container: Path) -> None:
    agent = operations(tmp_path)
    slow(agent)

    with pytest.raises(OperationError, match="cut already"):
        slow(agent, id="u-2")
    agent.heal_all()


@pytest.mark.parametrize(
    ("cpus", "expected"),
    [(0.3, ("30000", "100000")), (0.005, ("5000", "1000000")), (0.0, ("1000", "1000000"))],
)
def test_a_small_share_gets_a_longer_period(cpus: float, expected: tuple[str, str]) -> None:
    assert quota._quota(cpus) == expected
