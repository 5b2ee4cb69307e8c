"""``hotfire load``: a load on a target, measured, judged against its budgets, and told."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

import typer
from rich.text import Text

from hotfire.chaos.tenure import tenure
from hotfire.cli.child import termination_as_interrupt
from hotfire.cli.heal import refuse_unreachable
from hotfire.cli.histories import pack_histories
from hotfire.cli.load_finding import Finding, document, tell
from hotfire.cli.load_order import LoadOptions, Task, understood
from hotfire.cli.load_view import LiveView
from hotfire.cluster import Cluster
from hotfire.errors import ProfileError
from hotfire.measure.budgets import judged
from hotfire.measure.history import Request
from hotfire.measure.slo import Account
from hotfire.own_folders import runs_folder
from hotfire.rundir import RunDirectory, RunInfo
from hotfire.terminal import Terminal
from hotfire.traffic.capacity.calibrate import calibrate
from hotfire.traffic.capacity.knee import Effort, check_searchable, find_knee, knee_trials
from hotfire.traffic.capacity.trial import RateTrial
from hotfire.traffic.record import calibration
from hotfire.traffic.record.live import Tail
from hotfire.traffic.runner import launch
from hotfire.traffic.runner.launch import RunningLoad
from hotfire.traffic.runner.pods import workers_on_pods
from hotfire.traffic.wire.reader import PYTHON, implementation
from hotfire.traffic.witnesses import vllm_bench
from hotfire.traffic.witnesses.vllm_bench import Compared
from hotfire.traffic.witnesses.witness import Heard, compared
from hotfire.traffic.workload.plan import NANO, LoadPlan
from hotfire.verdict import Verdict
from hotfire.waiting import until

__all__ = ["LoadOptions", "carry_out"]

_NAME: Final = "load"
_UNCOMPILED: Final = (
    "note: there was no C compiler when hotfire was installed, so a token costs more CPU time than"
    " it must; with one, install it again"
)
_EXIT_CODES: Final = {Verdict.PASSED: 0, Verdict.FAILED: 1, Verdict.INCONCLUSIVE: 2}
_CALIBRATION_TTFT: Final = 0.2
_CALIBRATION_TPOT: Final = 0.02


def carry_out(order: LoadOptions) -> int:
    """Run the load asked for, tell what users experienced, and return the exit code.

    Raises:
        ProfileError: an option, the target file or the target's name forbids it.
        InstrumentError: the load did not start.
    """
    # With --json standard output is the document's alone.
    console = Terminal(highlight=False, stderr=order.json)
    task = understood(order)
    if order.calibrate:
        return _calibrate(task, console)
    if order.find_rate:
        return _find_rate(order, task, console)
    with termination_as_interrupt():
        found = _measure(order, task, console)
    tell(found, console)
    if order.json:
        Terminal(highlight=False, soft_wrap=True).print_json(data=document(found))
    return _EXIT_CODES[found.verdict]


def _measure(order: LoadOptions, task: Task, console: Terminal) -> Finding:
    if task.profile is not None and task.plan.fleet.at == "elsewhere":
        refuse_unreachable(task.profile)
    run = _create_run(order, task)
    console.print(
        Text(f"loading {task.name} {_planned(task)}; recorded in {run.root}"), soft_wrap=True
    )
    if task.plan.client == "reactor" and implementation(task.plan.client) is PYTHON:
        console.print(Text(_UNCOMPILED), soft_wrap=True)
    if task.witness and task.profile and task.profile.prometheus_url:
        console.print(Text("waiting for Prometheus to scrape the engines, before and after"))
    before = task.witness() if task.witness else None
    with _workers(task, run):
        load, interrupted = _run(task, run, console)
    found = _found(order, task, run, load, before=before, interrupted=interrupted)
    notes = (*found.doubts, *pack_histories(run))
    run.update_info(finished_at=datetime.now(UTC), notes=notes)
    run.write_text("load.json", json.dumps(document(found), indent=2) + "\n")
    return found


def _found(
    order: LoadOptions,
    task: Task,
    run: RunDirectory,
    load: RunningLoad,
    *,
    before: Heard | None,
    interrupted: bool,
) -> Finding:
    """Return what an ended load found; its rows are read one by one, as often as needed."""
    report = load.stop()
    # A second interrupt may skip the witness, not the summary.
    cross_check = None
    if task.witness and not interrupted:
        cross_check = compared(
            load, task.witness, before, unheard=task.unheard, dialect=task.dialect
        )
    account = Account.of(_steady(load), task.budgets)
    return Finding(
        run=run,
        summary=account.summary(),
        examples=account.examples,
        report=report,
        cross_check=cross_check,
        bench=_bench(task, load, run, account.scheduled)
        if order.cross_check and not interrupted
        else (),
        budgets=judged(account, task.budgets) if task.budgets else (),
        interrupted=interrupted,
    )


def _run(task: Task, run: RunDirectory, console: Terminal) -> tuple[RunningLoad, bool]:
    """Return the load at its end, and whether the operator ended it."""
    load = launch.start(
        task.plan,
        history=run.history_path(_NAME),
        log=run.log_path(f"{_NAME}.log"),
        network_namespace=task.network_namespace,
    )
    try:
        interrupted = _follow(load, console)
        load.stop()
    finally:
        if load.alive():
            load.kill()
    return load, interrupted


@contextmanager
def _workers(task: Task, run: RunDirectory) -> Iterator[None]:
    """Have workers on pods for the length of a block, if the target file wants that."""
    # Without pods nobody needs a cluster.
    if task.profile is None or task.plan.fleet.at == "here":
        yield
        return
    profile, run_id = task.profile, run.info().run_id
    cluster = Cluster.connect(profile, tell=typer.echo)
    with (
        tenure(cluster, profile, run, on_lost=lambda: None) as lease,
        workers_on_pods(task.plan, profile=profile, cluster=cluster, run_id=run_id),
    ):
        yield
        lease.require()


def _steady(load: RunningLoad) -> Iterator[Request]:
    return (row for row in load.stream() if row.phase != "warmup")


def _bench(task: Task, load: RunningLoad, run: RunDirectory, requests: int) -> list[Compared]:
    folder = run.log_path("vllm-bench.json").parent
    theirs = vllm_bench.measure(
        task.plan, requests, folder, network_namespace=task.network_namespace
    )
    return vllm_bench.compare(_steady(load), theirs)


def _follow(load: RunningLoad, console: Terminal) -> bool:
    """Watch the load to its plan's end; return whether the operator ended it before."""
    load.wait_started()
    plan = load.plan
    within = plan.duration_seconds + plan.deadline_seconds + plan.grace_seconds
    try:
        with LiveView(console, Tail(load.files)) as view:

            def over() -> bool:
                view.look()
                return not load.alive()

            until(over, within_seconds=within, what="the load plan to end")
    except KeyboardInterrupt:
        return True
    return False


