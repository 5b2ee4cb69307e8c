"""The process that mends when the time is over: `python -m hotfire.lab.handles.warden HOME`.

It is started before anything is broken and lives as long as something is that it can mend. A second
one waits behind it for the lock and takes its place if it is killed. Both are in the lab's own
control group, so that `lab down` ends them.
"""

import contextlib
import fcntl
import os
import subprocess
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING

from hotfire.lab.handles.records import ALL, Records

if TYPE_CHECKING:
    from hotfire.lab.lab import Lab

MODULE = "hotfire.lab.handles.warden"
_POLL_SECONDS = 0.3
_AT_ONCE = 8
_START_SECONDS = 10.0
_CGROUP = "warden"


def ensure(home: Path) -> None:
    """See to it that a warden lives; returns once one holds the lock.

    Raises:
        HarnessError: none started; what it said is in its log.
    """
    from hotfire.waiting import until  # noqa: PLC0415 - the waiting warden must stay small

    if not lives(home):
        start(home)
    until(
        lambda: lives(home),
        within_seconds=_START_SECONDS,
        what=f"a warden (its log: {_log(home)})",
        poll_seconds=0.05,
    )


def lives(home: Path) -> bool:
    """Return whether a warden is at work."""
    path = _lock(home)
    if not path.exists():
        return False
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def start(home: Path) -> None:
    """Start one that belongs to nobody."""
    _lock(home).parent.mkdir(parents=True, exist_ok=True)
    with _log(home).open("ab") as log:
        subprocess.Popen(
            [sys.executable, "-m", MODULE, str(home)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
            start_new_session=True,
        )


def main(argv: list[str]) -> int:
    """Wait for the lock, then mend what is due until there is nothing more to mend."""
    home = Path(argv[0])
    _enter_cgroup()
    with _lock(home).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        while not leaves(Records(home / "handles"), file):
            start(home)
            _watch(home)
    return 0


def leaves(records: Records, lock: IO[str]) -> bool:
    """Give the lock back if there is nothing to mend; return whether it did.

    It waits for whoever is about to write a record: what saw a warden alive before will be mended.
    """
    if records.mendable():
        return False
    with records.alone(ALL):
        if records.mendable():
            return False
        fcntl.flock(lock, fcntl.LOCK_UN)
        return True


def _watch(home: Path) -> None:
    from concurrent.futures import Future, ThreadPoolExecutor  # noqa: PLC0415 - see above

    from hotfire.lab.handles.records import due  # noqa: PLC0415
    from hotfire.lab.lab import Lab  # noqa: PLC0415
    from hotfire.own_folders import project_root  # noqa: PLC0415
    from hotfire.waiting import pause  # noqa: PLC0415

    lab = Lab(project_root(), home=home)
    records = Records(lab.state.handles)
    at_work: dict[str, Future[None]] = {}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        while records.mendable():
            for name in [one.name for one in due(records.all())]:
                if name not in at_work or at_work[name].done():
                    at_work[name] = pool.submit(_mend, lab, name)
            pause(_POLL_SECONDS, why="the next look for what is due")


def _mend(lab: "Lab", name: str) -> None:
    from hotfire.errors import RollbackFailed  # noqa: PLC0415 - see above
    from hotfire.lab.handles import mending  # noqa: PLC0415

    try:
        mending.mend_due(lab, Records(lab.state.handles), name)
    except RollbackFailed as error:
        # Its record tells everybody; trying again is up to `hotfire lab mend`.
        with contextlib.suppress(OSError):
            sys.stderr.write(f"{error}\n")


def _enter_cgroup() -> None:
    from hotfire.lab.machine import cgroups  # noqa: PLC0415 - see above

    for procs in cgroups.create(_CGROUP):
        procs.write_text(str(os.getpid()))


def _lock(home: Path) -> Path:
    return home / "handles" / "warden.lock"


def _log(home: Path) -> Path:
    return home / "handles" / "warden.log"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
