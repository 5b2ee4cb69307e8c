"""The process that fires: bound to its driver's life, and ended in order."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml

from hotfire.errors import HarnessError
from hotfire.experiment.process import ChaosProcess
from hotfire.waiting import until

# Waits for a minute before it would do anything, and leaves a trace when it is rolled back.
WAITING = {
    "title": "Waiting",
    "description": "Waits.",
    "method": [
        {
            "type": "action",
            "name": "wait",
            "pauses": {"before": 60},
            "provider": {"type": "process", "path": "true"},
        }
    ],
    "rollbacks": [
        {
            "type": "action",
            "name": "trace",
            "provider": {"type": "process", "path": "touch", "arguments": "rolled-back"},
        }
    ],
}


@pytest.fixture
def process(tmp_path: Path) -> ChaosProcess:
    experiment = tmp_path / "waiting.yaml"
    experiment.write_text(yaml.safe_dump(WAITING))
    return ChaosProcess(
        experiment=experiment,
        armed=tmp_path / "armed.json",
        journal=tmp_path / "journal.json",
        log=tmp_path / "chaos.log",
    )


def playing(process: ChaosProcess) -> bool:
    return process.log.exists() and "Pausing before" in process.log.read_text()


def test_ending_it_from_another_thread_runs_the_rollbacks(process: ChaosProcess) -> None:
    def end() -> None:
        until(lambda: playing(process), within_seconds=90, what="the method playing")
        process.end()

    ender = threading.Thread(target=end)
    ender.start()
    process.run(within_seconds=60)
    ender.join()

    assert (process.log.parent / "rolled-back").exists()
    assert '"interrupted"' in process.journal.read_text()


def test_an_overrun_is_ended_and_told(process: ChaosProcess) -> None:
    with pytest.raises(HarnessError, match=r"did not end within 0.5 s"):
        process.run(within_seconds=0.5)

    assert process.process
    assert process.process.poll() is not None


def test_it_dies_with_a_driver_that_was_killed(process: ChaosProcess) -> None:
    code = (
        "import sys; from pathlib import Path; from hotfire.experiment.process import ChaosProcess;"
        "p = [Path(a) for a in sys.argv[1:]];"
        "ChaosProcess(experiment=p[0], armed=p[1], journal=p[2], log=p[3]).run(within_seconds=60)"
    )
    paths = [process.experiment, process.armed, process.journal, process.log]
    driver = subprocess.Popen([sys.executable, "-c", code, *map(str, paths)])
    until(lambda: playing(process), within_seconds=90, what="the method playing")
    child = _child(driver.pid)

    driver.send_signal(signal.SIGKILL)
    driver.wait(10)

    until(lambda: not _alive(child), within_seconds=5, what="the process dead")
    assert not (process.log.parent / "rolled-back").exists()


def _child(pid: int) -> int:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return int(text.split()[0])


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
