"""`lab down` takes down what is broken as well; nothing mends afterwards what is gone."""

import subprocess

import pytest

from hotfire.lab.handles import breaking, warden
from hotfire.lab.lab import Lab
from hotfire.lab.shape.blueprint import AGENT_SOCKET
from tests.breaking import hotfire

pytestmark = pytest.mark.lab


def test_down_leaves_no_warden_no_agent_and_no_trace(empty_lab: Lab) -> None:
    assert hotfire("up").returncode == 0
    lasting = [("n1/up1",), ("n2/up2", "--how", "delay"), ("n3/power",)]
    for words in lasting:
        done = hotfire("break", *words, "--for", "600")
        assert done.returncode == 0, done.stderr
    # One whose time is over soon: its mending may be under way.
    assert hotfire("break", "r1", "--for", "1").returncode == 0
    assert {words[0] for words in lasting} <= {one.name for one in breaking.of_lab(empty_lab).all()}

    down = hotfire("down")

    assert down.returncode == 0, down.stderr
    assert empty_lab.leftovers() == []
    found = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert f"{warden.MODULE} {empty_lab.state.home}" not in found
    # The agents of the lab; those that other tests start have another socket.
    assert AGENT_SOCKET not in found
