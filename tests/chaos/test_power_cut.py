"""A node's power is cut by the handle of the target file, and given back by it."""

import sys
from pathlib import Path

import pytest

from hotfire.chaos.plan import World
from hotfire.chaos.steps.power_cut import PowerCut
from hotfire.chaos.written import Target
from hotfire.errors import FaultNotInjected, HarnessError
from hotfire.machines import Power
from tests.chaos.scenes import entry

STEP = PowerCut(for_seconds=90)
NODE = Target(kind="node", name="n1", uid="u", node="n1")
HANDLE = """
import sys
from pathlib import Path
if sys.argv[2] == "n9":
    sys.exit("n9 has no outlet")
open(sys.argv[1], "a").write(" ".join(sys.argv[2:]) + ";")
"""


@pytest.fixture
def world(world: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A platform whose power handle writes down what it was asked for."""
    told = tmp_path_factory.mktemp("power") / "told"
    handle = [sys.executable, "-c", HANDLE, str(told)]
    update = {"power": Power(cut=handle, restore=handle)}
    profile = world.profile.model_copy(update=update)
    return World(cluster=world.cluster, agent=world.agent, profile=profile)


def test_the_handle_is_told_node_and_seconds_and_later_the_node(world: World) -> None:
    assert "the power handle" in STEP.rehearse(world, NODE)

    STEP.fire(world, entry(NODE))
    words = STEP.end(world, entry(NODE), within_seconds=1)

    assert words == "the power of n1 is back, by its handle"
    assert Path(world.profile.power.cut[-1]).read_text(encoding="utf-8") == "n1 90;n1;"


def test_a_handle_that_refuses_has_cut_nothing(world: World) -> None:
    other = NODE.model_copy(update={"node": "n9"})

    with pytest.raises(FaultNotInjected, match="ended with 1: n9 has no outlet"):
        STEP.fire(world, entry(other))
    with pytest.raises(HarnessError, match="no outlet"):
        STEP.end(world, entry(other), within_seconds=1)


def test_without_a_handle_nothing_is_rehearsed(world: World) -> None:
    profile = world.profile.model_copy(update={"power": Power()})
    bare = World(cluster=world.cluster, agent=world.agent, profile=profile)

    with pytest.raises(HarnessError, match=r"set power\.cut and power\.restore"):
        STEP.rehearse(bare, NODE)
