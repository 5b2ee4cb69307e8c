"""``hotfire certify``: one run from the target file to the reports."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Self, TypeAlias

from rich.text import Text

from hotfire.cli.catalogue import entries, refuse_unknown
from hotfire.cli.child import Child, termination_as_interrupt, undisturbed
from hotfire.cli.heal import Say, heal_leftovers, refuse_leftovers, target_or_lab
from hotfire.cli.histories import pack_histories
from hotfire.cli.lab_logs import LabLogs
from hotfire.cli.progress import Progress
from hotfire.cli.project import document_names, find_run, of_a_run
from hotfire.cli.refusal import refuse_impossible
from hotfire.cli.report import write_reports
from hotfire.cli.verdicts import print_verdicts
from hotfire.cli.way_in import open_way_in
from hotfire.errors import HarnessError, ProfileError
from hotfire.experiment.exploring.order import Order
from hotfire.outcome import statement
from hotfire.own_folders import project_root, runs_folder
from hotfire.profile import TargetProfile
from hotfire.requirement import Scope
from hotfire.rundir import Event, Result, RunDirectory, RunInfo
from hotfire.terminal import Terminal
from hotfire.verdict import EXIT_CODES, Conformance, Verdict

# pytest's own, and 1 and 6 of the plugin. It stops itself when a target stays broken.
_JUDGED = {0, 1, 6}
_STOPPED = 2
_PYTEST = ["-p", "hotfire.pytest_plugin", "-p", "no:cacheprovider", "--verbose", "--color=no"]
_NEVER_BEGAN = {4, 5}
_COMMAND = ["hotfire", "certify"]
# By its name only: no file that pytest would find by itself.
_EXPLORED = "experiments/explored.py"
_LEVEL = "should"
Beside: TypeAlias = Callable[[RunDirectory, Progress, list[Event]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class CertifyOptions:
    """What the operator asked for."""

    target: Path | None = None
    only: tuple[str, ...] = ()
    scope: str = Scope.CORE.value
    level: str = _LEVEL
    run_dir: Path | None = None
    keep_stack: bool = False
    repeat: int = 1
    suites: Path | None = None
    """A folder of the operator's own with more checks and experiments."""
    asks: bool = False
    """Whether each fault waits for somebody's word."""
    explore: Order | None = None
    """What `hotfire explore` looks for, instead of everything else."""

    @property
    def command(self) -> list[str]:
        """The command that orders it, as somebody would type it."""
        if self.explore:
            return ["hotfire", "explore", *self.explore.words(), *self.words()]
        return [*_COMMAND, *self.words()]

    def words(self) -> list[str]:
        """Return the options as somebody would type them, but where to record."""
        found = ["--target", str(self.target)] if self.target else []
        found += ["--scope", self.scope] if self.scope != Scope.CORE else []
        found += ["--level", self.level] if self.level != _LEVEL else []
        found += ["--repeat", str(self.repeat)] if self.repeat != 1 else []
        found += ["--suites", str(self.suites.resolve())] if self.suites else []
        return found + [word for name in self.only for word in ("--only", name)]

    @classmethod
    def of(cls, info: RunInfo) -> Self:
        """Return what a recorded run was ordered to do.

        Raises:
            ProfileError: it was not ordered by ``hotfire certify``.
        """
        words = list(info.command)
        if words[:2] != _COMMAND:
            raise ProfileError(f"--resume: {info.run_id} was begun by `{' '.join(words)}`, not by"
                               " `hotfire certify`; begin a new run")  # fmt: skip
        said = list(zip(words[2::2], words[3::2], strict=False))
        one = dict(said)
        return cls(
            target=Path(one["--target"]) if "--target" in one else None,
            scope=one.get("--scope", Scope.CORE.value),
            level=one.get("--level", _LEVEL),
            repeat=int(one.get("--repeat", 1)),
            suites=Path(one["--suites"]) if "--suites" in one else None,
            only=tuple(value for word, value in said if word == "--only"),
        )


def go_on(name: str, given: CertifyOptions) -> int:
    """Carry out what a run that was cut short has left, as it was ordered.

    Verdicts that it reached stand; what is inconclusive is run again.

    Raises:
        ProfileError: there is no such run, it is not one of ours, or options are given.
        HarnessError: pytest itself broke down.
    """
    if given != CertifyOptions():
        raise ProfileError("--resume goes on as the run was ordered; give no other option")
    run = find_run(name)
    with of_a_run(run.root):
        order, planned = CertifyOptions.of(run.info()), set(run.planned())
        done = [one for one in run.results() if _stands(one)]
    if planned and planned <= {one.nodeid for one in done}:
        raise ProfileError(
            f"--resume: nothing is left to do in {run.root}; `hotfire report` shows it"
        )
    run.replace_results(done, before="resume")
    run.update_info(finished_at=None, conformance=None, notes=())
    return carry_out(order, resumed=run)


def _stands(result: Result) -> bool:
    return result.skipped_by_operator or (
        result.kind != "run" and result.verdict is not Verdict.INCONCLUSIVE
    )


