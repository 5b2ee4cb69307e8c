"""What the checks of etcd's racks and of the API's address conclude."""

from collections.abc import Mapping

import pytest

from fixtures.control_plane import ControlPlane
from hotfire.chaos.agent_client import AgentClient
from hotfire.errors import HarnessError
from suites.cluster.test_api_address_follows_server_health import Answers, questions
from suites.cluster.test_etcd_keeps_quorum_without_a_rack import shortcomings


@pytest.mark.parametrize(
    ("racks", "said"),
    [
        ({"a": ["1"], "b": ["2"], "c": ["3"]}, []),
        ({"a": ["1", "2"], "b": ["3"]}, ["without a 1 of 3 members are left"]),
        ({"a": ["1", "2"], "b": ["3", "4"], "c": ["5"]}, []),
        (
            {"a": ["1"], "b": ["2"], "c": ["3"], "d": ["4"]},
            ["of 4 members no more may be lost than of 3"],
        ),
        (
            {"a": ["1"]},
            ["there are 1 members, and 3 are needed", "without a 0 of 1 members are left"],
        ),
    ],
)
def test_quorum_must_outlive_every_rack(racks: Mapping[str, list[str]], said: list[str]) -> None:
    assert shortcomings(racks) == said


def control_plane(racks: Mapping[str, str]) -> ControlPlane:
    """Return one whose services nobody asks for."""
    return ControlPlane(agent=object.__new__(AgentClient), racks=racks)


def test_member_that_stands_nowhere_is_not_judged() -> None:
    found = control_plane({"cp1": "a", "cp2": ""})

    assert found.by_rack(["cp1"]) == {"a": ["cp1"]}
    with pytest.raises(HarnessError, match="where cp2 stands is not known"):
        found.by_rack(["cp1", "cp2"])


@pytest.mark.parametrize("servers", [2, 3, 5])
def test_so_many_connections_meet_each_server(servers: int) -> None:
    missed = (1 - 1 / servers) ** questions(servers)

    assert 0 < missed <= 1e-4


def test_answers_tell_the_first_trouble() -> None:
    found = Answers(asked=23, troubles=["/readyz says 500", "no answer"])

    assert str(found) == "2 of 23 calls failed: /readyz says 500"
