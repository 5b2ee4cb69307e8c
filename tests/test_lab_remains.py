"""Nothing of a lab is left behind, and a second Ctrl-C does not stop the cleaning up."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hotfire.lab import remains
from hotfire.lab.machines import Rack


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


def test_machine_is_off_when_its_id_belongs_to_somebody_else(tmp_path: Path) -> None:
    rack = Rack(tmp_path, usr_layer=tmp_path)
    (tmp_path / "n1").mkdir()
    (tmp_path / "n1" / "pid").write_text("1")

    assert rack.pid("n1") is None
    assert rack.pid("n2") is None
    assert rack.names() == ["n1"]
