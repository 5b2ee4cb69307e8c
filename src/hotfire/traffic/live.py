"""What a load looks like while it runs: the tail of its history, read as it grows."""

import os
import re
import time
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hotfire.errors import HistoryError
from hotfire.history import Request, parse_lines
from hotfire.percentiles import percentile
from hotfire.slo import tpot_seconds, ttft_seconds
from hotfire.traffic.files import Files, Started
from hotfire.traffic.plan import LoadPlan, arrivals_of

WINDOW_SECONDS: Final = 10.0
_PARSED_A_LOOK: Final = 200
"""Rows parsed in one look; beyond it every n-th is, so that a look costs the same at any rate."""
_FAILURE: Final = re.compile(rb'"error_class":"([^"]*)"')
_BYTES_A_LOOK: Final = 16 << 20
_NANO: Final = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Glimpse:
    """The last ten seconds of a load; NaN where nothing was measured."""

    elapsed_seconds: float
    scheduled: int
    ended: int
    ended_per_second: float
    ttft_p50_seconds: float
    ttft_p95_seconds: float
    tpot_p50_seconds: float
    sent_late_p99_seconds: float
    """Sending after the schedule, connecting included, which the dispatch gate leaves out."""
    cpu_ratio: float
    """Of the load process, one core being 1; NaN where it cannot be read."""
    errors: dict[str, int]
    """By class, since the start."""

    @property
    def in_flight(self) -> int:
        """Requests that were due and have not ended."""
        return max(0, self.scheduled - self.ended)


class Tail:
    """Reads a history while it grows; each look costs what came since the last, within bounds."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._place = 0
        self._ended = 0
        self._errors: Counter[str] = Counter()
        self._recent: deque[tuple[int, list[Request]]] = deque()
        self._counts: deque[tuple[int, int]] = deque()
        self._started: Started | None = None
        self._due: Due | None = None
        self._cpu: tuple[float, int] | None = None

    def look(self) -> Glimpse | None:
        """Return the present state; None before the load has begun."""
        if not self._begun() or self._started is None or self._due is None:
            return None
        now = time.monotonic_ns()
        self._recent.append((now, list(self._read())))
        self._counts.append((now, self._ended))
        horizon = now - round(WINDOW_SECONDS * _NANO)
        while self._recent[0][0] < horizon:
            self._recent.popleft()
        while self._counts[0][0] < horizon and len(self._counts) > 1:
            self._counts.popleft()
        return self._glimpse(now)

    def _begun(self) -> bool:
        if self._started is None:
            try:
                self._started = Started.model_validate_json(self._files.started.read_bytes())
                self._due = Due(LoadPlan.read(self._files.plan))
            except (OSError, ValueError):
                return False
        return True

    def _read(self) -> Iterator[Request]:
        """Count every new row; yield as many as may be parsed."""
        lines = self._new_lines()
        self._ended += len(lines)
        every = max(1, -(-len(lines) // _PARSED_A_LOOK))
        for place, line in enumerate(lines):
            if failure := _FAILURE.search(line):
                self._errors[failure[1].decode()] += 1
            if place % every == 0:
                with suppress(HistoryError):
                    yield from parse_lines(line.decode(errors="replace") + "\n")

    def _new_lines(self) -> list[bytes]:
        try:
            with self._files.history.open("rb") as file:
                file.seek(self._place)
                data = file.read(_BYTES_A_LOOK)
        except OSError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._place += len(whole)
        return whole.splitlines()

    def _glimpse(self, now: int) -> Glimpse:
        rows = [row for _, some in self._recent for row in some]
        served = [row for row in rows if row.complete]
        ttft = [value for row in served if (value := ttft_seconds(row)) is not None]
        tpot = [value for row in served if (value := tpot_seconds(row)) is not None]
        late = [max(0, row.send_ns - row.sched_ns) / _NANO for row in rows if row.send_ns]
        began, before = self._counts[0]
        elapsed = time.time_ns() - (self._started.t0_ns if self._started else 0)
        return Glimpse(
            elapsed_seconds=max(0, elapsed) / _NANO,
            scheduled=self._due.until(elapsed, self._ended) if self._due else 0,
            ended=self._ended,
            ended_per_second=(self._ended - before) / max(1, now - began) * _NANO,
            ttft_p50_seconds=percentile(ttft, 50),
            ttft_p95_seconds=percentile(ttft, 95),
            tpot_p50_seconds=percentile(tpot, 50),
            sent_late_p99_seconds=percentile(late, 99),
            cpu_ratio=self._cpu_ratio(now),
            errors=dict(self._errors.most_common()),
        )

    def _cpu_ratio(self, now: int) -> float:
        seconds = cpu_seconds(self._started.pid) if self._started else None
        if seconds is None:
            return float("nan")
        before, self._cpu = self._cpu, (seconds, now)
        if before is None or now == before[1]:
            return float("nan")
        return (seconds - before[0]) / (now - before[1]) * _NANO


class Due:
    """How many arrivals of a plan are due; a plan's arrivals are walked once."""

    def __init__(self, plan: LoadPlan) -> None:
        self._plan = plan
        self._offsets = (arrival.offset_ns for arrival in arrivals_of(plan))
        self._seen: list[int] = []

    def until(self, elapsed_ns: int, ended: int) -> int:
        """Return the number due by then; of a closed loop, what ended and what is asked for."""
        if self._plan.mode == "closed":
            return ended + self._plan.concurrency
        while not self._seen or self._seen[-1] <= elapsed_ns:
            offset = next(self._offsets, None)
            if offset is None:
                break
            self._seen.append(offset)
        return bisect_left(self._seen, elapsed_ns)


def cpu_seconds(pid: int) -> float | None:
    """Return the CPU time a process has used; None if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def newest(folder: Path) -> Path | None:
    """Return the history that began last in a folder of them; None if there is none."""
    found = [path for path in folder.glob("*.jsonl") if Files(path).plan.exists()]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)
