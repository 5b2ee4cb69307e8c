"""A target that is not as before after a fault fails, on a live platform; a sound one passes.

How often each verdict is right is measured by `python -m bench.placebo`; this shows it end to end.
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from hotfire.own_folders import project_root
from hotfire.rundir import Result, RunDirectory
from hotfire.verdict import Verdict
from hotfire.waiting import until
from tests.killed_runner import happened
from tests.lab.test_api_server_stalls import OWN_DOUBTS
from tests.lab.test_killed_runner import heal
from tests.world import World

pytestmark = pytest.mark.lab

FAULT = "FLT-POD-001"
TRIES = 3


def judged(
    target: Path, folder: Path, *, after: str = "", harm: Callable[[], None] = lambda: None
) -> Result:
    """Kill one engine as a user does, harm the platform after an event, and return the result."""
    document = yaml.safe_load(target.read_text())
    document["measurement"] |= {
        "baseline_seconds": 20, "baseline_requests": 300, "hold_seconds": 20,
    }  # fmt: skip
    document["waits"] = {"pod_ready_seconds": 25.0, "healing_seconds": 10.0}
    own = folder / "target.yaml"
    own.write_text(yaml.safe_dump(document))
    run = folder / "run"
    argv = [sys.executable, "-m", "hotfire", "certify", "--target", str(own)]
    argv += ["--only", FAULT, "--run-dir", str(run)]
    with (folder / "log").open("wb") as log:
        runner = subprocess.Popen(argv, cwd=project_root(), stdout=log, stderr=log)
        try:
            until(
                lambda: runner.poll() is not None or after in happened(run),
                within_seconds=240,
                what=f"{after or 'the end'} in {run}",
                poll_seconds=0.05,
            )
            harm()
            runner.wait(240)
        finally:
            runner.kill()
            runner.wait(10)
    results = RunDirectory.open(run).results()
    # What the run itself could not clear away, as long as the harm lasts, has a line of its own.
    found = [one for one in results if one.kind == "fault" and not one.skipped_by_operator]
    assert [one.id for one in found] == [FAULT], (folder / "log").read_text()
    return found[0]


def doubtful(result: Result) -> bool:
    """Return whether the machine had other things to do, as it may say of itself."""
    unsure = result.verdict is Verdict.INCONCLUSIVE
    return unsure and any(word in result.reason for word in OWN_DOUBTS)


def test_a_sound_platform_recovers_and_the_reason_tells_what_chance_explains(
    world: World, scripted_target: Path, tmp_path: Path
) -> None:
    # It is never called failed; a busy machine may need another try to be told as sound.
    result = judged(scripted_target, tmp_path)
    for number in range(1, TRIES):
        if doubtful(result):
            (tmp_path / str(number)).mkdir()
            result = judged(scripted_target, tmp_path / str(number))

    assert result.verdict is Verdict.PASSED, result.reason
    assert isinstance(chance := result.figures["tpot_by_chance_up_to_ratio"], float)
    assert chance > 1
    assert result.figures["control_moved"] == "no"


def test_a_service_that_is_slower_by_sixty_percent_afterwards_fails(
    world: World, scripted_target: Path, tmp_path: Path
) -> None:
    def harm() -> None:
        world.script(canary=False, tpot_seconds=0.008)

    try:
        result = judged(scripted_target, tmp_path, after="verified-healed", harm=harm)
    finally:
        world.script(canary=False, tpot_seconds=0.005)

    assert result.verdict is Verdict.FAILED, result.reason
    assert "TPOT" in result.reason


def test_a_replica_that_does_not_come_back_fails(
    world: World, scripted_target: Path, tmp_path: Path
) -> None:
    replicas = world.stack.engine_workload()["spec"]["replicas"]
    try:
        # By then its replacement has been made; it is not Ready, so it is the one that goes.
        result = judged(scripted_target, tmp_path, after="took-effect", harm=lambda: world.scale(1))
    finally:
        world.scale(replicas)
        world.stack.wait_ready()
        # The run could not prove its fault healed, so its entry stays open: now it can.
        heal(world, scripted_target)

    assert result.verdict is Verdict.FAILED, result.reason
    assert "did not put right what was broken" in result.reason
