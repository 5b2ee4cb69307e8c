"""What the agent reads of a node's network is what the kernel and BIRD do there."""

import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest

from hotfire.agent.bgp import prefixes
from hotfire.lab.network import netns
from hotfire.waiting import pause, until
from tests.agent.world import LINK, Agent, Node

PORT = 9009
SPEAKS = """
protocol static mine {{ ipv4; route 10.77.{number}.0/24 blackhole; route 10.78.0.0/16 blackhole; }}
protocol bgp to_far {{
  local {own} as 6500{number}; neighbor {other} as 6500{far};
  direct; connect delay time 1;
  ipv4 {{ import all; export where proto = "mine"; next hop self; }};
}}
"""


@pytest.fixture
def speakers(node: Node) -> Node:
    """Both ends of the link speak BGP, too."""
    for number, name in enumerate((node.name, node.router), start=1):
        own, other = f"10.99.0.{number}", f"10.99.0.{3 - number}"
        config = node.folder / f"{name}.conf"
        more = SPEAKS.format(number=number, far=3 - number, own=own, other=other)
        config.write_text(config.read_text() + more)
        control = node.folder / f"{name}.ctl"
        until(control.exists, within_seconds=30, what="BIRD's socket", poll_seconds=0.02)
        netns.run(name, ["birdc", "-s", str(control), "configure"])
    return node


def established(agent: Agent) -> Any:  # noqa: ANN401 - JSON
    [session] = until(
        lambda: [one for one in agent.call("bgp.sessions") if one["state"] == "Established"],
        within_seconds=30,
        what="a session",
    )
    return session


def test_a_session_tells_its_link_and_who_is_at_the_other_end(agent: Agent, speakers: Node) -> None:
    session = established(agent)

    assert session["link"] == LINK
    assert session["router_id"] == session["neighbour"] == "10.99.0.2"
    assert (session["own_as"], session["neighbour_as"]) == (65001, 65002)


def test_routes_of_a_session_are_those_announced_and_those_heard(
    agent: Agent, speakers: Node
) -> None:
    established(agent)

    def routes() -> Any:  # noqa: ANN401 - JSON
        found = agent.call("bgp.routes", session="to_far")
        return found if found["heard"] else None

    found = until(routes, within_seconds=30, what="routes of the other end")

    assert sorted(found["announced"]) == ["10.77.1.0/24", "10.78.0.0/16"]
    heard = {one["prefix"]: one["origin_as"] for one in found["heard"]}
    assert heard == {"10.77.2.0/24": 65002, "10.78.0.0/16": 65002}


def test_a_second_way_to_a_prefix_is_told_with_that_prefix() -> None:
    shown = (
        "BIRD 2.0.12 ready.\nTable master4:\n"
        "10.1.0.0/24          unicast [to_r1 12:00:00.000] * (100) [AS65201i]\n"
        "\tvia 172.16.1.2 on up1\n"
        "                     unicast [to_r1 12:00:00.000] (100/20) [i]\n"
        "\tvia 172.16.1.4 on up1\n"
        "Table master6:\n"
        "fd00::/64            blackhole [mine 12:00:00.000] * (200)\n"
    )

    assert prefixes(shown) == [("10.1.0.0/24", 65201), ("10.1.0.0/24", None), ("fd00::/64", None)]


def test_bfd_tells_the_time_in_which_a_dead_path_is_found(agent: Agent) -> None:
    agent.await_bfd("Up")

    [session] = agent.call("link.state", link=LINK)["bfd"]

    assert float(session["timeout_seconds"]) == pytest.approx(0.3)
    assert session["since"]


def test_flows_to_one_port_are_told_by_link_and_direction(inner: Agent, node: Node) -> None:
    with ExitStack() as closing, ThreadPoolExecutor(1) as pool:
        theirs = [closing.enter_context(wire_in(node.router)) for _ in range(2)]
        ours = [closing.enter_context(wire_in(node.name)) for _ in range(2)]
        heard = pool.submit(inner.call, "link.flows", links=[LINK, "lo"], port=PORT, seconds=1)
        while not heard.done():
            speak(theirs, to="10.99.0.1")
            speak(ours, to="10.99.0.2")
            pause(0.05, why="flows that send now and then")
        came, went = ports(theirs), ports(ours)
        rows = {(row["direction"], row["source"]): row for row in heard.result(30)}

    assert {row["link"] for row in rows.values()} == {LINK}
    assert rows["in", "10.99.0.2"]["source_ports"] == came
    assert rows["out", "10.99.0.1"]["source_ports"] == went
    assert rows["out", "10.99.0.1"]["destination"] == "10.99.0.2"


def wire_in(space: str) -> socket.socket:
    with netns.inside(space):
        wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        wire.bind(("", 0))
    return wire


def ports(wires: list[socket.socket]) -> list[int]:
    return sorted(wire.getsockname()[1] for wire in wires)


def speak(wires: list[socket.socket], *, to: str) -> None:
    """Send to the port, and to the one beside it."""
    for wire in wires:
        for port in (PORT, PORT + 1):
            wire.sendto(b"hotfire", (to, port))


@pytest.mark.parametrize(
    ("op", "args", "reason"),
    [
        ("bgp.routes", {"session": "x; down all"}, "no name of a session"),
        ("bgp.routes", {"session": "nobody"}, "birdc"),
        ("link.flows", {"links": ["hf0"], "port": 0, "seconds": 1}, "not above"),
        ("link.flows", {"links": ["hf0"], "port": 9, "seconds": 60}, "at most 8"),
        ("link.flows", {"links": ["no-such"], "port": 9, "seconds": 1}, "nothing can be heard"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(
    inner: Agent, op: str, args: dict[str, object], reason: str
) -> None:
    assert reason in inner.reply(op, **args)["error"]
