"""Go builds: one program at a time, from a part's own pinned module."""

import os
import shutil
import subprocess
from pathlib import Path

from hotfire.errors import LabError
from hotfire.lab.build.command import run
from hotfire.lab.build.parts import GoPart
from hotfire.lab.shape.progress import Progress

_OLDEST = (1, 26)


def check() -> None:
    """Raise LabError unless a recent Go is on the path."""
    if shutil.which("go") is None:
        raise LabError(
            "the lab builds Kubernetes from source and needs Go >= 1.26: no `go` on the PATH"
        )
    words = subprocess.run(["go", "env", "GOVERSION"], capture_output=True, text=True, check=False)
    version = words.stdout.strip().removeprefix("go")
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers < _OLDEST:
        raise LabError(
            f"the lab needs Go >= 1.26, `go` is {version or 'unusable'}; install a newer Go"
        )


def build(part: GoPart, staging: Path, progress: Progress) -> None:
    """Build the programs that the staging directory lacks, and copy what the part shares.

    Raises:
        LabError: Go is missing or too old, or a build failed.
    """
    check()
    (staging / "bin").mkdir(exist_ok=True)
    for program, package in part.programs.items():
        if not (staging / "bin" / program).exists():
            with progress.step(f"building {part.name}/{program}"):
                _build_program(part, package, staging / "bin" / program)
    for module, inside, name in part.shares:
        source = Path(_go(part, ["list", "-m", "-f", "{{.Dir}}", module])) / inside
        shutil.copytree(source, staging / name, dirs_exist_ok=True)


def _build_program(part: GoPart, package: str, target: Path) -> None:
    unfinished = target.with_suffix(".unfinished")
    argv = ["build", "-trimpath", "-buildvcs=false", "-ldflags", f"-s -w {part.ldflags}"]
    argv += ["-tags", part.tags] if part.tags else []
    _go(part, [*argv, "-o", str(unfinished), package])
    unfinished.rename(target)


def _go(part: GoPart, argv: list[str]) -> str:
    env = os.environ | {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local"}
    return run(["go", *argv], what=f"building {part.name}", cwd=part.source, env=env)
