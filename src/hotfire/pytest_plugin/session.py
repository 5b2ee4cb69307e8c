"""What one pytest session is about: the target and the run directory, found once."""

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from hotfire.errors import LabError, ProfileError
from hotfire.evidence import redact
from hotfire.profile import TargetProfile
from hotfire.pytest_plugin.case import UNIT_FOLDERS, unit_roots
from hotfire.rundir import Result, RunDirectory, RunInfo, dump

_BAD_ARGUMENTS = 254
RUN = pytest.StashKey[RunDirectory]()
_PROFILE = pytest.StashKey[TargetProfile]()


def target_profile(config: pytest.Config) -> TargetProfile:
    """Return the profile of ``--target``; without one, of the lab, brought up if it is not.

    Raises:
        pytest.UsageError: the target file or the machine does not allow it.
    """
    if _PROFILE not in config.stash:
        try:
            config.stash[_PROFILE] = TargetProfile.read(target_file(config))
        except (ProfileError, LabError) as error:
            raise pytest.UsageError(str(error)) from error
    return config.stash[_PROFILE]


def run_directory(config: pytest.Config) -> RunDirectory:
    """Return the run directory of this session, made when there is none."""
    if RUN not in config.stash:
        config.stash[RUN] = _open_or_create(config)
    return config.stash[RUN]


def target_file(config: pytest.Config) -> Path:
    """Return the path of the target file, bringing the lab up when none was given."""
    given = config.getoption("target") or _from_controller(config, "target")
    if given is None:
        # Imported here: only a run without --target needs the lab.
        from hotfire.lab import ensure_up  # noqa: PLC0415

        return ensure_up(_narrator(config))
    return Path(given)


def _open_or_create(config: pytest.Config) -> RunDirectory:
    given = config.getoption("run_dir") or _from_controller(config, "run")
    if given is not None and (Path(given) / "run.json").exists():
        return RunDirectory.open(Path(given))
    profile = target_profile(config)
    info = RunInfo.begin(
        command=("pytest", *map(str, config.invocation_params.args)),
        target_name=profile.name,
        tool_version=version("hotfire"),
    )
    if given is not None:
        return RunDirectory.create_at(Path(given).resolve(), info)
    return RunDirectory.create(config.rootpath / "runs", info)


def write_plan(config: pytest.Config, nodeids: list[str]) -> None:
    """Write what the run is about to do, and to whom, before its first case."""
    run = run_directory(config)
    run.write_text("target.json", dump(redact(target_profile(config).model_dump(mode="json"))))
    earlier = run.planned() if config.getoption("resume") else []
    run.write_plan(list(dict.fromkeys([*earlier, *nodeids])))


def earlier_results(config: pytest.Config) -> list[Result]:
    """Return what the run that is gone on with has found so far."""
    return run_directory(config).results() if config.getoption("resume") else []


def refuse_side_by_side(config: pytest.Config, workers: int) -> None:
    """Refuse cases in several processes: each is a session of its own, and one has the cluster.

    The others would find it held, and every case of theirs would be inconclusive.
    """
    if workers > 1 and _names_units(config):
        pytest.exit(
            f"-n {workers}: one session at a time has a target's cluster; leave -n out",
            returncode=_BAD_ARGUMENTS,
        )


def worker_input(config: pytest.Config) -> dict[str, str]:
    """Return what an xdist worker must know; nothing when no unit is among the arguments."""
    if not _names_units(config):
        return {}
    return {
        "hotfire_target": str(target_file(config).resolve()),
        "hotfire_run": str(run_directory(config).root),
    }


def _from_controller(config: pytest.Config, name: str) -> str | None:
    """Return what xdist's controller told this worker; None in any other process."""
    told: dict[str, str] = getattr(config, "workerinput", {})
    return told.get(f"hotfire_{name}")


def _names_units(config: pytest.Config) -> bool:
    """Return whether any argument of the command line is, holds or lies in a unit folder."""
    folders = [root / name for root in unit_roots(config) for name in UNIT_FOLDERS]
    start = config.invocation_params.dir
    paths = [(start / arg.partition("::")[0]).resolve() for arg in config.args]
    return any(f.is_relative_to(p) or p.is_relative_to(f) for p in paths for f in folders)


def _narrator(config: pytest.Config) -> Callable[[str], None]:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return reporter.write_line if reporter else lambda _line: None
