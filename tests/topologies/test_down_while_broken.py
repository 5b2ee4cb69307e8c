"""`lab down` takes down what is broken as well; nothing mends afterwards what is gone."""

import subprocess
import sys

import pytest

from hotfire.lab.lab import Lab

pytestmark = pytest.mark.lab


def hotfire(*words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "hotfire", "lab", *words]
    return subprocess.run(argv, capture_output=True, text=True, timeout=200, check=False)


def test_down_leaves_no_warden_no_agent_and_no_trace(empty_lab: Lab) -> None:
    assert hotfire("up").returncode == 0
    for words in (("n1/up1",), ("n2/up2", "--how", "delay"), ("n3/power",), ("r1",)):
        done = hotfire("break", *words, "--for", "5")
        assert done.returncode == 0, done.stderr

    down = hotfire("down")

    assert down.returncode == 0, down.stderr
    assert empty_lab.leftovers() == []
    found = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    assert "hotfire.lab.handles.warden" not in found.stdout
    assert "hotfire.agent.program" not in found.stdout
