"""Each check passes on a sound platform and fails, not merely wavers, on its broken twin."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from hotfire.lab.shape.checkout import project_root
from hotfire.rundir import RunDirectory
from hotfire.verdict import Verdict, merge
from tests.world import World

pytestmark = pytest.mark.lab

SUITES = sorted((project_root() / "suites").glob("*/test_*.py"))
CASES = [pytest.param(path, id=path.stem.removeprefix("test_")) for path in SUITES]


def verdict(suite: Path, target: Path, folder: Path) -> tuple[Verdict, str]:
    """Run one suite file as a user would and return the worst verdict with its reason."""
    argv = [sys.executable, "-m", "pytest", str(suite), "--target", str(target)]
    argv += ["--run-dir", str(folder), "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        argv, cwd=project_root(), capture_output=True, text=True, timeout=400, check=False
    )
    results = RunDirectory.open(folder).results()
    assert results, done.stdout[-2000:]
    worst = merge(result.verdict for result in results)
    reasons = [f"{each.case}: {each.reason}" for each in results if each.verdict is worst]
    return worst, "; ".join(reasons)


@pytest.mark.parametrize("suite", CASES)
def test_check_passes_on_a_sound_platform(
    suite: Path, world: World, scripted_target: Path, tmp_path: Path
) -> None:
    found, reason = verdict(suite, scripted_target, tmp_path / "run")

    assert found is Verdict.PASSED, reason


@pytest.mark.parametrize("suite", CASES)
def test_check_fails_on_its_broken_twin(
    suite: Path, world: World, scripted_target: Path, tmp_path: Path
) -> None:
    twin = importlib.import_module(f"tests.defects.{suite.stem.removeprefix('test_')}")

    with twin.broken(world):
        found, reason = verdict(suite, scripted_target, tmp_path / "run")

    assert found is Verdict.FAILED, reason
