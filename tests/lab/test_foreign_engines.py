"""An engine that nobody here wrote is judged by what it does, not by what we expected of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from hotfire.lab.lab import Lab
from hotfire.rundir import RunDirectory
from hotfire.verdict import Verdict
from tests.lab.test_every_check_can_fail import ROOT, run
from tests.lab.test_printed_roles import hotfire, is_sound
from tests.overlays import engines_of
from tests.scaled import extended
from tests.world import World

pytestmark = [pytest.mark.lab, pytest.mark.add_on]

KIND, OVERLAY = "llm-d-inference-sim", "llm-d-sim"
NO_FAULT_OF_ITS_OWN = {Verdict.PASSED, Verdict.NOT_APPLICABLE}


@pytest.fixture(scope="module")
def simulated(lab: Lab, world: World) -> Iterator[None]:
    """The stack with simulators for engines; builds them where the cache lacks them."""
    del lab
    extended(KIND)
    with engines_of(world, OVERLAY):
        yield


@pytest.fixture
def target(simulated: None, scripted_target: Path, tmp_path: Path) -> Path:
    """Their target file, with a short look before and after a fault."""
    del simulated
    document = yaml.safe_load(scripted_target.read_text())
    document["engine"] |= {"kind": KIND}
    document["measurement"] |= {
        "baseline_seconds": 20, "baseline_requests": 200, "window_seconds": 5,
        "window_requests": 40, "hold_seconds": 15,
    }  # fmt: skip
    path = tmp_path / "target.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def test_smoke_finds_nothing_wrong_and_leaves_nothing_open(target: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"

    done = hotfire("certify", "--scope", "smoke", "--target", str(target), "--run-dir", str(folder))

    judged = [one for one in RunDirectory.open(folder).results() if not one.skipped_by_operator]
    assert {"API-001", "OBS-009", "STO-001", "LIF-009", "FLT-POD-001"} <= {one.id for one in judged}
    wrong = [
        f"{one.id}: {one.verdict}: {one.reason}"
        for one in judged
        if one.verdict not in NO_FAULT_OF_ITS_OWN and not (one.kind == "fault" and is_sound(one))
    ]
    assert wrong == [], done.stdout + done.stderr


def test_what_it_does_wrong_is_told(target: Path, tmp_path: Path) -> None:
    # It writes an answer to its end, whether or not anybody still reads it.
    suite = ROOT / "suites/api/test_disconnect_frees_the_engine.py"

    verdict, reason = run([suite], target, tmp_path).verdict(suite)

    assert verdict is Verdict.FAILED, reason
    assert "still ran" in reason
