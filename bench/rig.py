"""The rig of the instrument's bench: one core writes tokens at known times, another reads."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

CLIENT_CORE: Final = "0"
SERVER_CORE: Final = "1"
NANO: Final = 1e-9
HERE: Final = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Truth:
    """What the server did for one request; monotonic nanoseconds."""

    prompt: str
    arrival_ns: int
    first_ns: int
    last_ns: int
    tokens: int

    @property
    def ttft_ms(self) -> float:
        return (self.first_ns - self.arrival_ns) / 1e6

    @property
    def tpot_ms(self) -> float:
        return (self.last_ns - self.first_ns) / 1e6 / max(1, self.tokens - 1)


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of one client: what it cost, what it said, and what was true."""

    cpu_seconds: float
    peak_bytes: int
    report: dict[str, Any]
    truths: list[Truth]

    @property
    def tokens(self) -> int:
        return sum(truth.tokens for truth in self.truths)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a client is to do: so many streams at a time, or so many requests a second."""

    mode: str
    amount: float
    tokens: int = 128
    seconds: float = 8.0


class Rig:
    """A truth server on its own core, and clients run one after the other on the other."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def call(self, path: str, document: object = None) -> Any:  # noqa: ANN401 - JSON
        data = json.dumps(document).encode() if document else None
        with urllib.request.urlopen(f"{self.url}{path}", data, timeout=30) as answer:  # noqa: S310
            return json.load(answer)

    def run(
        self, command: Sequence[str], load: Load, *, freeze: tuple[float, float] | None = None
    ) -> Measured:
        """Run one client to its end; ``freeze`` is when the server stands still, and how long."""
        self.call("/truth")
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "report.json"
            arguments = [self.url, load.mode, str(load.amount), str(load.tokens)]
            arguments += [str(load.seconds), str(out)]
            log = Path(folder) / "log"
            with log.open("wb") as output:
                process = subprocess.Popen(
                    ["taskset", "-c", CLIENT_CORE, *command, *arguments],
                    stdout=output, stderr=output, cwd=HERE.parent,
                )  # fmt: skip
            if freeze:
                self._freeze(*freeze)
            _, status, usage = os.wait4(process.pid, 0)
            if status or not out.exists():
                raise SystemExit(f"{command} ended with {status}: {log.read_text()[-2000:]}")
            report = json.loads(out.read_bytes())
        truths = [Truth(*row) for row in self.call("/truth")]
        cpu = usage.ru_utime + usage.ru_stime
        return Measured(cpu, usage.ru_maxrss * 1024, report, truths)

    def _freeze(self, after_seconds: float, for_seconds: float) -> None:
        """Stop the server for a while, counted from the first request."""
        while not self.call("/started")["started"]:
            time.sleep(0.05)  # noqa: TID251 - a bench waits for another program
        time.sleep(after_seconds)  # noqa: TID251 - the moment of the freeze is the experiment
        self.call("/freeze", {"seconds": for_seconds})


@contextmanager
def rig(**settings: object) -> Iterator[Rig]:
    """Run a truth server with these settings."""
    command = ["taskset", "-c", SERVER_CORE, sys.executable, str(HERE / "truth_server.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None  # noqa: S101 - it was asked for
            found = Rig(int(process.stdout.readline().split()[-1]))
            found.call("/config", settings or {"ending": "ok"})
            yield found
        finally:
            process.kill()


@contextmanager
def pinned(core: str) -> Iterator[None]:
    """Let what is started in this block run on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {int(core)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def p95(values: Sequence[float]) -> float:
    """Return the 95th percentile, as an observed value."""
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.95))]


def mean(values: Sequence[float]) -> float:
    """Return the mean."""
    return statistics.fmean(values)
