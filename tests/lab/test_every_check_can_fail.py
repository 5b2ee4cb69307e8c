"""Each check passes on a sound platform and fails, not merely wavers, on its broken twin.

All checks that pass do so in one run, as a user would make it; each twin is a run of its own. What
a check needs that the scripted stack has not, its twin's file brings along as ``prepared``: that
check has a run of its own.

`hotfire prove --matrix` runs on each twin every check of its area, and keeps what each said.
"""

import importlib
import os
import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from hotfire.cli.catalogue import companions, entries
from hotfire.cli.child import Child
from hotfire.cli.matrix import Company, Found, Row, keep
from hotfire.cli.prove import EVERYTHING_VARIABLE
from hotfire.cli.prove_matrix import ROWS_VARIABLE
from hotfire.errors import HotfireError
from hotfire.own_folders import project_root
from hotfire.rundir import Result, RunDirectory
from hotfire.verdict import Verdict, merge
from tests.world import World

pytestmark = pytest.mark.lab

ROOT = project_root()
ENTRIES = [entry for entry in entries(ROOT) if entry.kind == "check"]
SUITES = sorted(ROOT / entry.path for entry in ENTRIES)


def twin_of(suite: Path) -> Path:
    """Return the file of a check's broken twin."""
    return ROOT / "tests" / "defects" / suite.name.removeprefix("test_")


def needs_other_lab(suite: Path) -> bool:
    """Return whether a check and its twin need a lab of another shape than the usual one."""
    twin = twin_of(suite)
    return twin.exists() and "TOPOLOGY = " in twin.read_text()


def brought_by(suite: Path) -> str:
    """Return by which module of tests a check's twin brings an add-on along; empty: it does not."""
    twin = twin_of(suite)
    text = twin.read_text() if twin.exists() else ""
    names = ("scaled", "queued", "added")
    return next((name for name in names if f"from tests.{name} import" in text), "")


def marks_of(suite: Path) -> list[pytest.MarkDecorator]:
    """Return that a check needs an add-on of the lab, if its twin brings one along."""
    return [pytest.mark.add_on] if brought_by(suite) else []


# The others: tests/topologies/test_checks_on_other_labs.py.
USUAL = [path for path in SUITES if not needs_other_lab(path)]
CASES = [
    pytest.param(path, id=path.stem.removeprefix("test_"), marks=marks_of(path)) for path in USUAL
]
# Beyond core, these take 20 to 60 s each, seven minutes in all: `hotfire prove` takes them.
LONG = {
    *("batching_raises_throughput", "declared_alerts_fire_and_clear"),
    *("bad_requests_harm_nobody_else", "long_outputs_change_no_verdict"),
    *("dead_backends_get_no_requests", "drain_loses_no_accepted_stream"),
    "idle_gpus_are_reported",
    *("certificates_are_renewed_before_they_end", "logs_are_kept_as_long_as_declared"),
    *("sandboxed_pods_see_nothing_of_the_host", "etcd_restores_from_its_backup"),
    *("engine_metrics_count_the_traffic", "failed_engines_return_by_themselves"),
    *("liveness_leaves_a_busy_engine_alone", "liveness_restarts_a_hung_engine"),
    *("long_streams_pass_whole", "loss_of_a_worker_starts_no_failure_elsewhere"),
    *(
        "evicted_workers_resume_from_a_checkpoint",
        "maintenance_takes_one_node_and_returns_it_whole",
    ),
    "network_and_control_plane_start_alone",
    *("one_address_spreads_over_replicas", "platform_troubles_move_their_series"),
    *("service_after_each_fault_equals_before", "steady_load_degrades_nothing"),
    *("rolling_update_keeps_its_capacity", "startup_budget_exceeds_the_load_time"),
    "virtual_gpus_are_fractions",
    *("weight_zero_ends_new_traffic", "worst_case_fits_the_memory"),
    *("loss_of_retrieval_ends_in_declared_degradation", "parts_fail_and_scale_independently"),
    *("rate_limits_hold_over_all_replicas", "a_surge_of_one_tenant_leaves_others_in_budget"),
    *("serving_continues_without_the_operator", "group_members_keep_their_names"),
    "engines_scale_by_whole_instances",
    # These a test of the add-on runs, all in one: `test_queues.py`, `test_scaling.py`.
    *("groups_stay_within_a_node_or_a_rack", "team_queues_lend_and_return_accelerators"),
    *("demand_adds_engines_and_its_end_removes_them",),
    *("operator_denies_by_webhook_and_reconciles",),
    *("loss_of_the_metric_source_never_shrinks_the_fleet",),
    *("scale_in_drains_the_chosen_instance_first",),
    *("swinging_demand_moves_no_engines_to_and_fro",),
    *("scaling_follows_the_queue_not_the_processor",),
}
SOUND = [case for case in CASES if EVERYTHING_VARIABLE in os.environ or case.id not in LONG]


