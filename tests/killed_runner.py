"""A run of `hotfire certify` that is killed with SIGKILL in its middle, as a crash would end it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import yaml

from hotfire.own_folders import project_root
from hotfire.waiting import until

LEASE_SECONDS = 30


def happened(run: Path) -> list[str]:
    """Return what a run has told so far of its own course."""
    path = run / "timeline.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    found = []
    for line in lines:
        with contextlib.suppress(ValueError):  # The last line may be half written.
            found.append(json.loads(line)["what"])
    return found


def killed(target: Path, folder: Path, *, only: str, amid: Callable[[Path], bool]) -> None:
    """Run one check or fault as a user does, and kill the runner amid it."""
    run = folder / "run"
    argv = [sys.executable, "-m", "hotfire", "certify", "--target", str(target)]
    argv += ["--only", only, "--run-dir", str(run)]
    with (folder / "log").open("wb") as log:
        runner = subprocess.Popen(argv, cwd=project_root(), stdout=log, stderr=log)
    try:
        until(
            lambda: runner.poll() is not None or amid(run),
            within_seconds=200,
            what=f"the middle of {only}",
        )
    finally:
        os.kill(runner.pid, signal.SIGKILL)
        runner.wait(10)
    assert amid(run), (folder / "log").read_text()


def briefly_measured(target: Path, folder: Path, **sections: object) -> Path:
    """Return a target whose normal is measured in a moment, for what is about the end of a run."""
    document = yaml.safe_load(target.read_text())
    document["measurement"] |= {"baseline_seconds": 5, "baseline_requests": 60}
    short = folder / "target.yaml"
    short.write_text(yaml.safe_dump(document | sections))
    return short


def with_short_leases(target: Path, folder: Path) -> Path:
    """Return such a target whose nodes heal by themselves after half a minute."""
    return briefly_measured(target, folder, agent={"lease_seconds": LEASE_SECONDS})
