"""How long processes of this machine wait for a CPU, sampled while an experiment runs."""

import json
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_SOURCE: Final = Path("/proc/pressure/cpu")
_EVERY_SECONDS: Final = 1.0
# Microseconds of waiting, None where no kernel counts them, and a moment on the monotonic clock.
Waited = tuple[int | None, int]


class PressureLog:
    """Writes one line a second: the moment (epoch ns) and the share (0-1) since the one before.

    A kernel that does not account pressure leaves the file empty, and nothing is missing: it only
    tells the machine's noise from the target's.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join(2 * _EVERY_SECONDS)

    def _write(self) -> None:
        before = waited()
        with self._path.open("a", encoding="utf-8") as file:
            while not self._over.wait(_EVERY_SECONDS):
                now = waited()
                if (part := share(before, now)) is not None:
                    print(json.dumps([time.time_ns(), round(part, 4)]), file=file, flush=True)
                before = now


def read(path: Path) -> list[tuple[int, float]]:
    """Return the samples of a file; none where there is no such file, and no torn line."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")[:-1]
        return [(int(at), float(share)) for at, share in map(json.loads, lines)]
    except (OSError, ValueError, TypeError):
        return []


def waited() -> Waited:
    """Return for how long, since boot, at least one process waited for a CPU, and when that was."""
    return _waited_us(), time.monotonic_ns()


def share(before: Waited, now: Waited) -> float | None:
    """Return the share (0-1) of the time between two moments that somebody waited, if known."""
    if before[0] is None or now[0] is None or now[1] == before[1]:
        return None
    return 1000 * (now[0] - before[0]) / (now[1] - before[1])


def _waited_us() -> int | None:
    try:
        some = _SOURCE.read_text(encoding="ascii").splitlines()[0]
        return int(some.rpartition("total=")[2])
    except (OSError, ValueError, IndexError):
        return None