# The tests take the twins of core checks, but for those that replace every engine, twice: half a
# minute each. `hotfire prove` takes them all.
CORE = re.compile(r"scope=Scope\.(SMOKE|CORE)\b")
REPLACES_ENGINES = re.compile(r"world\.(patch_engine_pods|set_engine_containers)\b")


def is_quick(suite: Path) -> bool:
    """Return whether the tests take a check's twin."""
    is_core = CORE.search(suite.read_text())
    return bool(is_core and not REPLACES_ENGINES.search(twin_of(suite).read_text()))


TWINS = [
    case
    for path, case in zip(USUAL, CASES, strict=True)
    if EVERYTHING_VARIABLE in os.environ or is_quick(path)
]
# `hotfire prove --matrix` says where the rows go.
MATRIX = CASES if ROWS_VARIABLE in os.environ else []
# A check takes below 20 s, but for those that watch something for a minute or two.
START_SECONDS, CHECK_SECONDS = 300, 100


@dataclass(frozen=True, slots=True)
class Ran:
    """A run of some checks, ended or cut off: what it recorded, and what it printed."""

    folder: Path
    log: Path

    def results_of(self, suite: Path) -> list[Result]:
        """Return what was recorded of one check; nothing if it never came to that."""
        name = str(suite.relative_to(ROOT))
        results = RunDirectory(self.folder).results()
        return [one for one in results if one.nodeid.partition("::")[0] == name]

    def verdict(self, suite: Path) -> tuple[Verdict, str]:
        """Return the worst verdict on one check with its reason; the run's own troubles count."""
        results = RunDirectory(self.folder).results()
        own = self.results_of(suite)
        assert own, f"no result of {suite.name}: {self.log.read_text()[-2000:]}"
        counted = [*own, *(one for one in results if one.kind == "run")]
        worst = merge(one.verdict for one in counted)
        return worst, "; ".join(
            f"{one.case}: {one.reason}" for one in counted if one.verdict is worst
        )


def run(suites: list[Path], target: Path, folder: Path) -> Ran:
    """Run suite files as a user would; one that hangs, or is interrupted, cleans up and ends."""
    made = Ran(folder / "run", folder / "log")
    if not suites:
        return made
    argv = [*map(str, suites), "--target", str(target), "--run-dir", str(made.folder)]
    over = time.monotonic() + START_SECONDS + CHECK_SECONDS * len(suites)

    def look() -> None:
        if time.monotonic() > over:
            raise TimeoutError

    child = Child.start([*argv, "-q", "-p", "no:cacheprovider"], root=ROOT, log=made.log)
    try:
        with suppress(TimeoutError):
            child.follow(look)
    finally:
        child.stop()
    return made


def broken(suite: Path, world: World) -> AbstractContextManager[None]:
    """Return what breaks the platform as a check's twin does."""
    twin = importlib.import_module(f"tests.defects.{twin_of(suite).stem}")
    made: AbstractContextManager[None] = twin.broken(world)
    return made


def prepared_for(suite: Path, world: World) -> AbstractContextManager[None] | None:
    """Return what makes the platform fit for a check; None: the scripted stack is."""
    twin = importlib.import_module(f"tests.defects.{twin_of(suite).stem}")
    prepare: Callable[[World], AbstractContextManager[None]] | None
    prepare = getattr(twin, "prepared", None)
    return prepare(world) if prepare else None


