"""The lab as its user meets it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hotfire.errors import LabError
from hotfire.lab.lab import Lab
from hotfire.lab.topology import DNS_ADDRESS

pytestmark = pytest.mark.lab


def hotfire(*words: str, within_seconds: float = 120) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "hotfire", *words]
    return subprocess.run(argv, capture_output=True, text=True, timeout=within_seconds, check=False)


def test_status_of_a_standing_lab_is_healthy(lab: Lab) -> None:
    done = hotfire("lab", "status")

    assert done.returncode == 0, done.stdout
    assert done.stdout.count("Ready") == 3


def test_second_up_finds_that_the_lab_stands(lab: Lab) -> None:
    done = hotfire("lab", "up")

    assert done.returncode == 0, done.stderr
    assert "the lab is up already; `hotfire lab status` shows it" in done.stdout


def test_second_up_of_another_shape_is_refused_in_one_line(lab: Lab) -> None:
    done = hotfire("lab", "up", "--nodes", "4", "--control-planes", "3")

    assert done.returncode == 254
    said = "the lab is up in another shape (nodes 3, not 4, control_planes 1, not 3)"
    assert done.stderr.strip() == f"hotfire: {said}; `hotfire lab down` comes first"


def test_status_of_a_lab_with_something_broken_is_not_healthy(lab: Lab) -> None:
    broke = hotfire("lab", "break", "store/redis", "--how", "hang", "--for", "60")
    try:
        done = hotfire("lab", "status")
    finally:
        mended = hotfire("lab", "mend")

    assert (broke.returncode, done.returncode, mended.returncode) == (0, 1, 0), done.stdout
    assert "missing:" in done.stdout


def test_a_program_that_takes_too_long_is_an_error_of_the_lab(lab: Lab) -> None:
    with pytest.raises(LabError, match=r"sleep 5 took longer than 0.2 s on n1"):
        lab.rack.run("n1", ["sleep", "5"], within_seconds=0.2)


def test_down_of_another_checkouts_lab_is_refused(lab: Lab, tmp_path: Path) -> None:
    record = lab.state.home / "lab.json"
    mine = record.read_text()
    record.write_text(json.dumps(json.loads(mine) | {"checkout": "/elsewhere"}))
    try:
        done = hotfire("lab", "down")
    finally:
        record.write_text(mine)

    assert done.returncode == 254
    assert "the lab belongs to /elsewhere" in done.stderr


def test_shell_runs_a_program_on_a_machine(lab: Lab) -> None:
    done = hotfire("lab", "shell", "n1", "--", "hostname")

    assert done.stdout.strip() == "n1"


def test_each_node_has_two_bgp_sessions_with_bfd(lab: Lab) -> None:
    for node in ("n1", "n2", "n3"):
        shown = lab.rack.run(node, ["birdc", "show", "bfd", "sessions"])

        assert shown.count(" Up ") == 2, shown


def test_pods_get_only_the_gpus_they_were_given(lab: Lab) -> None:
    seen = lab.rack.run("n1", ["nvidia-smi", "-L"])

    assert seen.count("UUID: GPU-") == 2


def test_killed_service_is_started_again(lab: Lab) -> None:
    former = lab.rack.run("n2", ["pidof", "bird"]).split()
    lab.rack.run("n2", ["kill", "-9", *former])

    started = f"p=$(pidof bird) && [ $p != {former[0]} ]"
    wait = f"for i in $(seq 100); do {started} && break; sleep 0.1; done; pidof bird"
    again = lab.rack.run("n2", ["sh", "-c", wait])

    assert again.split() != former


def test_programs_of_a_node_reach_services(lab: Lab) -> None:
    """Pods on the host's network have no address but the node's."""
    ask = f"exec 3<>/dev/tcp/{DNS_ADDRESS}/53 && echo reached"

    assert lab.rack.run("n1", ["bash", "-c", ask]).strip() == "reached"


def test_address_of_no_service_is_refused_or_silent_and_never_looped(lab: Lab) -> None:
    """A packet that no rule rewrites must not go round on the node."""
    counted = "awk '/^ *lo:/ {print $3}' /proc/net/dev"
    before = int(lab.rack.run("n1", ["sh", "-c", counted]))
    lab.rack.run("n1", ["sh", "-c", "ping -c 1 -W 1 10.96.77.77; true"])

    assert int(lab.rack.run("n1", ["sh", "-c", counted])) - before < 30
