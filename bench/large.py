"""Ten million tokens through one load of the command line: memory, and the time of the report.

Every token is a chunk of its own, written at its own time, so the history is as long as that of a
real engine. The server writes faster than in the rates, up to what one core can; an open loop sends
the same requests however far it lags.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.judged import Judged
from bench.rig import CLIENT_CORE, HERE, Rig, pinned, rig
from hotfire.measure import history

TOKENS = 128
TOKENS_PER_SECOND = 35_000
FORMATS = "html,json,junit,markdown"
LOOK_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """One process that has ended."""

    ended: float
    peak_bytes: int
    worker_peak_bytes: int = 0


def large(tokens: int) -> Iterator[Judged]:
    """Judge one load of so many tokens, and every report of it."""
    with tempfile.TemporaryDirectory() as folder, rig() as bench:
        run = Path(folder) / "run"
        load = loaded(bench, tokens, run)
        truth = sum(row[-1] for row in bench.call("/truth"))
        began = time.monotonic()
        report = watched(["report", str(run), "--format", FORMATS])
        yield from judged(run, load, tokens=tokens, written=truth)
        seconds = report.ended - began
        yield Judged(
            what=f"every report ({FORMATS})", measured=seconds, limit=20, unit="s",
            note=f"peak {report.peak_bytes / 1e6:.0f} MB",
        )  # fmt: skip


def loaded(bench: Rig, tokens: int, run: Path) -> Ran:
    """Run ``hotfire load`` on the client's core to its end."""
    rate = TOKENS_PER_SECOND / TOKENS
    plan = {
        "url": bench.url, "model": "truth", "process": "constant", "rate_per_second": rate,
        "duration_seconds": (tokens / TOKENS + 1) / rate, "max_tokens": TOKENS,
        "in_flight_cap": 5000, "deadline_seconds": 60,
    }  # fmt: skip
    run.mkdir()
    plan_file = run / "ordered.json"
    plan_file.write_text(json.dumps(plan))
    with pinned(CLIENT_CORE):
        arguments = ["load", "--plan", str(plan_file), "--run-dir", str(run)]
        return watched(arguments, worker=run / "history" / "load.start.json")


def watched(arguments: list[str], *, worker: Path | None = None) -> Ran:
    """Run ``hotfire`` to its end, with an eye on the memory of the load process it starts."""
    peak = 0
    process = subprocess.Popen([sys.executable, "-m", "hotfire", *arguments], cwd=HERE.parent)
    while True:
        pid, _, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            return Ran(
                ended=time.monotonic(),
                peak_bytes=usage.ru_maxrss * 1024,
                worker_peak_bytes=peak,
            )
        if worker and worker.exists():
            peak = max(peak, peak_bytes_of(json.loads(worker.read_bytes())["pid"]))
        time.sleep(LOOK_SECONDS)  # noqa: TID251 - a bench waits for another program


def peak_bytes_of(pid: int) -> int:
    """Return the most memory a process has had so far; 0 once it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    _, found, rest = status.partition("VmHWM:")
    return int(rest.split()[0]) * 1024 if found else 0


def judged(run: Path, load: Ran, *, tokens: int, written: int) -> Iterator[Judged]:
    """Return what the load itself must reach."""
    told = json.loads((run / "load.json").read_bytes())
    figures = told["figures"]
    recorded = sum(row.n_out or 0 for row in history.stream(run / "history" / "load.jsonl"))
    yield Judged(
        what="output tokens recorded in one run", measured=recorded, limit=tokens, at_least=True,
        note=f"{written:,} written",
    )  # fmt: skip
    yield Judged(
        what="requests of that run not complete", limit=0,
        measured=figures["requests_scheduled"] - figures["requests_complete"],
    )  # fmt: skip
    yield Judged(
        what="reasons to doubt that run", measured=len(told["doubts"]), limit=0,
        note="; ".join(told["doubts"]),
    )  # fmt: skip
    yield Judged(
        what="peak memory of the worker", measured=load.worker_peak_bytes / 1e6, limit=500,
        unit="MB", note=f"of the command {load.peak_bytes / 1e6:.0f} MB",
    )  # fmt: skip
    over = (run / "history" / "load.end.json").stat().st_mtime
    told_at = (run / "load.json").stat().st_mtime
    yield Judged(
        what="from the load's last row to its figures", measured=told_at - over, limit=20, unit="s"
    )
