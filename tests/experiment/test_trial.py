"""A whole experiment on a platform in miniature: real load, real Chaos Toolkit, real client."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from hotfire.chaos import holders, probes, undo
from hotfire.chaos.armed import VARIABLE
from hotfire.chaos.blast import prove, resolve
from hotfire.chaos.lease import RunLease
from hotfire.chaos.plan import World
from hotfire.chaos.tenure import tenure
from hotfire.errors import ClusterError, HarnessError
from hotfire.experiment import Experiment, Trial, judge_run
from hotfire.profile import TargetProfile
from hotfire.rundir import RunDirectory
from hotfire.traffic.runner.launch import RunningLoad
from hotfire.traffic.runner.rated import rated_load
from hotfire.verdict import Verdict
from hotfire.waiting import until
from tests.chaos.platform import SYSTEM, Platform, profile_for, run_directory, world_for
from tests.engine_process import running_engine
from tests.fake_api import FakeApi, connect, serving

UNFIT = ("not fit to measure", "steady state", "too noisy to judge")
KILL = Path(__file__).parents[2] / "experiments" / "pods" / "kill-one-engine.yaml"


@dataclass
class Stand:
    """Everything an experiment needs."""

    api: FakeApi
    platform: Platform
    world: World
    run: RunDirectory
    profile: TargetProfile
    over: threading.Event

    def trial(self, lease: RunLease | None = None) -> Trial:
        experiment = Experiment.load(KILL)
        plan = resolve(self.world, experiment.fault)
        prove(self.world, experiment.fault, plan)
        return Trial(experiment, self.world, self.run, plan, lease=lease)

    def load(self, trial: Trial) -> AbstractContextManager[RunningLoad]:
        name = trial.experiment.id
        return rated_load(self.profile, self.run, name, cluster=self.world.cluster)

    def whats(self) -> list[str]:
        return [one.what for one in self.run.events()]


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    api, over = FakeApi(), threading.Event()
    platform = Platform(api)
    controller = threading.Thread(target=platform.replacing, args=(over,), daemon=True)
    # Slow enough that a busy machine's jitter is no trend of its own.
    with serving(api) as address, running_engine("--ttft-seconds", "0.3") as engine:
        profile = profile_for(tmp_path, address, gateway=engine.url)
        load = profile.load.model_copy(update={"rate_per_second": 40, "max_tokens": 4})
        profile = profile.model_copy(update={"load": load})
        controller.start()
        world = world_for(connect(address), profile)
        yield Stand(api, platform, world, run_directory(tmp_path), profile, over)
        over.set()
        controller.join(5)


def test_a_killed_engine_is_proven_healed_and_judged_from_the_record_alone(stand: Stand) -> None:
    with stand.trial() as trial, stand.load(trial) as load:
        trial.await_baseline(load)
        trial.fire()
        assert trial.heal().verified
        trial.await_recovery(load)
        load.stop()
        judgement = trial.judge()

    story = ["armed", "injected", "took-effect", "verified-healed"]
    assert [what for what in stand.whats() if what in story] == story
    assert "engine-1" not in stand.api.names("pods")
    assert undo.copies(stand.world.cluster, SYSTEM).entries == []
    assert holders.holder(stand.world.cluster, SYSTEM) is None
    assert judge_run(stand.run) == {"FLT-POD-001": judgement}
    assert "before the fault" in load.files.crosscheck.read_text()
    # A busy machine may trip a gate of the load or hide what is to be seen; the target is never
    # blamed for that.
    unfit = any(words in judgement.reason for words in UNFIT)
    assert judgement.verdict is Verdict.PASSED or unfit, judgement.reason


def test_api_server_that_lets_nobody_look_leaves_healing_unknown(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = stand.profile.waits.model_copy(update={"api_outage_seconds": 0.3})
    stand.world = replace(stand.world, profile=stand.profile.model_copy(update={"waits": waits}))
    with stand.trial() as trial:
        monkeypatch.setenv(VARIABLE, str(trial.armed_path))
        stand.api.refuse["GET pods"] = 503
        with pytest.raises(ClusterError, match="503"):
            probes.gone()
        del stand.api.refuse["GET pods"]

    assert "not-healed" not in stand.whats()


def test_engine_that_is_seen_to_stay_away_is_told_as_not_healed(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = stand.profile.waits.model_copy(update={"pod_ready_seconds": 0.3})
    stand.world = replace(stand.world, profile=stand.profile.model_copy(update={"waits": waits}))
    with stand.trial() as trial:
        monkeypatch.setenv(VARIABLE, str(trial.armed_path))
        condition = stand.platform.pod("engine-1")["status"]["conditions"][0]
        condition["status"] = "False"
        assert not probes.gone()
        condition["status"] = "True"

    assert "not-healed" in stand.whats()


def test_the_kill_switch_ends_the_fault_and_leaves_nothing_open(stand: Stand) -> None:
    with stand.trial() as trial:
        holders.release(stand.world.cluster, SYSTEM)
        until(lambda: "kill-switch" in stand.whats(), within_seconds=10, what="the kill switch")

    assert undo.copies(stand.world.cluster, SYSTEM).entries == []
    assert trial.judge().verdict is Verdict.INCONCLUSIVE
    assert "kill switch" in trial.judge().reason


def test_a_run_that_loses_its_lease_to_another_ends_its_fault_and_heals(stand: Stand) -> None:
    cluster = stand.world.cluster
    with (
        tenure(cluster, stand.profile, stand.run, on_lost=lambda: None) as held,
        stand.trial(held) as trial,
    ):
        holders.release(cluster, SYSTEM)
        next_run = RunLease(cluster, SYSTEM, run_id="b", lease_seconds=60, on_lost=lambda: None)
        with next_run:
            until(lambda: "kill-switch" in stand.whats(), within_seconds=10, what="the loss")
            with pytest.raises(HarnessError, match=r"lost the cluster: it is held by run b"):
                holders.require_held(cluster, SYSTEM, run_id=stand.run.info().run_id)

    assert undo.copies(cluster, SYSTEM).entries == []
    assert trial.judge().verdict is Verdict.INCONCLUSIVE


def test_an_entry_bears_the_token_of_the_run_that_armed_it(stand: Stand) -> None:
    cluster = stand.world.cluster
    with tenure(cluster, stand.profile, stand.run, on_lost=lambda: None) as held:
        with stand.trial(held):
            [entry] = undo.copies(cluster, SYSTEM).entries

        assert entry.token == held.token > 0


def test_a_fault_that_is_not_armed_refuses_to_fire(stand: Stand) -> None:
    journal = stand.run.journal_path("unarmed")
    environment = {name: value for name, value in os.environ.items() if "HOTFIRE" not in name}
    environment |= {"HOTFIRE_TARGET": "/nonexistent/target.yaml"}

    toolkit = [sys.executable, "-m", "chaostoolkit", "--no-version-check", "--no-log-file", "run"]
    options = ["--hypothesis-strategy", "after-method-only", "--journal-path", str(journal)]
    subprocess.run(
        [*toolkit, *options, str(KILL)],
        env=environment,
        cwd=journal.parent,
        check=False,
        timeout=300,
        capture_output=True,
    )

    assert "no armed plan" in journal.read_text()
    assert stand.api.names("pods") == ["engine-1", "engine-2"]


def test_a_driver_told_to_end_heals_on_its_way_out(stand: Stand) -> None:
    with pytest.raises(SystemExit), stand.trial():
        os.kill(os.getpid(), signal.SIGTERM)

    assert undo.copies(stand.world.cluster, SYSTEM).entries == []
