"""Every kind of handle breaks what it says, proves it, and leaves everything as it was."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hotfire.lab.handles import breaking
from hotfire.lab.lab import Lab
from hotfire.lab.machine import cgroups
from hotfire.waiting import until
from tests.breaking import asked, await_mended, broken, events, hotfire

pytestmark = pytest.mark.lab

STORE_HEALTH = "timeout 5 busybox wget -q -O - http://10.0.0.110:8080/health || echo no answer"

# handle, way, machine to ask, what to ask it, what it says only while the handle is broken
CASES = [
    ("n1/up1", "silent", "r1", "birdc show bfd sessions | grep -w n1", "Down"),
    ("n1/up2", "carrier", "n1", "ip link show up2", "NO-CARRIER"),
    ("n2/up1", "one-way-in", "n2", "birdc show bfd sessions | grep -w up1", "Down"),
    ("n2/up2", "one-way-out", "r2", "birdc show bfd sessions | grep -w n2", "Down"),
    ("client/up1", "loss", "client", "nft list ruleset netdev", "numgen random"),
    ("cp1/up2", "delay", "cp1", "ip link show", "hfd-up2"),
    ("n3/up1", "rate", "r1", "tc qdisc show dev n3", "tbf"),
    ("r2", "silent", "n3", "birdc show bfd sessions | grep -w up2", "Down"),
    ("n1/kubelet", "stop", "n1", "pidof kubelet || echo none", "none"),
    ("n2/containerd", "stop", "n2", "pidof containerd || echo none", "none"),
    ("n3/bird", "stop", "r1", "birdc show protocols to_n3 | grep -c Established", "0"),
    ("n1/bird", "hang", "r2", "birdc show protocols to_n1 | grep -c Established", "0"),
    ("r1/bird", "stop", "n2", "birdc show protocols to_r1 | grep -c Established", "0"),
    ("cp1/kube-scheduler", "hang", "cp1", "cat /proc/$(pidof kube-scheduler)/stat", ") T "),
    ("cp1/kube-apiserver", "stop", "cp1", "pidof kube-apiserver || echo none", "none"),
    ("cp1/etcd", "stop", "cp1", "pidof etcd || echo none", "none"),
    (
        "cp1/kube-controller-manager",
        "stop",
        "cp1",
        "pidof kube-controller-manager || echo none",
        "none",
    ),
    ("n1/gpu0", "unhealthy", "n1", "ls /var/lib/hotfire/gpu-health", "GPU-"),
    ("store/model-store", "corrupt", "store", "ls /var/lib/hotfire/model-store", "mode"),
    ("store/model-store", "slow", "store", "ls /var/lib/hotfire/model-store", "mode"),
    ("store/model-store", "down", "client", STORE_HEALTH, "no answer"),
    ("store/model-store", "hang", "client", STORE_HEALTH, "no answer"),
    ("store/power", "off", "client", STORE_HEALTH, "no answer"),
    ("store/redis", "hang", "store", "cat /proc/$(pidof redis-server)/stat", ") T "),
    ("dns", "drop", "n2", "nft list tables inet", "hotfire_dns"),
]


# Two uplinks and one for each pod.
# The uplinks are cables too.
PODS_CABLES = "ip -o link show type veth | grep -vc ': up'"
FINISHED = {"Succeeded", "Failed"}
WARDEN_LOCK = "warden.lock"
# Some thousand datagrams a second to n3, as many flows, which both its uplinks share.
FLOOD = """
import itertools, socket, time
wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for number in itertools.count():
    wire.sendto(b"x", ("10.0.0.3", 20000 + number % 500))
    if number % 20 == 0:
        time.sleep(0.002)