def _create_run(order: LoadOptions, task: Task) -> RunDirectory:
    info = RunInfo.begin(
        command=("hotfire", "load"), target_name=task.name, tool_version=version("hotfire")
    )
    root = order.run_dir or runs_folder() / f"load-{info.run_id}"
    if (root / "run.json").exists():
        raise ProfileError(f"{root} holds a run already; name another --run-dir")
    return RunDirectory.create_at(root.resolve(), info)


def _planned(task: Task) -> str:
    plan = task.plan
    if plan.mode == "closed":
        return f"with {plan.concurrency} requests at a time for {plan.duration_seconds:g} s"
    mean = sum(stretch.expected for stretch in plan.stretches()) / plan.duration_seconds
    rate = _replayed(plan) if plan.process == "trace" else f"at {mean:.4g}/s ({plan.process})"
    return f"{rate} for {plan.duration_seconds:g} s"


def _replayed(plan: LoadPlan) -> str:
    """Return how the trace was understood, so that a wrong unit is seen before it is sent."""
    rows = plan.self_contained().trace_rows
    span_seconds = rows[-1].offset_ns / plan.trace_speed / NANO
    return f"as its trace ({len(rows)} requests in {span_seconds:.4g} s)"


def _calibrate(task: Task, console: Terminal) -> int:
    plan = task.plan
    console.print(
        Text(f"calibrating at {plan.rate_per_second:g}/s for {plan.duration_seconds:g} s")
    )
    found = calibrate(plan, engine_ttft=_CALIBRATION_TTFT, engine_tpot=_CALIBRATION_TPOT)
    if not found.fit:
        console.print(Text("not kept: a gate tripped meanwhile; try again on a quieter machine"))
        return _EXIT_CODES[Verdict.INCONCLUSIVE]
    path = calibration.remember(found)
    console.print(Text(f"error: {found.told()}"), soft_wrap=True)
    console.print(Text(f"kept in {_short(path)}, and told with every load of this machine"))
    return 0


def _short(path: Path) -> str:
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


def _find_rate(order: LoadOptions, task: Task, console: Terminal) -> int:
    if task.budgets is None:
        raise ProfileError("--find-rate needs a budget: --budget ttft_p95_seconds=1, or a target")
    check_searchable(task.plan, task.budgets)
    run = _create_run(order, task)
    console.print(Text(f"searching from {task.plan.rate_per_second:g}/s; recorded in {run.root}"))
    trials = knee_trials(
        task.plan,
        task.budgets,
        run.history_path(_NAME).parent,
        effort=Effort(seconds=order.duration),
        network_namespace=task.network_namespace,
    )

    def tell_trial(trial: RateTrial) -> None:
        line = f"{trial.rate_per_second:8.4g}/s  {trial.verdict:<13} {trial.reason}"
        console.print(Text(line), soft_wrap=True)

    knee = find_knee(trials, tell_trial)
    console.print(Text(knee.statement), soft_wrap=True)
    notes = (knee.statement, *pack_histories(run))
    run.update_info(finished_at=datetime.now(UTC), notes=notes)
    if knee.rate_per_second:
        return 0
    return _EXIT_CODES[Verdict.FAILED if knee.broken_at_per_second else Verdict.INCONCLUSIVE]
