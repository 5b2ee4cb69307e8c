"""Echoes over a link tell what became of it: what was lost, doubled, overtaken or late."""

import subprocess
from typing import Any

import pytest

from hotfire.agent import delay_line
from hotfire.waiting import until
from tests.agent.world import LINK, Agent, Node

TIMES = 1000


def echoes(agent: Agent) -> Any:  # noqa: ANN401 - JSON
    return agent.call("link.echoes", link=LINK, times=TIMES, seconds=1.0)


def test_a_sound_link_brings_every_echo_back_once_and_in_order(inner: Agent) -> None:
    found = echoes(inner)

    assert found["sent"] == TIMES
    assert [found[of] for of in ("lost", "doubled", "overtaken", "damaged")] == [0, 0, 0, 0]
    assert 0 < found["round_trip_seconds"] < 0.05


def test_what_is_lost_on_both_ways_is_lost_of_the_round_trips(inner: Agent) -> None:
    inner.call("link.packet_loss", id="u-1", link=LINK, ratio=0.2, ttl_seconds=60)

    # 1 - 0.8 x 0.8; five standard deviations are 7.6 points.
    assert 0.28 < echoes(inner)["lost"] / TIMES < 0.44


@pytest.mark.parametrize(
    ("how", "of"), [("corrupt", "lost"), ("duplicate", "doubled"), ("reorder", "overtaken")]
)
def test_a_share_of_what_is_sent_is_spoilt_and_nothing_else(
    inner: Agent, node: Node, how: str, of: str
) -> None:
    inner.call("link.mangle", id="u-1", link=LINK, how=how, ratio=0.1, ttl_seconds=60)
    during = echoes(inner)

    inner.call("heal", id="u-1")

    # Five standard deviations are 4.7 points. What is turned may be a bit that nobody reads.
    assert 50 < during[of] < 160
    # The way through a process takes its time, so that what is taken may be overtaken as well.
    others = {"lost", "doubled", "damaged"} - {of}
    assert {during[other] for other in others} == {0}
    assert echoes(inner)[of] == 0
    assert "hotfire" not in node.tables()


def test_a_corrupt_frame_differs_in_one_bit_behind_its_ethernet_header() -> None:
    frame = bytes(range(100))

    [spoilt] = delay_line.corrupt(frame)

    turned = [(one ^ other).bit_count() for one, other in zip(frame, spoilt, strict=True)]
    assert sum(turned) == 1
    assert turned[:14] == [0] * 14


def test_the_other_end_gets_the_frame_that_was_spoilt(inner: Agent, node: Node) -> None:
    """It arrives: what echoes show as lost is damaged, not dropped."""
    inner.call("link.mangle", id="u-1", link=LINK, how="corrupt", ratio=1.0, ttl_seconds=60)
    before = received(node)

    inner.call("link.probe", link=LINK, frames=200, frame_bytes=100, seconds=0.5)

    until(lambda: received(node) - before >= 200, within_seconds=5, what="every frame")


def received(node: Node) -> int:
    argv = ["nsenter", f"--net=/run/netns/{node.router}", "--", "cat", "/proc/net/dev"]
    shown = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=10).stdout
    [row] = [line for line in shown.splitlines() if line.strip().startswith(f"{LINK}:")]
    return int(row.split()[2])


def test_echoes_of_a_link_without_an_address_are_refused(inner: Agent) -> None:
    assert "no /30 or /31" in inner.reply("link.echoes", link="lo", times=1, seconds=1)["error"]


def test_a_second_process_on_one_link_is_refused(inner: Agent) -> None:
    inner.call("link.delay", id="u-1", link=LINK, seconds=0.01, ttl_seconds=60)

    args = {"link": LINK, "how": "corrupt", "ratio": 0.1, "ttl_seconds": 60}
    reply = inner.reply("link.mangle", id="u-2", **args)

    assert "late or spoilt already" in reply["error"]


def test_connecting_tells_why_it_does_not_work(inner: Agent) -> None:
    def asked(port: int) -> str:
        args = {"address": "10.99.0.2", "port": port, "within_seconds": 0.5}
        return str(inner.call("net.connect", **args)["reason"])

    assert "refused" in asked(9)
