"""The process that mends when the time is over: `python -m hotfire.lab.handles.warden HOME`.

It is there before anything is broken, and lives while anything is. A second one waits behind it for
the lock and takes its place if it is killed. Both are in the lab's own control group, so that `lab
down` ends them.
"""

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hotfire.lab.lab import Lab

MODULE = "hotfire.lab.handles.warden"
_POLL_SECONDS = 0.3
_AT_ONCE = 8
_START_SECONDS = 10.0
_FIRST = "--first"
_FIRST_SECONDS = 10.0
_CGROUP = "warden"


def ensure(home: Path) -> None:
    """See to it that a warden lives; returns once one holds the lock.

    Raises:
        HarnessError: none started; what it said is in its log.
    """
    from hotfire.waiting import until  # noqa: PLC0415 - the waiting warden must stay small

    if not lives(home):
        start(home, _FIRST)
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


def start(home: Path, *options: str) -> None:
    """Start one that belongs to nobody."""
    _lock(home).parent.mkdir(parents=True, exist_ok=True)
    with _log(home).open("ab") as log:
        subprocess.Popen(
            [sys.executable, "-m", MODULE, str(home), *options],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
            start_new_session=True,
        )


def main(argv: list[str]) -> int:
    """Wait for the lock, then mend what is due until nothing is broken."""
    home = Path(argv[0])
    _enter_cgroup()
    with _lock(home).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if anything(home) or (_FIRST in argv and _begins(home)):
            start(home)
            _watch(home)
    return 0


def _begins(home: Path) -> bool:
    """Return whether what the warden was started for is broken soon.

    It comes before the first record, or whoever is killed between the two leaves one to nobody.
    """
    from hotfire.errors import HarnessError  # noqa: PLC0415 - the waiting warden must stay small
    from hotfire.waiting import until  # noqa: PLC0415

    try:
        until(
            lambda: anything(home),
            within_seconds=_FIRST_SECONDS,
            what="a first record",
            poll_seconds=0.05,
        )
    except HarnessError:
        return False
    return True


def _watch(home: Path) -> None:
    from concurrent.futures import Future, ThreadPoolExecutor  # noqa: PLC0415 - see above

    from hotfire.lab import project_root  # noqa: PLC0415
    from hotfire.lab.handles import breaking  # noqa: PLC0415
    from hotfire.lab.handles.records import due  # noqa: PLC0415
    from hotfire.lab.lab import Lab  # noqa: PLC0415
    from hotfire.waiting import pause  # noqa: PLC0415

    lab = Lab(project_root(), home=home)
    records = breaking.of_lab(lab)
    at_work: dict[str, Future[None]] = {}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        while any(not one.problem for one in records.all()):
            for name in [one.name for one in due(records.all())]:
                if name not in at_work or at_work[name].done():
                    at_work[name] = pool.submit(_mend, lab, name)
            pause(_POLL_SECONDS, why="the next look for what is due")


def _mend(lab: "Lab", name: str) -> None:
    from hotfire.errors import RollbackFailed  # noqa: PLC0415 - see above
    from hotfire.lab.handles import breaking, mending  # noqa: PLC0415

    try:
        mending.mend(lab, breaking.of_lab(lab), name, because="its time is over")
    except RollbackFailed as error:
        # Its record tells everybody; trying again is up to `hotfire lab mend`.
        sys.stderr.write(f"{error}\n")


def anything(home: Path) -> bool:
    """Return whether anything is broken that may still be mended without being asked to."""
    return any(not _problem(path) for path in (home / "handles").glob("*.broken.json"))


def _problem(record: Path) -> str:
    try:
        return str(json.loads(record.read_text())["problem"])
    except FileNotFoundError:
        return "mended meanwhile"


def _enter_cgroup() -> None:
    from hotfire.lab import cgroups  # noqa: PLC0415 - see above

    for procs in cgroups.create(_CGROUP):
        procs.write_text(str(os.getpid()))


def _lock(home: Path) -> Path:
    return home / "handles" / "warden.lock"


def _log(home: Path) -> Path:
    return home / "handles" / "warden.log"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
