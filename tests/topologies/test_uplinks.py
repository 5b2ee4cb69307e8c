"""A fabric of another width than the usual one: every router carries its share."""

import re

import pytest

from hotfire.lab.lab import Lab
from hotfire.lab.shape.progress import Progress
from hotfire.lab.shape.topology import Topology
from hotfire.waiting import until

pytestmark = pytest.mark.lab

TOPOLOGY = Topology(nodes=1, uplinks=3)
UPLINKS = {"up1", "up2", "up3"}


def test_three_uplinks_are_three_ways_to_pods_and_three_sessions_with_bfd(empty_lab: Lab) -> None:
    empty_lab.up(TOPOLOGY, Progress(print))

    def ways(machine: str, *route: str) -> set[str]:
        shown = empty_lab.rack.run(machine, ["ip", "route", "show", *route])
        return set(re.findall(r"dev (up\d)", shown))

    def sessions(machine: str) -> int:
        return empty_lab.rack.run(machine, ["birdc", "show", "bfd", "sessions"]).count(" Up ")

    until(lambda: ways("client", "10.244.1.0/24") == UPLINKS, within_seconds=20, what="three ways")
    until(lambda: ways("n1", "10.0.254.1") == UPLINKS, within_seconds=20, what="three ways back")
    until(lambda: sessions("n1") == 3, within_seconds=20, what="three sessions")
