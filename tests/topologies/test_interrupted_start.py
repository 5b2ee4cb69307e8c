"""Whatever happens in the middle of `lab up`, one command brings the machine back to clean."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hotfire.lab.lab import Lab
from hotfire.waiting import until

pytestmark = pytest.mark.lab


@contextlib.contextmanager
def starting(log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start `lab up` as a user does."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "hotfire", "lab", "up"],
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(20)


def is_on(lab: Lab, machine: str) -> bool:
    return lab.rack.pid(machine) is not None


def test_power_loss_of_a_node_is_told_and_leaves_nothing(empty_lab: Lab, tmp_path: Path) -> None:
    with starting(tmp_path / "log") as process:
        until(lambda: is_on(empty_lab, "n2"), within_seconds=60, what="n2 on")
        empty_lab.rack.cut_power("n2")
        code = process.wait(120)

    said = (tmp_path / "log").read_text()
    assert code == 254, said
    assert "n2" in said.splitlines()[-1]
    assert empty_lab.leftovers() == []


def test_killed_start_is_cleaned_by_one_down(empty_lab: Lab, tmp_path: Path) -> None:
    with starting(tmp_path / "log") as process:
        until(lambda: is_on(empty_lab, "cp1"), within_seconds=60, what="cp1 on")
        os.kill(process.pid, signal.SIGKILL)
    assert empty_lab.leftovers() != []

    down = [sys.executable, "-m", "hotfire", "lab", "down"]
    done = subprocess.run(down, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stderr
    assert empty_lab.leftovers() == []


def test_machine_that_was_rebooted_needs_nothing_but_up(empty_lab: Lab, tmp_path: Path) -> None:
    """After a reboot the state lies there and nothing else does."""
    with starting(tmp_path / "log") as process:
        until(lambda: is_on(empty_lab, "cp1"), within_seconds=60, what="cp1 on")
        os.kill(process.pid, signal.SIGKILL)
    remembered = (empty_lab.state.home / "lab.json").read_text()
    subprocess.run([sys.executable, "-m", "hotfire", "lab", "down"], timeout=60, check=True)
    empty_lab.state.home.mkdir(parents=True)
    (empty_lab.state.home / "lab.json").write_text(remembered)

    up = [sys.executable, "-m", "hotfire", "lab", "up"]
    done = subprocess.run(up, capture_output=True, text=True, timeout=150, check=False)

    assert done.returncode == 0, done.stderr
    assert "removing the state of a lab that a reboot or crash has ended" in done.stdout
