"""The lab as its user meets it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hotfire.errors import LabError
from hotfire.lab.lab import Lab
from hotfire.lab.shape.topology import DNS_ADDRESS
from hotfire.waiting import until

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
    def up() -> list[int]:
        ask = ["birdc", "show", "bfd", "sessions"]
        return [lab.rack.run(node, ask).count(" Up ") for node in ("n1", "n2", "n3")]

    until(lambda: up() == [2, 2, 2], within_seconds=20, what="two sessions of each node")


def test_a_node_itself_has_its_own_gpus_and_no_others(lab: Lab) -> None:
    seen = lab.rack.run("n1", ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"])

    assert tuple(seen.split()) == lab.topology().machine("n1").gpus


def test_killed_service_is_started_again(lab: Lab) -> None:
    former = lab.rack.service_pid("n2", "bird")
    assert former is not None

    os.kill(former, signal.SIGKILL)

    until(
        lambda: lab.rack.service_pid("n2", "bird") not in {None, former},
        within_seconds=30,
        what="another BIRD on n2",
    )


def test_programs_of_a_node_reach_services(lab: Lab) -> None:
    """Pods on the host's network have no address but the node's."""
    ask = f"exec 3<>/dev/tcp/{DNS_ADDRESS}/53 && echo reached"

    assert lab.rack.run("n1", ["bash", "-c", ask]).strip() == "reached"


# Counts each pass of what is sent to an address that no service has.
LAPS = """
table inet laps {
  chain passing {
    type filter hook prerouting priority -400; ip daddr 10.96.77.77 counter
  }
}
"""


@pytest.mark.parametrize("sender", ["client", "n1"])
def test_address_of_no_service_is_silent_and_no_packet_to_it_goes_round(
    lab: Lab, sender: str
) -> None:
    nodes = ("n1", "n2", "n3")
    for node in nodes:
        lab.rack.run(node, ["nft", "-f", "-"], stdin=LAPS)
    try:
        said = lab.rack.run(sender, ["sh", "-c", "busybox ping -c 1 -W 1 10.96.77.77 || true"])
        laps = sum(_packets(lab, node) for node in nodes)
    finally:
        for node in nodes:
            lab.rack.run(node, ["nft", "delete", "table", "inet", "laps"])

    assert "1 packets transmitted, 0 packets received" in said
    # It comes in by an uplink or by the loopback device, or by both; one that goes round does so
    # until its 64 hops are used up.
    assert 1 <= laps <= 2


def _packets(lab: Lab, node: str) -> int:
    counted = lab.rack.run(node, ["nft", "list", "table", "inet", "laps"])
    return int(counted.split("packets")[1].split()[0])