def carry_out(
    order: CertifyOptions,
    *,
    resumed: RunDirectory | None = None,
    beside: Beside = lambda *_: None,
) -> int:
    """Run everything asked for, report, and return the exit code of the statement.

    ``beside`` is called again and again while it runs, with what has happened since; a
    KeyboardInterrupt of it ends the run.

    Raises:
        ProfileError: the target file, an option or a leftover forbids the run.
        HarnessError: pytest itself broke down.
    """
    console = Terminal(highlight=False)
    with termination_as_interrupt():
        root = project_root()
        refuse_unknown(order.only, entries(root, order.suites))

        def say(line: str) -> None:
            console.print(Text(line))

        target = target_or_lab(order.target, say)
        profile = _profile(target, say)
        run = resumed or _create_run(order, profile)
        console.print(Text(f"certifying {profile.name}; recorded in {run.root}"))
        arguments = [*_arguments(order, target, run, root), *(["--resume"] if resumed else [])]
        child = Child.start(arguments, root=root, log=run.log_path("pytest.log"))
        progress = Progress(run, console)
        lab_logs = LabLogs(run, profile)
        status = _follow(child, progress, lab_logs, partial(beside, run, progress))
    if status in _NEVER_BEGAN:
        raise ProfileError(child.complaint())
    stopped_itself = status == _STOPPED and run.info().conformance is not None
    with undisturbed():
        try:
            if status not in _JUDGED and not stopped_itself:
                run.append_result(Result.of_run("end", _why_it_ended(status)))
            _look_after(run, status, profile, order, lab_logs, progress.say)
        finally:
            stated = _conclude(run, status, console)
    if status not in {*_JUDGED, None} and not stopped_itself:
        raise HarnessError(f"pytest ended with status {status}: {child.complaint()}")
    return EXIT_CODES[stated]


def _profile(target: Path, say: Say) -> TargetProfile:
    """Return the target file's profile once nothing forbids the run."""
    profile = TargetProfile.read(target)
    refuse_leftovers(profile, say)
    open_way_in(profile, say)
    refuse_impossible(profile, say)
    return profile


def _look_after(
    run: RunDirectory,
    status: int | None,
    profile: TargetProfile,
    order: CertifyOptions,
    lab_logs: LabLogs,
    say: Say,
) -> None:
    """After trouble of the run, keep the lab's logs and heal."""
    if status not in _JUDGED or any(result.kind == "run" for result in run.results()):
        lab_logs.collect()
        _heal(run, profile, order, say)


def _heal(run: RunDirectory, profile: TargetProfile, order: CertifyOptions, say: Say) -> None:
    """Undo whatever a run that was in trouble has left.

    Raises:
        HarnessError: something is left; the run's record tells what, and how to remove it.
    """
    try:
        heal_leftovers(profile, say, keep_stack=order.keep_stack)
    except HarnessError as error:
        again = "hotfire heal" + (f" --target {order.target}" if order.target else "")
        run.append_result(Result.of_run("heal", f"`{again}` removes what is left: {error}"))
        raise


def _why_it_ended(status: int | None) -> str:
    return "interrupted by the operator" if status is None else f"pytest ended with {status}"


def _create_run(order: CertifyOptions, profile: TargetProfile) -> RunDirectory:
    info = RunInfo.begin(
        command=tuple(order.command),
        target_name=profile.name,
        tool_version=version("hotfire"),
    )
    if order.run_dir is None:
        run = RunDirectory.create(runs_folder(), info)
        if order.explore:
            order.explore.write(run)
        return run
    if (order.run_dir / "run.json").exists():
        raise ProfileError(f"{order.run_dir} holds a run already; name another --run-dir")
    return RunDirectory.create_at(order.run_dir.resolve(), info)


def _arguments(order: CertifyOptions, target: Path, run: RunDirectory, root: Path) -> list[str]:
    # Checks before faults, whosever they are.
    own = [str(order.suites.resolve())] if order.suites else []
    folders = [name for name in ("suites", *own, "experiments") if (root / name).is_dir()]
    if order.explore:
        folders = [_EXPLORED]
    options = ["--target", str(target), "--run-dir", str(run.root), "--level", order.level]
    options += [word for name in order.only for word in ("--only", name)]
    options += ["--scope", order.scope, "--repeat", str(order.repeat)]
    # With a folder elsewhere pytest would look for its settings there.
    options += [f"--suites={own[0]}", "-c", str(root / "pyproject.toml")] if own else []
    options += ["--keep-stack"] if order.keep_stack else []
    options += ["--ask"] if order.asks else []
    return [*folders, *_PYTEST, *options]


def _follow(
    child: Child, progress: Progress, lab_logs: LabLogs, beside: Callable[[list[Event]], None]
) -> int | None:
    """Return pytest's exit status; None when the operator ended the run."""

    def look() -> None:
        events = progress.look()
        lab_logs.look()
        beside(events)

    try:
        with progress:
            status: int | None = child.follow(look)
    except KeyboardInterrupt:
        with undisturbed():
            progress.say("interrupted: healing and cleaning up", style="yellow")
            child.stop()
            lab_logs.look()
            status = None
    return status


def _conclude(run: RunDirectory, status: int | None, console: Terminal) -> Conformance:
    """Complete run.json, write every report and show the verdicts."""
    results = run.results()
    stated = statement(results, planned=run.planned())
    notes = list(run.info().notes)
    if status not in _JUDGED:
        stated = Conformance.INCONCLUSIVE if stated is Conformance.CONFORMANT else stated
        notes.append(_why_it_ended(status))
    notes += pack_histories(run)
    info = run.update_info(finished_at=datetime.now(UTC), conformance=stated, notes=tuple(notes))
    reports = write_reports(run, document_names(), folder=run.root)
    print_verdicts(info, results)
    for path in reports:
        console.print(Text(f"  {path}"), soft_wrap=True)
    return stated
