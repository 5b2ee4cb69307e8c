"""Nothing of a lab is left behind, and a second Ctrl-C does not stop the cleaning up."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hotfire.lab.machine import remains
from hotfire.lab.machine.machines import Rack
from hotfire.lab.shape.topology import NAMESPACE_PATTERN, Machine, Topology


def test_processes_are_killed_until_none_is_left() -> None:
    stubborn = "import signal, time; signal.signal(15, signal.SIG_IGN); signal.pause()"
    process = subprocess.Popen([sys.executable, "-c", stubborn])

    remains.end(lambda: {process.pid} if process.poll() is None else set())

    assert process.poll() == -signal.SIGKILL


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupts_wait_while_the_lab_is_cleaned_up(number: int) -> None:
    before = signal.getsignal(number)

    with remains.no_interrupts():
        signal.raise_signal(number)

    assert signal.getsignal(number) is before


def test_loop_devices_of_the_lab_are_told_and_no_others(tmp_path: Path) -> None:
    for name, file in (("loop0", "/lab/n1/gpu0.img (deleted)"), ("loop1", "/labour/disk.img")):
        (tmp_path / name / "loop").mkdir(parents=True)
        (tmp_path / name / "loop" / "backing_file").write_text(file + "\n")

    assert remains.loop_devices(Path("/lab"), system=tmp_path) == ["loop0"]


@pytest.mark.parametrize("name", ["hotfire-bench", "hotfire-n1-copy", "hotfire-next"])
def test_a_namespace_that_only_has_the_prefix_is_not_the_labs(name: str) -> None:
    assert NAMESPACE_PATTERN.fullmatch(name) is None


@pytest.mark.parametrize("machine", Topology(nodes=8, control_planes=3, uplinks=4).machines)
def test_every_machine_has_a_namespace_that_is_taken_away(machine: Machine) -> None:
    assert NAMESPACE_PATTERN.fullmatch(machine.network_namespace)


def test_machine_is_off_when_its_id_belongs_to_somebody_else(tmp_path: Path) -> None:
    rack = Rack(tmp_path, usr_layer=tmp_path)
    (tmp_path / "n1").mkdir()
    (tmp_path / "n1" / "pid").write_text("1")

    assert rack.pid("n1") is None
    assert rack.pid("n2") is None
    assert rack.names() == ["n1"]
