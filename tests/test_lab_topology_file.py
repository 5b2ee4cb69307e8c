"""A topology comes back as it was written, and a wrong one is told by its field."""

from pathlib import Path

import pytest

from hotfire.errors import LabError
from hotfire.lab.shape import topology_file
from hotfire.lab.shape.topology import Topology


def test_every_field_survives_being_remembered() -> None:
    topology = Topology(
        nodes=4,
        racks=3,
        gpus_per_node=1,
        control_planes=3,
        uplinks=3,
        pool_nodes=(6, 7),
        gpu_sharing={"n2": "time-slicing=4"},
        add_ons=("scaling",),
        cpu_nodes=2,
        kubernetes="1.37",
    )

    again = topology_file.parse(topology_file.document(topology))

    assert again == topology


def test_every_field_of_a_topology_can_be_given() -> None:
    assert set(topology_file.document(Topology())) == set(Topology.__dataclass_fields__)


def test_every_member_stands_in_a_rack_of_its_own_however_few_workers_there_are() -> None:
    topology = topology_file.parse({"nodes": 1, "control_planes": 3})

    assert len({member.rack for member in topology.members}) == 3


def test_options_override_the_file(tmp_path: Path) -> None:
    path = tmp_path / "topology.yaml"
    path.write_text("nodes: 5\nracks: 2\n")

    topology = topology_file.read(path, {"nodes": 2})

    assert (topology.nodes, topology.racks) == (2, 2)


def test_empty_file_is_the_default(tmp_path: Path) -> None:
    path = tmp_path / "topology.yaml"
    path.write_text("# nothing yet\n")

    assert topology_file.read(path, {}) == Topology()


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"nodes": 9}, "nodes: .* less than or equal to 8, not 9"),
        ({"control_planes": 2}, "control_planes: .* 1 or 3, not 2"),
        ({"node": 3}, "node: Extra inputs are not permitted, not 3"),
        ({"nodes": 2, "gpu_sharing": {"n3": "exclusive"}}, "names n3, and there is no such worker"),
        (
            {"control_planes": 3, "racks": 2},
            "racks is 2, and 3 control_planes need as many, or one lost rack takes the quorum",
        ),
        ({"pool_nodes": [2]}, "pool_nodes must lie between nodes and 89"),
    ],
)
def test_wrong_field_is_named(document: dict[str, object], said: str) -> None:
    with pytest.raises(LabError, match=said):
        topology_file.parse(document)


@pytest.mark.parametrize("text", ["- 1\n", "nodes: [\n"])
def test_file_that_is_no_topology_is_named(text: str, tmp_path: Path) -> None:
    path = tmp_path / "topology.yaml"
    path.write_text(text)

    with pytest.raises(LabError, match=r"topology\.yaml: "):
        topology_file.read(path, {})
