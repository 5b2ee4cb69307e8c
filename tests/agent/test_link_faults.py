"""Faults of a link: each is seen by the kernel and by the other end, and goes without a trace."""

import json
import signal
import subprocess
from time import monotonic
from typing import Any

import pytest

from hotfire.agent import delay_line, processes
from hotfire.waiting import until
from tests.agent.world import ENTRY, LINK, Agent, Node

FRAMES = 2000


def shown(space: str, *argv: str) -> Any:  # noqa: ANN401 - JSON
    done = subprocess.run(
        ["nsenter", f"--net=/run/netns/{space}", "--", *argv],
        capture_output=True,
        text=True,
        check=True,
        timeout=10,
    )
    return json.loads(done.stdout)


def link(space: str) -> Any:  # noqa: ANN401 - JSON
    return shown(space, "ip", "-j", "-s", "link", "show", LINK)[0]


def received(node: Node) -> int:
    return int(link(node.router)["stats64"]["rx"]["packets"])


def test_carrier_down_is_seen_at_both_ends(agent: Agent, node: Node) -> None:
    agent.call("link.carrier_down", id="u-1", link=LINK, ttl_seconds=30)
    own = link(node.name)["flags"]
    await_flag(node.router, "NO-CARRIER")

    agent.call("heal", id="u-1")

    assert "UP" not in own
    await_flag(node.router, "LOWER_UP")


def await_flag(space: str, flag: str) -> None:
    """Wait for the kernel to tell of a carrier, which it does behind the change of the link."""
    until(lambda: flag in link(space)["flags"], within_seconds=10, what=f"{flag} in {space}")


def test_a_link_that_is_down_already_is_refused(agent: Agent, node: Node) -> None:
    subprocess.run(["ip", "-n", node.name, "link", "set", LINK, "down"], check=True, timeout=10)

    reply = agent.reply("link.carrier_down", id="u-1", link=LINK, ttl_seconds=30)

    assert "down already" in reply["error"]


@pytest.mark.parametrize(
    ("direction", "hook", "other"), [("in", "ingress", "egress"), ("out", "egress", "ingress")]
)
def test_one_way_loss_drops_that_way_only_and_ends_bfd(
    agent: Agent, direction: str, hook: str, other: str
) -> None:
    agent.await_bfd("Up")

    agent.call("link.one_way_loss", id="u-1", link=LINK, direction=direction, ttl_seconds=60)

    state = until(
        lambda: counted(agent.call("link.state", link=LINK), hook),
        within_seconds=90,
        what="BFD down and drops",
    )
    assert other not in state["drops"]


def counted(state: dict[str, Any], hook: str) -> dict[str, Any]:
    down = [one["state"] for one in state["bfd"]] != ["Up"]
    return state if down and state["drops"].get(hook) else {}


def test_a_fifth_of_the_frames_is_lost(inner: Agent, node: Node) -> None:
    inner.call("link.packet_loss", id="u-1", link=LINK, ratio=0.2, ttl_seconds=30)
    before = received(node)

    inner.call("link.probe", link=LINK, frames=FRAMES, frame_bytes=100, seconds=0.5)

    lost = 1 - (received(node) - before) / FRAMES
    # Five standard deviations are 4.5 points; BFD adds at most a dozen frames.
    assert 0.15 < lost < 0.25


def test_without_a_fault_no_frame_is_lost(inner: Agent, node: Node) -> None:
    before = received(node)

    sent = inner.call("link.probe", link=LINK, frames=FRAMES, frame_bytes=100, seconds=0.5)

    assert sent["sent"] == FRAMES
    until(lambda: received(node) - before >= FRAMES, within_seconds=5, what="every frame")


def test_rate_limits_what_leaves_and_gives_the_queue_back(inner: Agent, node: Node) -> None:
    queue = link(node.name)["qdisc"]
    inner.call("link.rate", id="u-1", link=LINK, bits_per_second=4e6, ttl_seconds=30)
    before, began = link(node.router)["stats64"]["rx"]["bytes"], monotonic()

    inner.call("link.probe", link=LINK, frames=1000, frame_bytes=1400, seconds=1.0)
    bits = (link(node.router)["stats64"]["rx"]["bytes"] - before) * 8
    seconds = monotonic() - began
    inner.call("heal", id="u-1")

    # A busy machine stretches the second in which 11 Mbit are offered: more of them pass then, and
    # no faster.
    assert bits > 2e6
    assert bits / seconds < 5e6
    assert link(node.name)["qdisc"] == queue


