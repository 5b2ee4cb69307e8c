"""Whatever happens in the middle of `lab up`, one command brings the machine back to clean."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hotfire.lab.handles import breaking
from hotfire.lab.lab import Lab
from hotfire.lab.machine import remains
from hotfire.waiting import until
from tests.breaking import hotfire

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


def await_on(lab: Lab, machine: str) -> None:
    """Return as soon as a machine is on: its programs have yet to start."""
    until(
        lambda: lab.rack.pid(machine) is not None,
        within_seconds=120,
        what=f"{machine} on",
        poll_seconds=0.005,
    )


def test_power_loss_of_a_node_is_told_and_leaves_nothing(empty_lab: Lab, tmp_path: Path) -> None:
    with starting(tmp_path / "log") as process:
        await_on(empty_lab, "n2")
        empty_lab.rack.cut_power("n2")
        code = process.wait(240)

    said = (tmp_path / "log").read_text()
    assert code == 254, said
    assert "n2" in said.splitlines()[-1]
    assert empty_lab.leftovers() == []


def test_killed_start_is_cleaned_by_one_down(empty_lab: Lab, tmp_path: Path) -> None:
    with starting(tmp_path / "log") as process:
        await_on(empty_lab, "cp1")
        os.kill(process.pid, signal.SIGKILL)
    assert empty_lab.leftovers() != []

    done = hotfire("down")

    assert done.returncode == 0, done.stderr
    assert empty_lab.leftovers() == []


def test_machine_rebooted_during_a_start_needs_nothing_but_up(
    empty_lab: Lab, tmp_path: Path
) -> None:
    with starting(tmp_path / "log") as process:
        await_on(empty_lab, "cp1")
        os.kill(process.pid, signal.SIGKILL)

    reboot()

    assert_up_needs_nothing_else(empty_lab)


def test_machine_rebooted_while_a_lab_stands_broken_needs_nothing_but_up(empty_lab: Lab) -> None:
    assert empty_lab.stands()
    for words in (("n1/up1",), ("n2/kubelet",)):
        assert hotfire("break", *words, "--for", "600").returncode == 0

    reboot()

    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as stranger:
        # After a boot the ids that are written down belong to others.
        for name in empty_lab.rack.names():
            (empty_lab.rack.home(name) / "pid").write_text(str(stranger.pid))
        assert_up_needs_nothing_else(empty_lab)
        assert stranger.poll() is None
        stranger.communicate()
    assert breaking.of_lab(empty_lab).all() == []
    assert hotfire("status").returncode == 0


def reboot() -> None:
    """End everything of a lab but what lies on the disk."""
    remains.clear()


def assert_up_needs_nothing_else(lab: Lab) -> None:
    assert lab.state.read() is not None

    done = hotfire("up")

    assert done.returncode == 0, done.stderr
    assert "removing the state of a lab that a reboot or crash has ended" in done.stdout
