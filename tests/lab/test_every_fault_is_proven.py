"""Each fault is proven: a sound platform withstands it, and its sham is not taken for it."""

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import yaml

from hotfire.cli.prove import EVERYTHING_VARIABLE
from hotfire.experiment import Experiment
from hotfire.rundir import Result, RunDirectory
from hotfire.verdict import Verdict
from tests.disaggregated import disaggregated
from tests.jobs import queueing
from tests.rag import retrieving
from tests.tenants import guarded
from tests.world import World

pytestmark = pytest.mark.lab

ROOT = Path(__file__).parents[2]
# Two minutes each: `hotfire prove` takes all, the tests one.
TAKEN_BY_THE_TESTS = {"kill-one-engine"}
FAULTS = [
    path
    for path in sorted((ROOT / "experiments").glob("*/*.yaml"))
    if EVERYTHING_VARIABLE in os.environ or path.stem in TAKEN_BY_THE_TESTS
]
CASES = [pytest.param(path, id=path.stem) for path in FAULTS]
# Long enough to judge by where the verdict counts, as short as can be where it does not.
BASELINE_SECONDS, HOLD_SECONDS = (40, 30) if EVERYTHING_VARIABLE in os.environ else (20, 15)
QUICK = {
    "measurement": {
        "baseline_seconds": BASELINE_SECONDS, "baseline_requests": 200, "window_seconds": 5,
        "window_requests": 40, "hold_seconds": HOLD_SECONDS, "band_floor_seconds": 0.05,
        "band_floor_tpot_seconds": 0.005,
    },
    "load": {"rate_per_second": 16.0, "max_tokens": 12},
}  # fmt: skip
SHAM_SECONDS = {"injection_seconds": 10.0}
BROUGHT_ALONG = {
    "rag": retrieving, "batch-jobs": queueing, "disaggregation": disaggregated,
    "tenant-limits": guarded,
}  # fmt: skip
APART = ("disaggregation", "tenant-limits")
"""Each changes by which way users come: of that, and of nothing else, a fault is fired there."""
Results = dict[str, Result]


@contextmanager
def ground(world: World, faults: Iterable[Experiment]) -> Iterator[None]:
    """Have what faults need that the scripted stack has not of its own."""
    asked = frozenset().union(*(one.fault.features for one in faults))
    with ExitStack() as stack:
        for feature, has in BROUGHT_ALONG.items():
            if feature in asked:
                stack.enter_context(has(world))
        yield


def written(target: Path, name: str, **changes: object) -> Path:
    """Write the target file of the moment with a short look before and after each fault."""
    document = yaml.safe_load(target.read_text())
    # The twin of GTW-006 brings the gate along: no fault finds one.
    claims = [one for one in document["claims"] if one != "promotion-gate"]
    path = target.with_name(name)
    path.write_text(yaml.safe_dump({**document, **QUICK, "claims": claims, **changes}))
    return path


@pytest.fixture(scope="module")
def withstood(
    world: World, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Results:
    """What came of every selected fault, fired for real."""
    return fired_in_groups(request, world, tmp_path_factory.mktemp("faults"))


@pytest.fixture(scope="module")
def shams(
    world: World, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Results:
    """What came of the sham of every selected fault."""
    folder = tmp_path_factory.mktemp("shams")
    return fired_in_groups(request, world, folder, "--sham", waits=SHAM_SECONDS)


def fired_in_groups(
    request: pytest.FixtureRequest, world: World, folder: Path, *options: str, **changes: object
) -> Results:
    """Run the faults of all selected cases, each where it has what it needs."""
    found: Results = {}
    for faults in groups(request):
        with ground(world, faults):
            target = written(world.target, "quick.yaml", **changes)
            found |= fired(faults, target, folder / f"run-{len(found)}", *options)
    return found


def groups(request: pytest.FixtureRequest) -> list[list[Experiment]]:
    """Return the faults of all selected cases; those apart whose users come by another way."""
    found = selected(request)
    usual = [one for one in found if not one.fault.features.intersection(APART)]
    apart = [[one for one in found if feature in one.fault.features] for feature in APART]
    return [group for group in (usual, *apart) if group]


def selected(request: pytest.FixtureRequest) -> list[Experiment]:
    """Return the faults of all selected cases."""
    return [
        Experiment.load(Path(str(item.callspec.params["path"])))
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.path == request.path
    ]


def fired(faults: Iterable[Experiment], target: Path, folder: Path, *options: str) -> Results:
    """Run faults in one run, as a user would; return results by id."""
    wanted = {one.id for one in faults}
    argv = [sys.executable, "-m", "pytest", "experiments", "--target", str(target), *options]
    argv += ["--run-dir", str(folder), "-q", "-p", "no:cacheprovider"]
    argv += [word for one in sorted(wanted) for word in ("--only", one)]
    done = subprocess.run(
        argv, cwd=ROOT, capture_output=True, text=True, timeout=300 * len(wanted), check=False
    )
    found = {one.id: one for one in RunDirectory.open(folder).results()}
    assert set(found) >= wanted, done.stdout[-2000:]
    # Those of other groups are in it too, as not selected.
    return {id_: found[id_] for id_ in wanted}


@pytest.mark.parametrize("path", CASES)
def test_fault_happens_and_is_over(path: Path, withstood: Results) -> None:
    """Whatever a look as short as this one can tell of what it cost users."""
    found = withstood[Experiment.load(path).id]

    assert found.verdict is not Verdict.FAILED, found.reason
    assert found.figures.get("took_effect_seconds") is not None, found.reason
    assert found.figures.get("fault_window_seconds") is not None, found.reason


@pytest.mark.skipif(EVERYTHING_VARIABLE not in os.environ, reason="hotfire prove looks for longer")
@pytest.mark.parametrize("path", CASES)
def test_sound_platform_withstands_the_fault(path: Path, withstood: Results) -> None:
    found = withstood[Experiment.load(path).id]

    assert found.verdict is Verdict.PASSED, found.reason


@pytest.mark.parametrize("path", CASES)
def test_sham_of_the_fault_is_inconclusive(path: Path, shams: Results) -> None:
    found = shams[Experiment.load(path).id]

    assert found.verdict is Verdict.INCONCLUSIVE, found.reason
    assert "not proven to have taken effect" in found.reason
