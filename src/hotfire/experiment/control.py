"""Chaos Toolkit's hook: arms an experiment under a plain `chaos run`, and judges it at the end.

Under `hotfire` the driver has armed it already and this does nothing. Chaos Toolkit may swallow an
exception of a control, so nothing is decided here: an action that finds no armed plan refuses.
"""

import json
import logging
import os
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from hotfire.chaos import beside
from hotfire.chaos.agent_client import AgentClient
from hotfire.chaos.armed import VARIABLE
from hotfire.chaos.plan import World
from hotfire.chaos.tenure import tenure
from hotfire.cluster import Cluster, lend_secrets
from hotfire.errors import HotfireError
from hotfire.experiment import Experiment, Stage, Trial
from hotfire.experiment.loads import load_beside
from hotfire.profile import TargetProfile
from hotfire.rundir import RunDirectory, RunInfo
from hotfire.traffic.runner.launch import RunningLoad
from hotfire.traffic.runner.rated import rated_load
from hotfire.verdict import Verdict

TARGET_VARIABLE: Final = "HOTFIRE_TARGET"
_LOG: Final = logging.getLogger("chaostoolkit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Standalone:
    """What is held between the two hooks of one run."""

    trial: Trial
    load: RunningLoad
    held: ExitStack


# Chaos Toolkit calls bare functions of a module, so what they share lies here: one run a process.
_running: list[Standalone] = []


def before_experiment_control(context: dict[str, Any]) -> None:
    """Arm, start the rated load and wait for its baseline; leave it alone if a driver has armed."""
    if VARIABLE in os.environ:
        return
    try:
        _running.append(_start(Experiment.of(context, Path("chaos-run.yaml"))))
    except HotfireError as error:
        _LOG.error("not armed, so nothing will be fired: %s", error)


def after_experiment_control(context: dict[str, Any], state: dict[str, Any]) -> None:
    """Heal, watch until users recovered, and tell the verdict; leave a driver's run alone.

    Chaos Toolkit's own status, and with it the exit code of `chaos run`, then follows the verdict.
    """
    del context
    if not _running:
        return
    standalone = _running.pop()
    trial, load = standalone.trial, standalone.load
    with standalone.held:
        trial.heal()
        journal = json.dumps(state, default=str)
        trial.run.journal_path(trial.experiment.id).write_text(journal, encoding="utf-8")
        _LOG.info("Watching until users are served as before")
        trial.await_recovery(load)
        load.stop()
        judgement = trial.judge()
    follow(judgement.verdict, state)
    _LOG.info("%s: %s", judgement.verdict.upper(), judgement.reason)
    for name, value in judgement.figures.items():
        _LOG.info("  %s: %s", name, value)
    _LOG.info("recorded in %s; `hotfire heal` removes the node agents", trial.run.root)


def follow(verdict: Verdict, state: dict[str, Any]) -> None:
    if verdict is Verdict.FAILED:
        state["deviated"] = True
    if verdict is not Verdict.PASSED:
        state["status"] = "failed"


def cleanup_control() -> None:
    """Heal and end the load of a run that Chaos Toolkit broke off before its end."""
    while _running:
        _running.pop().held.close()


def _start(experiment: Experiment) -> Standalone:
    profile = TargetProfile.read(_target())
    cluster = Cluster.connect(profile, tell=_LOG.warning)
    lend_secrets(profile.gateway, cluster)
    run = _run_directory(profile)
    with ExitStack() as held:
        # The trial, which watches it, too, is what there is to stop.
        lease = held.enter_context(tenure(cluster, profile, run, on_lost=lambda: None))
        agent = AgentClient(cluster, profile, token=lease.token)
        world = World(cluster=cluster, agent=agent, profile=profile)
        nodes = agent.nodes()
        if not nodes or not all(map(agent.is_ours, nodes)):
            agent.deploy(run_id=run.info().run_id)
        stage = Stage(world=world, run=run, lease=lease)
        told = partial(_LOG.info, "%s: %s")
        trial = held.enter_context(stage.arm(experiment, told))
        load = held.enter_context(rated_load(profile, run, experiment.id, cluster=cluster))
        trial.await_baseline(load)
        beside.provide(load_beside)
        os.environ[VARIABLE] = str(trial.armed_path)
        return Standalone(trial=trial, load=load, held=held.pop_all())


def _run_directory(profile: TargetProfile) -> RunDirectory:
    info = RunInfo.begin(
        command=("chaos", "run"), target_name=profile.name, tool_version=_version()
    )
    return RunDirectory.create(Path("runs").resolve(), info)


def _version() -> str:
    from importlib.metadata import version  # noqa: PLC0415 - slow, and only this path needs it

    return version("hotfire")


def _target() -> Path:
    """Return the target file: the environment's, else the lab's."""
    if path := os.environ.get(TARGET_VARIABLE):
        return Path(path)
    from hotfire.lab import default_target  # noqa: PLC0415 - a real target needs no lab

    return default_target()
