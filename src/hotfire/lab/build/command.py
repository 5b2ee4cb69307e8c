"""Commands that build and install; what they say when they fail fits on one line."""

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from hotfire.errors import LabError


def run(
    argv: list[str], *, what: str, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> str:
    """Return what a command printed, stripped.

    Raises:
        LabError: it failed; a full disk is told with its remedy.
    """
    done = subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return done.stdout.strip()
    said = (done.stderr or done.stdout).strip()
    if "no space left on device" in said.lower():
        raise LabError(disk_full(what, Path.home()))
    tail = " | ".join(said.splitlines()[-3:])
    raise LabError(f"{what} failed ({' '.join(argv[:3])} ...): {tail}")


def disk_full(what: str, where: Path) -> str:
    """Return the message for a full disk, remedy included."""
    free = shutil.disk_usage(where).free / 2**30
    return (
        f"{what}: the disk is full ({free:.1f} GiB left at {where}); make room and run the same "
        "command again, it goes on where it stopped"
    )
