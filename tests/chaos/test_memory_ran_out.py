"""An engine that ran out of memory is told from one that merely restarted."""

from datetime import UTC, datetime

import pytest

from hotfire.chaos.agent_answers import AgentEntry, Observed
from hotfire.chaos.agent_client import AgentClient
from hotfire.chaos.before import observed
from hotfire.chaos.plan import World
from hotfire.chaos.sighting import Scene
from hotfire.chaos.sightings.memory_ran_out import MemoryRanOut
from hotfire.chaos.targets.engine_devices import EngineDevices
from hotfire.chaos.undo import Undo, UndoEntry
from hotfire.errors import HarnessError
from tests.chaos.platform import Platform


@pytest.fixture
def scene(world: World, platform: Platform) -> Scene:
    accelerator = world.profile.accelerator.model_copy(update={"memory": "host-cgroup"})
    profile = world.profile.model_copy(update={"accelerator": accelerator})
    world = World(cluster=world.cluster, agent=world.agent, profile=profile)
    plan = EngineDevices().resolve(world, "FLT-GPU-001")
    entry = UndoEntry(
        id="u-1", at=datetime.now(UTC), run_id="r", cluster_uid="c", fault="FLT-GPU-001",
        target=plan.targets[0], undo=Undo(step={"word": "memory-hog"}), expires_at=None,
    )  # fmt: skip
    return Scene(world=world, plan=plan, entries=(entry,), before=observed(world, plan))


def told(monkeypatch: pytest.MonkeyPatch, **seen: object) -> None:
    entry = AgentEntry(
        id="u-1", op="cgroup.hog", state="healed", observed=Observed.model_validate(seen)
    )
    monkeypatch.setattr(AgentClient, "entry", lambda *_: entry)


@pytest.mark.parametrize(
    ("container", "oom", "seen"),
    [
        ((1, "OOMKilled", 137), True, "yes"),
        # Its cgroup was gone before the agent looked; its first process ended politely.
        ((1, "OOMKilled", 0), False, "yes"),
        # A runtime that does not tell.
        ((1, "Error", 137), True, "yes"),
        ((1, "Error", 137), False, "no"),
        ((1, "Error", 1), True, "no"),
        ((1, "Completed", 0), True, "no"),
        ((0, "", 0), True, "no"),
        # Of before the fault.
        ((0, "OOMKilled", 137), False, "no"),
    ],
)
def test_what_proves_it(
    scene: Scene, platform: Platform, monkeypatch: pytest.MonkeyPatch,
    container: tuple[int, str, int], oom: bool, seen: str,
) -> None:  # fmt: skip
    restarts, reason, code = container
    status = platform.pod("engine-1")["status"]["containerStatuses"][0]
    status["restartCount"] = restarts
    status["lastState"] = {"terminated": {"reason": reason, "exitCode": code}} if reason else {}
    told(monkeypatch, oom=oom, oom_kills=int(oom))

    assert MemoryRanOut().look(scene).seen == seen


def test_an_agent_that_does_not_answer_leaves_it_unknown(scene: Scene) -> None:
    with pytest.raises(HarnessError):
        MemoryRanOut().look(scene)