@pytest.fixture(scope="module")
def sound(
    request: pytest.FixtureRequest,
    world: World,
    scripted_target: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Ran:
    """All checks in one run on the sound platform; of those that were selected, to be exact."""
    asked = {
        item.callspec.params["suite"]
        for item in request.session.items
        if isinstance(item, pytest.Function)
        and item.originalname == test_check_passes_on_a_sound_platform.__name__
    }
    suites = [suite for suite in USUAL if suite in asked and prepared_for(suite, world) is None]
    return run(suites, scripted_target, tmp_path_factory.mktemp("sound"))


def test_what_takes_long_is_named_as_it_is() -> None:
    names = {str(case.id) for case in CASES}

    assert names >= LONG
    assert not any(CORE.search(path.read_text()) for path in SUITES if path.stem[5:] in LONG)


@pytest.mark.parametrize("suite", SOUND)
def test_check_passes_on_a_sound_platform(
    suite: Path, sound: Ran, world: World, scripted_target: Path, tmp_path: Path
) -> None:
    def alone(name: str) -> Ran:
        folder = tmp_path / name
        folder.mkdir()
        with prepared_for(suite, world) or nullcontext():
            return run([suite], scripted_target, folder)

    found, reason = (alone("first") if prepared_for(suite, world) else sound).verdict(suite)
    # On a machine that stood still for a moment: run it again, as the reason says. Failed is final.
    if found is Verdict.INCONCLUSIVE:
        found, reason = alone("again").verdict(suite)

    assert found is Verdict.PASSED, reason


def test_every_check_has_a_twin() -> None:
    assert [path.name for path in SUITES if not twin_of(path).exists()] == []


@pytest.mark.parametrize("suite", TWINS)
def test_check_fails_on_its_broken_twin(
    suite: Path, world: World, scripted_target: Path, tmp_path: Path
) -> None:
    with broken(suite, world):
        found, reason = run([suite], scripted_target, tmp_path).verdict(suite)

    assert found is Verdict.FAILED, reason


def company_of(suite: Path, checks: list[Path], world: World, folder: Path) -> Company:
    """Return what the checks of a twin's area say on it, and keep it as a row.

    Its own check comes first. Of the others, those that need the platform prepared have runs of
    their own.
    """
    ids = {ROOT / one.path: one.requirement.id for one in ENTRIES}
    [entry] = [one for one in ENTRIES if ROOT / one.path == suite]
    others = [one for one in checks if one.parent == suite.parent and one != suite]
    alone = [one for one in others if prepared_for(one, world)]
    began = time.monotonic()
    with broken(suite, world):
        together = [suite, *(one for one in others if one not in alone)]
        ran = run(together, world.target, folder)
        found = {ids[one]: said_of(one, ran) for one in together}
        found |= {ids[one]: said_alone(one, world, folder / one.stem) for one in alone}
    row = Row(twin=ids[suite], found=found, seconds=time.monotonic() - began)
    keep(Path(os.environ[ROWS_VARIABLE]), row)
    return Company(row=row, declared=companions(entry, ROOT))


def said_of(suite: Path, ran: Ran) -> Found:
    """Return what a check said in a run; one that never came to that has not found out."""
    if not ran.results_of(suite):
        return Found(verdict=Verdict.INCONCLUSIVE, reason=f"no result; see {ran.log}")
    verdict, reason = ran.verdict(suite)
    return Found(verdict=verdict, reason=reason)


def said_alone(suite: Path, world: World, folder: Path) -> Found:
    """Return what a check says where the platform is prepared for it, broken as it is besides."""
    folder.mkdir()
    with ExitStack() as stack:
        try:
            stack.enter_context(prepared_for(suite, world) or nullcontext())
        except (HotfireError, AssertionError, LookupError, ValueError) as error:
            reason = f"the platform cannot be prepared for it: {type(error).__name__}: {error}"
            return Found(verdict=Verdict.INCONCLUSIVE, reason=reason)
        return said_of(suite, run([suite], world.target, folder))


@pytest.mark.parametrize("suite", MATRIX)
def test_only_declared_companions_fall_with_a_twin(
    suite: Path, world: World, tmp_path: Path
) -> None:
    company = company_of(suite, USUAL, world, tmp_path)

    assert company.holds, [line.plain for line in company.lines()]
