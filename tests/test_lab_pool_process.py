"""The node pool's process is remembered, ended, and never mistaken for another."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hotfire.errors import LabError
from hotfire.lab.cluster.pool_process import Limits, PoolProcess
from hotfire.lab.shape.state import State
from hotfire.waiting import until

LIMITS = Limits(least=3, most=5, cooldown_seconds=30.0)


@pytest.fixture
def process(tmp_path: Path) -> PoolProcess:
    return PoolProcess(State(tmp_path))


def remember(process: PoolProcess, pid: int) -> None:
    note = {"pid": pid, "least": 3, "most": 5, "cooldown_seconds": 30.0}
    (process.state.home / "node-pool.json").write_text(json.dumps(note))


def test_no_note_means_no_pool(process: PoolProcess) -> None:
    assert (process.limits(), process.pid(), process.stop()) == (None, None, False)


def test_limits_are_told_whether_the_process_runs_or_not(process: PoolProcess) -> None:
    remember(process, os.getpid())

    assert process.limits() == LIMITS
    assert str(process.limits()) == "node pool of 3 to 5 workers, 30 s cooldown"


def test_id_that_belongs_to_somebody_else_is_not_ended(process: PoolProcess) -> None:
    remember(process, os.getpid())

    assert not process.stop()
    assert process.limits() is None


def test_running_process_is_ended_and_forgotten(process: PoolProcess) -> None:
    words = [sys.executable, "-c", "import signal; signal.pause()", "pool", "--foreground"]
    child = subprocess.Popen(words)
    remember(process, child.pid)
    try:
        until(process.pid, within_seconds=10, what="the process under its own name")

        assert process.stop()
        assert child.wait(5) < 0
        assert process.limits() is None
    finally:
        child.kill()


def test_process_that_ends_at_once_is_told_with_its_last_words(
    process: PoolProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(process.state.home))

    with pytest.raises(LabError, match="the node pool's process ended: hotfire: no lab is up"):
        process.start(LIMITS)
