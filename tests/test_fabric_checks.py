"""What the checks of network and cluster make of what they read; the programs they run in pods."""

import json
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import ip_network

import pytest

from fixtures import datagrams
from hotfire.chaos.agent_answers import BfdSession
from hotfire.chaos.fabric import BgpSession, Crossing
from hotfire.cluster import Node
from suites.cluster import test_gpus_left_after_a_rack_cover_the_demand as left_over
from suites.cluster.test_gpus_span_nodes_and_racks import Place, check_control
from suites.cluster.test_gpus_span_nodes_and_racks import shortcomings as in_one_place
from suites.network.test_bfd_finds_a_dead_path_in_time import shortcomings
from suites.network.test_every_gpu_node_has_two_working_uplinks import working
from suites.network.test_nodes_announce_their_pods_and_services_only import Declared, differences
from suites.network.test_traffic_uses_all_uplinks import leaving, uneven

PODS, SERVICES, OWN = "10.244.1.0/24", "10.96.0.0/16", "10.0.0.1/32"
DECLARED = Declared(
    due=frozenset({ip_network(PODS), ip_network(SERVICES)}), besides=frozenset({ip_network(OWN)})
)


def session(link: str, *, state: str = "Established", router: str = "10.0.255.1") -> BgpSession:
    return BgpSession(
        name=f"to_{link}",
        state=state,
        link=link,
        neighbour="172.16.1.2",
        neighbour_as=65101,
        own_as=65201,
        router_id=router,
    )


def crossing(link: str, direction: str, *ports: int) -> Crossing:
    return Crossing(
        link=link,
        direction=direction,
        source="10.244.1.5",
        destination="10.244.2.5",
        source_ports=ports,
    )


def bfd(state: str, timeout_seconds: float) -> BfdSession:
    return BfdSession(
        neighbour="172.16.1.2",
        interface="up1",
        state=state,
        since="12:00:00.000",
        timeout_seconds=timeout_seconds,
    )


def test_uplink_works_only_with_a_session_and_flows_both_ways() -> None:
    links = ["up1", "up2", "up3", "up4"]
    sessions = [session("up1"), session("up2"), session("up3", state="Active", router="")]
    rows = [crossing(link, way, 1) for link in ("up1", "up3", "up4") for way in ("in", "out")]

    assert working(links, sessions, [*rows, crossing("up2", "out", 1)]) == {"up1": "10.0.255.1"}


def test_flows_are_counted_once_a_link_and_only_those_that_leave() -> None:
    rows = [crossing("up1", "out", 1, 2), crossing("up1", "out", 2, 3), crossing("up2", "in", 4)]

    assert leaving(["up1", "up2"], rows) == {"up1": 3, "up2": 0}


@pytest.mark.parametrize(
    ("split", "expected"),
    [((200, 200), False), ((161, 239), False), ((160, 240), True), ((400, 0), True)],
)
def test_split_is_uneven_only_beyond_what_chance_makes(
    split: tuple[int, int], expected: bool
) -> None:
    assert uneven(dict(zip(("up1", "up2"), split, strict=True))) is expected


@pytest.mark.parametrize(
    ("sessions", "words"),
    [
        ([], "no BFD session"),
        ([bfd("Down", 0.3)], "is Down"),
        ([bfd("Up", 3.0)], "dead after 3 s"),
        ([bfd("Up", 0.3), bfd("Init", 0.3)], "is Init"),
    ],
)
def test_bfd_that_finds_no_dead_path_in_time_is_told(
    sessions: list[BfdSession], words: str
) -> None:
    assert words in "; ".join(shortcomings("up1", sessions, detection_seconds=0.3))


def test_bfd_that_is_up_and_quick_enough_is_sound() -> None:
    assert shortcomings("up1", [bfd("Up", 0.3), bfd("Up", 0.15)], detection_seconds=0.3) == []


@pytest.mark.parametrize(
    ("announced", "words"),
    [
        ([PODS, SERVICES], []),
        ([PODS, SERVICES, OWN, "10.96.3.4/32"], []),
        ([PODS], [f"{SERVICES} is missing"]),
        ([], [f"{PODS} is missing", f"{SERVICES} is missing"]),
        ([PODS, SERVICES, "0.0.0.0/0"], ["0.0.0.0/0 is not declared"]),
        ([PODS, SERVICES, "10.244.0.0/16"], ["10.244.0.0/16 is not declared"]),
        ([PODS, SERVICES, "fd00::/64"], ["fd00::/64 is not declared"]),
    ],
)
def test_announcements_are_held_against_what_is_declared(
    announced: list[str], words: list[str]
) -> None:
    assert differences(DECLARED, announced) == words


@pytest.mark.parametrize(
    ("places", "words"),
    [
        ({"n1": Place(rack="a", accelerators=8), "n2": Place(rack="b", accelerators=8)}, ""),
        ({"n1": Place(rack="a", accelerators=8), "n2": Place(rack="a", accelerators=8)}, "rack a"),
        ({"n1": Place(rack="a", accelerators=8), "n2": Place(rack="b", accelerators=0)}, "in n1"),
        ({"n1": Place(rack="a", accelerators=8), "n2": Place(rack="", accelerators=8)}, "no rack"),
    ],
)
def test_accelerators_in_one_place_are_told(places: dict[str, Place], words: str) -> None:
    found = in_one_place(places)

    assert bool(found) == bool(words)
    assert words in "; ".join(found)


def test_spread_of_accelerators_has_a_control_that_is_noticed() -> None:
    check_control({"n1": Place(rack="a", accelerators=8), "n2": Place(rack="b", accelerators=8)})


def test_rack_whose_loss_costs_most_is_that_of_most_engines() -> None:
    racks = {"a": [node("n1", 8)], "b": [node("n2", 4), node("n3", 4)], "c": [node("n4", 8)]}

    assert left_over.largest(racks, {"n2": [1], "n3": [2], "n4": [1]}, "gpu") == "b"
    assert left_over.largest(racks, {"n1": [1], "n3": [1]}, "gpu") == "b"
    assert left_over.largest(racks, {"n4": [1], "n1": [0]}, "gpu") == "c"


def node(name: str, accelerators: int) -> Node:
    document = {
        "metadata": {"name": name, "uid": name},
        "status": {"allocatable": {"gpu": str(accelerators)}},
    }
    return Node.parse(document)


@pytest.fixture
def echo_port() -> Iterator[int]:
    """A pod's answering program on whatever port is free."""
    argv = [sys.executable, "-c", datagrams.ECHO, "0", datagrams.WHO]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout
        yield int(process.stdout.readline())
        process.kill()


@pytest.mark.parametrize(
    ("changed", "word", "said"),
    [
        ({"text": datagrams.WHO}, datagrams.ANSWERED, "127.0.0.1"),
        ({"bytes": 40_000}, datagrams.ANSWERED, "." * 64),
        ({"bytes": 65_536}, datagrams.TOO_LONG, ""),
        ({"port": 9}, "ECONNREFUSED", ""),
    ],
)
def test_each_flow_of_datagrams_tells_what_came_of_it(
    echo_port: int, changed: dict[str, object], word: str, said: str
) -> None:
    usual = {"to": "127.0.0.1", "port": echo_port, "hops": 9, "flows": 3, "bytes": 0, "text": ""}
    asked = usual | {"seconds": 5} | changed
    argv = [sys.executable, "-c", datagrams.ASK, json.dumps(asked)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)
    outcomes = [datagrams.Outcome(**each) for each in json.loads(done.stdout)]

    assert [(each.word, each.said) for each in outcomes] == [(word, said)] * 3