def test_a_configured_queue_is_left_alone(agent: Agent, node: Node) -> None:
    words = ["tc", "qdisc", "add", "dev", LINK, "root", "pfifo", "limit", "99"]
    subprocess.run([*node.prefix.split(), *words], check=True, timeout=10)

    reply = agent.reply("link.rate", id="u-1", link=LINK, bits_per_second=1e6, ttl_seconds=30)

    assert "of its own" in reply["error"]
    assert link(node.name)["qdisc"] == "pfifo"


def test_delay_adds_to_the_round_trip_and_leaves_nothing(inner: Agent, node: Node) -> None:
    plain = shortest_trip(inner)
    inner.call("link.delay", id=ENTRY, link=LINK, seconds=0.05, ttl_seconds=30)
    late = shortest_trip(inner)

    inner.call("heal", id=ENTRY)

    assert plain < 0.05 <= late < 0.2
    assert shortest_trip(inner) < 0.05
    names = [row["ifname"] for row in shown(node.name, "ip", "-j", "link", "show")]
    assert (names, node.tables()) == (["lo", LINK], "")


def shortest_trip(agent: Agent) -> float:
    """Return the shortest round trip of several: a busy machine adds to each as it likes."""
    return float(agent.call("link.echoes", link=LINK, times=8, seconds=0.2)["shortest_seconds"])


@pytest.mark.parametrize(
    ("op", "args"),
    [("link.delay", {"seconds": 0.05}), ("link.mangle", {"how": "corrupt", "ratio": 0.5})],
)
def test_what_a_killed_agent_did_to_frames_ends_at_its_next_start(
    inner: Agent, node: Node, op: str, args: dict[str, object]
) -> None:
    inner.call(op, id=ENTRY, link=LINK, ttl_seconds=30, **args)
    inner.end(signal.SIGKILL)

    inner.start()

    assert "hotfire" not in node.tables()
    assert processes.of_entry(delay_line.MODULE, "u-1") == []
    assert shortest_trip(inner) < 0.05


def test_a_second_cut_is_possible_for_who_means_it(agent: Agent, node: Node) -> None:
    agent.call("link.silent_loss", id="u-1", link=LINK, ttl_seconds=30)
    args = {"link": LINK, "direction": "in", "ttl_seconds": 30}

    refused = agent.reply("link.one_way_loss", id="u-2", **args)
    agent.call("link.one_way_loss", id="u-2", may_isolate=True, **args)

    assert "isolates a node" in refused["error"]
    assert node.tables().count("hotfire") == 2


def test_block_drops_open_flows_and_counts_them(inner: Agent, node: Node) -> None:
    inner.call("net.block", id="u-1", ttl_seconds=30, port=53, **{"and": ["10.99.0.2"]})

    answer = inner.call("net.lookup", server="10.99.0.2", name="a.example", within_seconds=0.5)
    drops = inner.call("net.drops", id="u-1")["drops"]
    inner.call("heal", id="u-1")

    assert answer == {"outcome": "no answer"}
    assert drops >= 1
    assert "hotfire" not in node.tables()


@pytest.mark.parametrize(
    ("op", "args", "reason"),
    [
        ("link.packet_loss", {"link": LINK, "ratio": 1.5}, "at most 1"),
        ("link.packet_loss", {"link": LINK, "ratio": 0.1, "directions": "in"}, "unknown"),
        ("link.one_way_loss", {"link": LINK}, "direction is one of in, out"),
        ("link.delay", {"link": LINK, "seconds": "soon"}, "takes a number"),
        ("link.mangle", {"link": LINK, "how": "fold", "ratio": 0.1}, "how is one of"),
        ("link.mangle", {"link": LINK, "how": "corrupt"}, "ratio takes a number"),
        ("link.rate", {"link": "no link", "bits_per_second": 1e6}, "no name of a link"),
        ("link.rate", {"link": LINK, "bits_per_second": 1}, "not above"),
        ("link.silent_loss", {"links": []}, "list of names"),
        ("net.block", {"between": ["10.0.0.1"]}, "at least one address"),
        ("net.block", {"and": ["10.0.0.1/8"]}, "has host bits set"),
    ],
)
def test_what_makes_no_sense_is_refused_and_not_armed(
    unharmed: Agent, op: str, args: dict[str, object], reason: str
) -> None:
    reply = unharmed.reply(op, id="u-1", ttl_seconds=5, **args)

    assert reason in reply["error"]
    assert unharmed.call("list") == []
