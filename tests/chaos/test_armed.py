"""What the process that fires has of an armed fault."""

from pathlib import Path

import pytest

from hotfire.chaos.armed import Armed, Shot
from hotfire.chaos.plan import World
from hotfire.chaos.targets.engine_pods import EnginePods
from tests.chaos.platform import KILL, Platform, run_directory
from tests.chaos.scenes import entry


@pytest.fixture
def armed(world: World, platform: Platform, tmp_path: Path) -> Armed:
    plan = EnginePods().resolve(world, KILL.id)
    run = run_directory(tmp_path)
    return Armed(
        fault=KILL, plan=plan, entries=tuple(map(entry, plan.targets)), profile=world.profile,
        run_directory=run.root, history=run.history_path(KILL.id),
    )  # fmt: skip


def test_activities_share_the_connection_that_was_made_while_the_api_server_answered(
    armed: Armed,
) -> None:
    before, after = Shot(armed), Shot(armed)

    assert after.scene().world.cluster is before.cluster