"""


@pytest.mark.parametrize(("handle", "how", "machine", "command", "word"), CASES)
def test_handle_breaks_and_mends(
    lab: Lab, handle: str, how: str, machine: str, command: str, word: str
) -> None:
    assert word not in asked(lab, machine, command)

    with broken(lab, handle, "--how", how):
        assert word in asked(lab, machine, command)

    assert word not in asked(lab, machine, command)


@pytest.mark.parametrize("handle", ["n2/kube-proxy", "n3/bird", "store/model-store"])
def test_killed_service_is_proven_by_its_process(lab: Lab, handle: str) -> None:
    machine, _, service = handle.partition("/")
    former = lab.rack.service_pid(machine, service)

    with broken(lab, handle, "--how", "kill") as proof:
        assert "was killed" in proof

    assert former is not None
    assert lab.rack.service_pid(machine, service) not in {None, former}


def test_what_is_broken_mends_itself_in_time(lab: Lab) -> None:
    former = len(events(lab, "n1/up1"))
    done = hotfire("break", "n1/up1", "--for", "20")
    assert done.returncode == 0, done.stderr
    assert "n1/up1 is broken (silent)" in hotfire("status").stdout

    mended = await_mended(lab, "n1/up1", after=former, within_seconds=120)

    assert (mended["event"], mended["because"]) == ("mended", "its time is over")
    assert mended["facts_as_before"] > 100


def test_a_command_killed_while_it_breaks_leaves_nothing_broken(lab: Lab) -> None:
    former = len(events(lab, "n3/up2"))
    # Its proof sends frames for two seconds: time enough to be killed in the middle.
    words = ["break", "n3/up2", "--how", "loss", "--for", "20"]
    command = subprocess.Popen([sys.executable, "-m", "hotfire", "lab", *words])
    until(
        lambda: "hotfire" in asked(lab, "n3", "nft list tables netdev"),
        within_seconds=60,
        what="n3/up2 losing frames",
        poll_seconds=0.01,
    )

    command.send_signal(signal.SIGKILL)

    assert command.wait(10) == -signal.SIGKILL
    mended = await_mended(lab, "n3/up2", after=former, within_seconds=120)
    assert (mended["event"], mended["because"]) == ("mended", "its time is over")
    assert "hotfire" not in asked(lab, "n3", "nft list tables netdev")


def warden(lab: Lab) -> int | None:
    """Return the warden at work: who holds its lock, as the kernel lists them."""
    inode = (lab.state.handles / WARDEN_LOCK).stat().st_ino
    # One that waits has an arrow before its words.
    rows = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    held = [row for row in rows if row[1] == "FLOCK" and row[5].endswith(f":{inode}")]
    return int(held[0][4]) if held else None


def test_a_killed_warden_has_a_successor(lab: Lab) -> None:
    former = len(events(lab, "n2/kubelet"))
    done = hotfire("break", "n2/kubelet", "--for", "25")
    assert done.returncode == 0, done.stderr
    until(
        lambda: len(cgroups.processes("warden")) == 2,
        within_seconds=20,
        what="a warden and one that waits behind it",
    )
    first = warden(lab)
    assert first is not None

    os.kill(first, signal.SIGKILL)

    until(lambda: warden(lab) not in {None, first}, within_seconds=20, what="another warden")
    mended = await_mended(lab, "n2/kubelet", after=former, within_seconds=120)
    assert (mended["event"], mended["because"]) == ("mended", "its time is over")
    until(lambda: not cgroups.processes("warden"), within_seconds=20, what="no warden left")


def test_a_killed_agent_mends_when_it_is_started_again(lab: Lab) -> None:
    look = "ip link show; nft list ruleset netdev"
    done = hotfire("break", "n1/up2", "--how", "delay", "--for", "600")
    assert done.returncode == 0, done.stderr
    assert "hfd-up2" in asked(lab, "n1", look)

    lab.rack.run("n1", ["sh", "-c", "kill -9 $(cat /run/hotfire/agent.pid)"])

    until(lambda: "hfd-up2" not in asked(lab, "n1", look), within_seconds=40, what="no delay line")
    mended = hotfire("mend")
    assert mended.returncode == 0, mended.stderr


def pods_with_a_network(lab: Lab, node: str) -> list[str]:
    """Return the pods of a node that have a network of their own."""
    pods = lab.kubectl().items("pods", "--all-namespaces", f"--field-selector=spec.nodeName={node}")
    return [
        pod["metadata"]["name"]
        for pod in pods
        if not pod["spec"].get("hostNetwork") and pod["status"]["phase"] not in FINISHED
    ]


def test_power_of_a_node_comes_back_as_after_a_boot(lab: Lab) -> None:
    former = len(events(lab, "n3/power"))
    before = lab.rack.pid("n3")

    done = hotfire("break", "n3/power", "--for", "20")
    assert lab.rack.pid("n3") is None
    mended = await_mended(lab, "n3/power", after=former, within_seconds=240)

    assert "no process on n3" in done.stdout, done.stderr
    assert mended["event"] == "mended"
    assert lab.rack.pid("n3") not in {None, before}
    until(
        lambda: int(asked(lab, "n3", PODS_CABLES)) == len(pods_with_a_network(lab, "n3")),
        within_seconds=60,
        what="one cable for each pod of n3, and none of those from before",
    )
    until(
        lambda: hotfire("status").returncode == 0,
        within_seconds=60,
        what="a healthy lab: what runs on every node got ready there again",
    )


def test_two_at_once_are_proven_by_whoever_is_mended_last(lab: Lab) -> None:
    for handle in ("n1/up1", "n2/up2"):
        done = hotfire("break", handle, "--for", "600")
        assert done.returncode == 0, done.stderr

    mended = hotfire("mend")

    first, last = mended.stdout.splitlines()
    assert "n2/up2 is mended" in first
    assert "n1/up1 is mended" in last
    assert events(lab, "n1/up1")[-1]["facts_as_before"] > 100


def test_two_broken_at_the_same_time_are_compared_with_a_sound_lab(lab: Lab) -> None:
    argv = [sys.executable, "-m", "hotfire", "lab", "break"]
    both = [subprocess.Popen([*argv, handle]) for handle in ("n1/up1", "n1/up2")]

    codes = [each.wait(120) for each in both]
    mended = hotfire("mend")

    assert codes == [0, 0]
    assert mended.returncode == 0, mended.stderr
    assert asked(lab, "n1", "birdc show bfd sessions").count(" Up ") == 2


def test_boot_of_a_node_ends_what_else_was_broken_on_it(lab: Lab) -> None:
    for words in (("n2/up1", "--how", "delay"), ("n2/power",)):
        done = hotfire("break", *words, "--for", "600")
        assert done.returncode == 0, done.stderr

    mended = hotfire("mend", "n2/power")

    assert mended.returncode == 0, mended.stderr
    assert breaking.of_lab(lab).all() == []
    assert events(lab, "n2/up1")[-1]["because"] == "n2 was booted"
    assert events(lab, "n2/power")[-1]["facts_as_before"] > 100


def test_loss_is_proven_beside_other_traffic(lab: Lab) -> None:
    flood = subprocess.Popen([*lab.rack.enter("client"), "python3", "-c", FLOOD])
    try:
        with broken(lab, "n3/up1", "--how", "loss"):
            flooding = flood.poll() is None
    finally:
        flood.kill()
        flood.wait()

    assert flooding


def test_what_is_broken_already_is_refused(lab: Lab) -> None:
    with broken(lab, "n1/up1"):
        again = hotfire("break", "n1/up1", "--how", "carrier")

    assert again.returncode == 254
    assert "is broken already" in again.stderr


def test_logs_of_a_pod_are_found_by_its_name(lab: Lab) -> None:
    shown = hotfire("logs", "coredns", "--lines", "3")

    assert shown.stdout.count("/coredns\n") == 2
    assert "CoreDNS" in hotfire("logs", "coredns").stdout


@pytest.mark.parametrize(("shift", "accepted"), [("0", True), ("-3600", False), ("3600", False)])
def test_tokens_of_a_wrong_clock_are_refused(lab: Lab, shift: str, accepted: bool) -> None:
    token = hotfire("token", "kube-system/default", f"--shift={shift}").stdout.strip()

    # Without the kubeconfig, whose certificate would speak instead of the token.
    server = [f"--server=https://127.0.0.1:{lab.ports.api}", "--kubeconfig=/dev/null"]
    trust = f"--certificate-authority={lab.state.pki / 'cp1' / 'ca.crt'}"
    argv = [str(lab.kubectl().binary), *server, trust, f"--token={token}", "auth", "whoami"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)

    assert ("system:serviceaccount:kube-system:default" in done.stdout) is accepted, done.stderr
