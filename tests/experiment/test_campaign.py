"""Several faults under one load: each rests on what the one before left, if that is shown."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest

from hotfire.chaos.tenure import tenure
from hotfire.experiment import Campaign, Experiment, Judgement, Stage, conduct, judge_run
from hotfire.measure import history
from hotfire.measure.comparison import Before
from hotfire.measure.history import Request
from hotfire.measure.recovery import settled
from hotfire.profile import TargetProfile
from hotfire.rundir import RunDirectory
from hotfire.traffic.runner.launch import RunningLoad
from hotfire.traffic.runner.rated import rated_load
from hotfire.verdict import Verdict
from hotfire.waiting import until
from tests.chaos.platform import profile_for, run_directory
from tests.engine_process import running_engine
from tests.experiment.test_trial import KILL, UNFIT, Stand
from tests.experiment.test_trial import stand as stand  # noqa: PLC0414 - a fixture


@contextmanager
def campaigning(run: RunDirectory, profile: TargetProfile) -> Iterator[tuple[Campaign, list[str]]]:
    """Run a campaign; the names of the loads that it started are noted."""
    names: list[str] = []

    def start(name: str) -> AbstractContextManager[RunningLoad]:
        names.append(name)
        return rated_load(profile, run, name, cluster=None)  # type: ignore[arg-type]

    with Campaign(run, profile, start) as campaign:
        yield campaign, names


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TargetProfile]:
    with running_engine("--ttft-seconds", "0.1") as engine:
        folder = tmp_path_factory.mktemp("profile")
        found = profile_for(folder, "http://127.0.0.1:1", gateway=engine.url)
        load = found.load.model_copy(update={"rate_per_second": 40, "max_tokens": 4})
        yield found.model_copy(update={"load": load})


@dataclass(frozen=True)
class Standing:
    """A campaign whose load goes on from test to test."""

    run: RunDirectory
    campaign: Campaign


@pytest.fixture(scope="module")
def common(tmp_path_factory: pytest.TempPathFactory, profile: TargetProfile) -> Iterator[Standing]:
    run = run_directory(tmp_path_factory.mktemp("common"))
    with campaigning(run, profile) as (campaign, _):
        yield Standing(run, campaign)


@pytest.fixture
def standing(common: Standing) -> Standing:
    """Return the common campaign, of which nothing of before is a baseline."""
    common.campaign.begin_anew()
    return common


def judgement(rows: list[Request], profile: TargetProfile, **changes: object) -> Judgement:
    """Return a fault that was passed, with the rows as what was before it."""
    fields: dict[str, object] = {
        "verdict": Verdict.PASSED,
        "reason": "",
        "figures": {},
        "before": Before.of(rows, profile.budgets, profile.measurement),
        "quiet_since_ns": rows[len(rows) // 2].sched_ns,
    }
    return Judgement(**fields | changes)  # type: ignore[arg-type]


def enough(part: object, count: int = 60) -> list[Request]:
    # What a part keeps in the end: none of what ended while an earlier one was still in flight.
    until(lambda: len(settled(part.rows())) >= count, within_seconds=60, what=f"{count} rows")  # type: ignore[attr-defined]
    return part.rows()  # type: ignore[attr-defined, no-any-return]


def test_two_faults_share_a_load_and_the_second_needs_no_baseline_of_its_own(stand: Stand) -> None:
    kill = Experiment.load(KILL)
    again = kill.named(stand.run.path("rounds"), "FLT-POD-001-r2")
    tenant = tenure(stand.world.cluster, stand.profile, stand.run, on_lost=lambda: None)
    with tenant as lease, campaigning(stand.run, stand.profile) as (one, names):
        stage = Stage(world=stand.world, run=stand.run, lease=lease)
        found = []
        for experiment in (kill, again):
            found.append(conduct(experiment, stage, load=one.part, observer=lambda *_: None))
            one.rest(found[-1])

    assert names == ["campaign"]
    assert all(
        judged.verdict is Verdict.PASSED or any(word in judged.reason for word in UNFIT)
        for judged in found
    ), [judged.reason for judged in found]
    assert set(judge_run(stand.run)) == {kill.id, again.id}
    begun = {
        one.experiment: one.at_ns for one in stand.run.events() if one.what == "baseline-start"
    }
    first = {one: history.load(stand.run.history_path(one))[0].sched_ns for one in begun if one}
    assert begun[again.id] == first[again.id]
    if found[0].quiet_since_ns is not None:
        assert first[again.id] >= found[0].quiet_since_ns


def test_target_that_does_not_repair_itself_is_judged_for_it(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What comes in place of the killed engine never gets Ready.
    broken = partial(stand.platform.add_engine, ready=False)
    monkeypatch.setattr(stand.platform, "add_engine", broken)
    tenant = tenure(stand.world.cluster, stand.profile, stand.run, on_lost=lambda: None)
    with tenant as lease, campaigning(stand.run, stand.profile) as (one, _):
        stage = Stage(world=stand.world, run=stand.run, lease=lease)
        found = conduct(Experiment.load(KILL), stage, load=one.part, observer=lambda *_: None)

    unsteady = found.verdict is Verdict.INCONCLUSIVE and "steady state" in found.reason
    assert unsteady or (found.verdict is Verdict.FAILED and found.stop), found.reason


def test_a_load_that_died_is_followed_by_another(tmp_path: Path, profile: TargetProfile) -> None:
    run = run_directory(tmp_path)
    with campaigning(run, profile) as (campaign, names):
        with campaign.part("FLT-A") as part:
            rows = enough(part, 5)
            part._load.kill()
        campaign.rest(judgement(rows, profile))
        with campaign.part("FLT-B") as part:
            enough(part, 5)

    assert names == ["campaign", "campaign-r2"]


# The common load goes on to the end of this file; what needs none of it stands above.


def test_what_a_fault_left_is_the_next_one_s_baseline(
    standing: Standing, profile: TargetProfile
) -> None:
    with standing.campaign.part("FLT-A") as part:
        rows = enough(part)
    standing.campaign.rest(judgement(rows, profile))
    with standing.campaign.part("FLT-B") as part:
        enough(part)

    first = history.load(standing.run.history_path("FLT-B"))[0]
    assert first.sched_ns == min(
        row.sched_ns for row in rows if row.sched_ns >= rows[len(rows) // 2].sched_ns
    )


NO_HOLD: dict[str, object] = {"quiet_since_ns": None}


@pytest.mark.parametrize(
    ("left", "is_another"), [(NO_HOLD, False), ({}, True)], ids=["no-hold", "another-service"]
)
def test_where_a_fault_left_no_hold_or_another_service_follows_the_next_one_rests_on_nothing(
    standing: Standing, profile: TargetProfile, left: dict[str, object], is_another: bool
) -> None:
    first, second = f"FLT-{is_another}-A", f"FLT-{is_another}-B"
    with standing.campaign.part(first) as part:
        rows = enough(part)
    standing.campaign.rest(judgement(rows, profile, **left))
    if is_another:
        standing.campaign.begin_anew()
    with standing.campaign.part(second) as part:
        enough(part, 5)

    last = max(row.sched_ns for row in rows)
    assert history.load(standing.run.history_path(second))[0].sched_ns > last


def test_small_steps_do_not_add_up_to_a_new_normal(
    standing: Standing, profile: TargetProfile
) -> None:
    own = profile.measurement.model_copy(update={"band_floor_seconds": 0.001})
    with standing.campaign.part("FLT-C") as part:
        rows = enough(part, 150)
    first = Before.of(list(map(sooner, rows)), profile.budgets, own)
    since_ns = min(row.sched_ns for row in rows)
    standing.campaign.rest(judgement(rows, profile, before=first, quiet_since_ns=since_ns))
    with standing.campaign.part("FLT-D") as part:
        enough(part, 5)

    assert "moved-from-first-baseline" in [one.what for one in standing.run.events()]
    last = max(row.sched_ns for row in rows)
    assert history.load(standing.run.history_path("FLT-D"))[0].sched_ns > last


def sooner(row: Request) -> Request:
    """Return an answer whose first token came ten times as soon."""
    assert row.first_ns is not None
    first_ns = row.sched_ns + (row.first_ns - row.sched_ns) // 10
    return replace(row, first_ns=first_ns, first_output_ns=first_ns)
